package matchers

import "slices"

// repeat pushes a look-ahead into a repeated part and beyond it.
func (r *lookRewriter) repeat(l []*node, w watch) ([]*node, error) {
	n, rest := l[0], l[1:]
	if n.subs[0].op == opClass && n.max < 0 && n.min <= 1 {
		if star, err := r.star(n, rest, w); err == nil {
			if star.op == opFail {
				return []*node{star}, nil
			}
			return join(row(star), rest...), nil
		}
	}
	if n.max == 0 {
		return r.restrict(rest, w)
	}
	if n.max < 0 && nullable(n.subs[0]) {
		return nil, errNoRewrite
	}
	// One more time, and then again or not.
	less := *n
	less.min, less.max = max(n.min-1, 0), max(n.max-1, -1)
	once, err := r.restrict(join(row(n.subs[0]), join([]*node{&less}, rest...)...), w)
	if err != nil || n.min > 0 {
		return once, err
	}
	none, err := r.restrict(rest, w)
	switch {
	case err != nil:
		return nil, err
	case isFail(none):
		return once, nil
	case isFail(once):
		return none, nil
	case n.lazy:
		return r.choice([][]*node{none, once}, rest)
	}
	return r.choice([][]*node{once, none}, rest)
}

// star pushes a look-ahead into [set]* or [set]+ that is followed by rest. It must be decided by where the
// repetition stops: there rest follows as it is, or cannot follow.
func (r *lookRewriter) star(n *node, rest []*node, w watch) (*node, error) {
	stops := func(w watch) (*node, error) {
		tail, err := r.restrict(rest, w)
		switch {
		case err != nil || isFail(tail):
			return nil, err
		case !slices.Equal(tail, rest):
			return nil, errNoRewrite
		}
		return empty(), nil
	}
	if tree, err := r.tree(n, w, n.min, stops, nil); err == nil {
		return tree, nil
	}
	if !starts(rest).apart(n.subs[0].set) {
		return nil, errNoRewrite // where to stop is a choice, and a graph's regex would choose another way
	}
	return r.graph(w, n.subs[0].set, n.min, stops)
}

// tree writes a repetition out as far as the look-ahead is undecided: [^a]*|a(?:[^b]*|b...)?. It keeps the
// order of a greedy and of a lazy repetition.
func (r *lookRewriter) tree(n *node, w watch, min int, stops func(watch) (*node, error), path []int) (*node, error) {
	switch w.verdict() {
	case broken:
		return fail(), nil
	case holds:
		all := *n
		all.min = min
		return &all, nil
	}
	if err := r.spend(1); err != nil || slices.Contains(path, w.state) {
		return nil, errNoRewrite
	}
	groups, err := w.over(n.subs[0].set)
	if err != nil {
		return nil, err
	}
	more := fail()
	for _, g := range groups {
		tail, err := r.tree(n, g.watch, max(min-1, 0), stops, append(path, w.state))
		if err != nil {
			return nil, err
		}
		more = alt(more, concat(class(g.set), tail))
	}
	if min > 0 {
		return more, nil
	}
	stop, err := stops(w)
	switch {
	case err != nil:
		return nil, err
	case stop == nil:
		return more, nil
	case more.op == opFail:
		return empty(), nil
	}
	return &node{op: opRepeat, max: 1, lazy: n.lazy, subs: []*node{more}}, nil
}

// graph is a regex of the texts over set, of at least min runes, that lead the look-ahead to a state in
// which it may stop: stops says what must match there, nil where it may not.
func (r *lookRewriter) graph(w watch, set runeSet, min int, stops func(watch) (*node, error)) (*node, error) {
	if min > 1 {
		return nil, errNoRewrite
	}
	g := newGraph()
	todo := []watch{w}
	for seen := map[int]bool{w.state: true}; len(todo) > 0; todo = todo[1:] {
		w := todo[0]
		if stop, err := stops(w); err != nil {
			return nil, err
		} else if stop != nil {
			g.edge(w.state, graphEnd, stop)
		}
		if w.verdict() == holds {
			g.edge(w.state, w.state, class(set))
			continue
		}
		groups, err := w.over(set)
		if err != nil {
			return nil, err
		}
		for _, next := range groups {
			if next.watch.verdict() == broken {
				continue
			}
			g.edge(w.state, next.watch.state, class(next.set))
			if !seen[next.watch.state] {
				seen[next.watch.state] = true
				todo = append(todo, next.watch)
			}
		}
	}
	if min == 0 {
		g.edge(graphStart, w.state, empty())
	} else {
		for to, n := range g.from[w.state] {
			if to != graphEnd {
				g.edge(graphStart, to, n)
			}
		}
	}
	return g.regex(&r.budget)
}

// tempered rewrites (?:(?!x)[set])* followed by k: the texts over set in which no x begins. Some x may
// have begun when it stops; what follows must not finish it.
func (r *lookRewriter) tempered(n *node, k []*node) ([]*node, error) {
	parts := row(n.subs[0])
	if n.max >= 0 || n.min > 1 || len(parts) != 2 || parts[0].op != opLook || parts[1].op != opClass || !parts[0].not || parts[0].back {
		return nil, errNoRewrite
	}
	set := parts[1].set
	a, err := newAutomaton(parts[0].subs[0])
	if err != nil {
		return nil, err
	}
	start, err := a.begin()
	if err != nil {
		return nil, err
	}
	stopped, err := r.restrict(k, watch{a, start, true})
	if !starts(k).apart(set) && (err != nil || !isFail(stopped)) {
		return nil, errNoRewrite // it is not forced to stop where k can follow
	}
	g := newGraph()
	none, err := a.state(nil, false, false)
	if err != nil {
		return nil, err
	}
	for todo, seen := []int{none}, map[int]bool{none: true}; len(todo) > 0; todo = todo[1:] {
		s := todo[0]
		tail, err := r.restrict(k, watch{a, s, true})
		switch {
		case err != nil:
			return nil, err
		case slices.Equal(tail, k):
			g.edge(s, graphEnd, empty())
		case !isFail(tail):
			return nil, errNoRewrite
		}
		begun, err := a.begun(s)
		if err != nil {
			return nil, err
		}
		groups, err := watch{a, begun, true}.over(set)
		if err != nil {
			return nil, err
		}
		for _, next := range groups {
			t := next.watch.state
			if a.states[t].found {
				continue
			}
			g.edge(s, t, class(next.set))
			if !seen[t] {
				seen[t] = true
				todo = append(todo, t)
			}
		}
	}
	if n.min == 0 {
		g.edge(graphStart, none, empty())
	} else {
		for to, n := range g.from[none] {
			if to != graphEnd {
				g.edge(graphStart, to, n)
			}
		}
	}
	body, err := g.regex(&r.budget)
	if err != nil {
		return nil, err
	}
	return join(row(body), k...), nil
}

// A first is what a row can begin with: the runes of set, or nothing at all.
type first struct {
	set  runeSet
	none bool
}

// apart reports whether the row must begin with a rune that set does not have, or at the text's end.
func (f first) apart(set runeSet) bool { return !f.none && len(f.set.intersect(set)) == 0 }

func starts(l []*node) first {
	f := first{none: true}
	for _, n := range l {
		one := n.first()
		f.set = f.set.union(one.set)
		if !one.none {
			f.none = false
			break
		}
	}
	return f
}

func (n *node) first() first {
	switch n.op {
	case opClass:
		return first{set: n.set}
	case opEnd:
		return first{set: newlineSet}
	case opEndText, opFail:
		return first{}
	case opConcat:
		return starts(n.subs)
	case opCapture, opAtomic:
		return n.subs[0].first()
	case opRepeat:
		f := n.subs[0].first()
		f.none = f.none || n.min == 0
		return f
	case opAlt:
		var f first
		for _, sub := range n.subs {
			one := sub.first()
			f.set, f.none = f.set.union(one.set), f.none || one.none
		}
		return f
	case opBackref, opCond:
		return first{set: anySet, none: true}
	}
	return first{none: true}
}

// nullable reports whether n can match the empty text.
func nullable(n *node) bool {
	return n.first().none || n.contains(isOp(opEnd)) || n.contains(isOp(opEndText))
}
