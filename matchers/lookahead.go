package matchers

import "slices"

// A lookRewriter takes the look-aheads out of a regex. The idea: in (?!ab)[^x]c the look-ahead and what
// follows it read the same runes, so they can be read together: the first rune is a and then what follows
// must not begin with b, or it is another one and nothing more needs watching: (?:a[^bx]c|[^ax]...).
//
// Regexes are handled as rows of nodes, so that "what follows" reaches beyond the group that a look-ahead
// stands in. Wherever it is decided early, what comes later is left as it is; only where it is not, a part
// of the row is written once for each way of deciding. Alternatives made in this way begin with different
// runes, so their order does not matter, and the first match stays the first.
type lookRewriter struct {
	budget int // nodes that may still be made
	depth  int
}

// row is a node as a row, less what matches nothing.
func row(n *node) []*node {
	switch n.op {
	case opEmpty:
		return nil
	case opConcat:
		return n.subs
	}
	return []*node{n}
}

func join(head []*node, tail ...*node) []*node {
	return append(slices.Clip(slices.Clone(head)), tail...)
}

// before returns what of l stands before k, if l ends with k.
func before(l, k []*node) (head []*node, ok bool) {
	if len(l) < len(k) || !slices.Equal(l[len(l)-len(k):], k) {
		return nil, false
	}
	return l[:len(l)-len(k)], true
}

func isFail(l []*node) bool { return len(l) > 0 && l[0].op == opFail }

func (r *lookRewriter) spend(n int) error {
	if r.budget -= n; r.budget < 0 || r.depth > maxNested {
		return errNoRewrite
	}
	return nil
}

// eliminate returns a row that means n followed by k, without the look-aheads of n. k has none. The row
// ends with k itself wherever that is possible.
func (r *lookRewriter) eliminate(n *node, k []*node) ([]*node, error) {
	if !n.contains(func(n *node) bool { return n.op == opLook || n.op == opEnd }) {
		return join(row(n), k...), nil
	}
	if err := r.spend(1); err != nil {
		return nil, err
	}
	switch n.op {
	case opLook:
		return r.look(n, k)
	case opEnd:
		if len(k) > 0 && (k[0].op == opBoundary || k[0].op == opNoBoundary) { // seen from before the newline
			l, err := r.eliminate(n, k[1:])
			return join(k[:1], l...), err
		}
		if !starts(k).set.has('\n') {
			return join([]*node{n}, k...), nil
		}
		// The newline at the end is still to be matched: $ is printed as if nothing could do that.
		return r.look(&node{op: opLook, subs: []*node{concat(
			&node{op: opRepeat, max: 1, subs: []*node{class(newlineSet)}}, &node{op: opEndText})}}, k)
	case opConcat:
		for _, sub := range slices.Backward(n.subs) {
			var err error
			if k, err = r.eliminate(sub, k); err != nil {
				return nil, err
			}
		}
		return k, nil
	case opCapture:
		end := &node{op: opEmpty}
		l, err := r.eliminate(n.subs[0], join([]*node{end}, k...))
		if err != nil {
			return nil, err
		}
		head, ok := before(l, join([]*node{end}, k...))
		if !ok {
			return nil, errNoRewrite
		}
		return join([]*node{n.with(concat(head...))}, k...), nil
	case opAlt:
		var rows [][]*node
		for _, sub := range n.subs {
			l, err := r.eliminate(sub, k)
			if err != nil {
				return nil, err
			}
			rows = append(rows, l)
		}
		return r.choice(rows, k)
	case opRepeat:
		return r.loop(n, k)
	}
	return nil, errNoRewrite
}

// choice joins alternative rows; if all of them end with k it is written once.
func (r *lookRewriter) choice(rows [][]*node, k []*node) ([]*node, error) {
	heads := make([]*node, 0, len(rows))
	shared := true
	for _, l := range rows {
		head, ok := before(l, k)
		if isFail(l) {
			head, ok = l[:1], true
		}
		shared = shared && ok
		heads = append(heads, concat(head...))
	}
	if shared {
		if n := alt(heads...); n.op != opFail {
			return join(row(n), k...), nil
		}
		return []*node{fail()}, nil
	}
	for i, l := range rows {
		heads[i] = concat(l...)
		if err := r.spend(heads[i].size(r.budget + 1)); err != nil {
			return nil, err
		}
	}
	return []*node{alt(heads...)}, nil
}

// look pushes one look-ahead into what follows it.
func (r *lookRewriter) look(n *node, k []*node) ([]*node, error) {
	if n.back {
		return nil, errNoRewrite
	}
	a, err := newAutomaton(n.subs[0])
	if err != nil {
		return nil, err
	}
	s, err := a.begin()
	if err != nil {
		return nil, err
	}
	return r.restrict(k, watch{a, s, n.not})
}

// loop handles a repeated part with look-aheads in it: a tempered dot, a part in which they are decided,
// or one that is repeated only a few times.
func (r *lookRewriter) loop(n *node, k []*node) ([]*node, error) {
	if l, err := r.tempered(n, k); err == nil {
		return l, nil
	}
	again := &node{op: opBackref, subs: []*node{n.subs[0], concat(k...)}} // what follows: the part again, or k
	if l, err := r.eliminate(n.subs[0], []*node{again}); err == nil {
		if head, ok := before(l, []*node{again}); ok {
			return join([]*node{n.with(concat(head...))}, k...), nil
		}
	}
	const few = 4
	if n.max < 0 || n.max > few {
		return nil, errNoRewrite
	}
	l := k
	for i := n.max; i > 0; i-- {
		once, err := r.eliminate(n.subs[0], l)
		switch {
		case err != nil:
			return nil, err
		case n.max-i >= n.max-n.min:
			l = once
		case n.lazy:
			l, err = r.choice([][]*node{k, once}, k)
		default:
			l, err = r.choice([][]*node{once, k}, k)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// restrict returns a row that means l where the look-ahead w holds; opFail if it never does.
func (r *lookRewriter) restrict(l []*node, w watch) ([]*node, error) {
	switch w.verdict() {
	case holds:
		return l, nil
	case broken:
		return []*node{fail()}, nil
	}
	if err := r.spend(1); err != nil {
		return nil, err
	}
	r.depth++
	defer func() { r.depth-- }()
	if len(l) == 0 {
		return r.beyond(w)
	}
	head, rest := l[0], l[1:]
	switch head.op {
	case opEmpty: // a marker: the end of a capture, which the look-ahead may not change from outside
		return r.past(l, w)
	case opClass:
		return r.runes(l, w)
	case opConcat:
		return r.restrict(join(head.subs, rest...), w)
	case opEnd, opEndText:
		return r.ending(l, w)
	case opBoundary, opNoBoundary, opBegin:
		tail, err := r.restrict(rest, w)
		return join([]*node{head}, tail...), err
	case opAlt:
		var rows [][]*node
		for _, sub := range head.subs {
			one, err := r.restrict(join(row(sub), rest...), w)
			if err != nil {
				return nil, err
			}
			rows = append(rows, one)
		}
		return r.choice(rows, rest)
	case opCapture:
		end := &node{op: opEmpty}
		behind := join([]*node{end}, rest...)
		inside, err := r.restrict(join(row(head.subs[0]), behind...), w)
		if err != nil || isFail(inside) {
			return inside, err
		}
		body, ok := before(inside, behind)
		if !ok {
			return nil, errNoRewrite
		}
		return join([]*node{head.with(concat(body...))}, rest...), nil
	case opRepeat:
		return r.repeat(l, w)
	}
	// The end of a repeated part may be passed if the look-ahead holds both if it is repeated and if not.
	if head.op == opBackref && len(head.subs) == 2 && w.heldBy(head.subs[0].first()) && w.heldBy(head.subs[1].first()) {
		return l, nil
	}
	return nil, errNoRewrite // a back-reference or an atomic group
}

// past lets a look-ahead pass the end of a capture, if that changes nothing behind it.
func (r *lookRewriter) past(l []*node, w watch) ([]*node, error) {
	tail, err := r.restrict(l[1:], w)
	switch {
	case err != nil || isFail(tail):
		return tail, err
	case slices.Equal(tail, l[1:]):
		return l, nil
	}
	return nil, errNoRewrite
}

func (r *lookRewriter) runes(l []*node, w watch) ([]*node, error) {
	groups, err := w.over(l[0].set)
	if err != nil {
		return nil, err
	}
	var free runeSet // with nothing to watch behind them
	var rows [][]*node
	for _, g := range groups {
		tail, err := r.restrict(l[1:], g.watch)
		switch {
		case err != nil:
			return nil, err
		case isFail(tail):
		case slices.Equal(tail, l[1:]):
			free = free.union(g.set)
		default:
			rows = append(rows, join([]*node{class(g.set)}, tail...))
		}
	}
	if free.equal(l[0].set) {
		return l, nil
	}
	if len(free) > 0 {
		rows = append(rows, join([]*node{class(free)}, l[1:]...))
	}
	if len(rows) == 0 {
		return []*node{fail()}, nil
	}
	if len(rows) == 1 {
		return rows[0], nil
	}
	return r.choice(rows, l[1:])
}

// ending decides at the end of the text, or before a newline that ends it.
func (r *lookRewriter) ending(l []*node, w watch) ([]*node, error) {
	atEnd, err := w.atEnd()
	if err != nil {
		return nil, err
	}
	if l[0].op == opEndText {
		if atEnd {
			return l, nil
		}
		return []*node{fail()}, nil
	}
	groups, err := w.over(newlineSet)
	if err != nil {
		return nil, err
	}
	behind := groups[0].watch
	atNewline, err := behind.atEnd()
	if err != nil {
		return nil, err
	}
	switch {
	case atEnd && atNewline:
		return l, nil
	case atEnd:
		return join([]*node{{op: opEndText}}, l[1:]...), nil
	case atNewline:
		return join([]*node{class(newlineSet), {op: opEndText}}, l[1:]...), nil
	}
	return []*node{fail()}, nil
}

// beyond is what the text behind the regex must be for a look-ahead that reaches there. That it becomes
// part of the match does no harm: nobody asks where a match ends.
func (r *lookRewriter) beyond(w watch) ([]*node, error) {
	n, err := r.graph(w, anySet, 0, func(w watch) (*node, error) {
		if w.verdict() == holds {
			return empty(), nil
		}
		if ok, err := w.atEnd(); !ok || err != nil {
			return nil, err
		}
		return &node{op: opEndText}, nil
	})
	if err != nil {
		return nil, err
	}
	return []*node{n}, nil
}
