package matchers

// resolveConditions replaces every conditional group: a(g)?b(?(g)c|d)e becomes a(?:(g)bce|bde). The
// alternatives stand in the order in which a backtracking engine would try them, so that the first match
// stays the first. Where the order would change there is no rewrite.
func resolveConditions(n *node) (*node, error) {
	if !n.contains(isOp(opCond)) {
		return n, nil
	}
	switch n.op {
	case opConcat:
		for i, sub := range n.subs {
			rest := concat(n.subs[i+1:]...)
			group := conditionOf(rest, sub)
			if group == 0 {
				continue
			}
			head, err := resolveConditions(sub)
			if err != nil {
				return nil, err
			}
			states, err := statesOf(head, group)
			if err != nil {
				return nil, err
			}
			var branches []*node
			for _, s := range states {
				tail, err := resolveConditions(assume(rest, group, s.took))
				if err != nil {
					return nil, err
				}
				branches = append(branches, concat(s.node, tail))
			}
			return concat(concat(n.subs[:i]...), alt(branches...)), nil
		}
		return n.eachErr(resolveConditions)
	case opCapture, opAlt:
		return n.eachErr(resolveConditions)
	}
	return nil, errNoRewrite
}

// conditionOf returns a group that is captured in n and asked for in rest; 0 if there is none.
func conditionOf(rest, n *node) int {
	group := 0
	rest.contains(func(c *node) bool {
		if c.op == opCond && n.contains(func(m *node) bool { return m.op == opCapture && m.group == c.group }) {
			group = c.group
		}
		return group != 0
	})
	return group
}

// A groupState is one way through a node, in which a group takes part or does not.
type groupState struct {
	node *node
	took bool
}

// statesOf splits n by whether group takes part, in the order in which the ways are tried.
func statesOf(n *node, group int) ([]groupState, error) {
	captures := func(m *node) bool { return m.op == opCapture && m.group == group }
	switch {
	case !n.contains(captures):
		return []groupState{{n, false}}, nil
	case captures(n):
		return []groupState{{n, true}}, nil
	}
	switch n.op {
	case opCapture:
		return within(n.subs[0], group, func(sub *node) *node { return n.with(sub) })
	case opAlt:
		var all []groupState
		for _, branch := range n.subs {
			states, err := statesOf(branch, group)
			if err != nil {
				return nil, err
			}
			all = append(all, states...)
		}
		return all, nil
	case opRepeat:
		if n.min != 0 || n.max != 1 {
			return nil, errNoRewrite
		}
		states, err := statesOf(n.subs[0], group)
		if n.lazy {
			return append([]groupState{{empty(), false}}, states...), err
		}
		return append(states, groupState{empty(), false}), err
	case opConcat:
		// What comes before the group is tried first, so it must offer no choice.
		for i, sub := range n.subs {
			if sub.contains(captures) {
				before, after := concat(n.subs[:i]...), concat(n.subs[i+1:]...)
				return within(sub, group, func(sub *node) *node { return concat(before, sub, after) })
			}
			if !fixed(sub) {
				return nil, errNoRewrite
			}
		}
	}
	return nil, errNoRewrite
}

func within(n *node, group int, wrap func(*node) *node) ([]groupState, error) {
	states, err := statesOf(n, group)
	for i := range states {
		states[i].node = wrap(states[i].node)
	}
	return states, err
}

// fixed reports whether there is only one way to match n at a given place.
func fixed(n *node) bool {
	return !n.contains(func(n *node) bool { return n.op == opAlt || n.op == opRepeat && n.min != n.max })
}

// assume replaces the conditions on group by their branch.
func assume(n *node, group int, took bool) *node {
	if n.op == opCond && n.group == group {
		if took {
			return assume(n.subs[0], group, took)
		}
		return assume(n.subs[1], group, took)
	}
	return n.each(func(sub *node) *node { return assume(sub, group, took) })
}
