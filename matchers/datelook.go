package matchers

// A lookAround is a condition on the bytes before or behind a place: one of a few sequences of fixed length.
type lookAround struct {
	behind, not bool
	any         []lookSequence
}

// A lookSequence is a row of bytes and places.
type lookSequence []lookStep

type lookStep struct {
	assert bool
	on     dateAssert
	set    byteSet
}

// maxDateLook bounds the sequences that one look-around may stand for.
const maxDateLook = 64

func (p *dateParser) lookAround(at int, behind, not bool) (*dateNode, error) {
	n, err := p.closed(at)
	if err != nil {
		return nil, err
	}
	if n, err = expandRefs(n); err != nil {
		return nil, err
	}
	any, ok := lookSequences(n)
	if !ok {
		return nil, p.errorf(at, "a look-around may hold only a few sequences of fixed length")
	}
	return &dateNode{op: dateNodeLook, look: &lookAround{behind, not, any}, at: at}, nil
}

// lookSequences lists what n can match, if that is little.
func lookSequences(n *dateNode) (list []lookSequence, ok bool) {
	switch n.op {
	case dateNodeSet:
		return []lookSequence{{{set: n.set}}}, true
	case dateNodeAssert:
		return []lookSequence{{{assert: true, on: n.assert}}}, true
	case dateNodeGroup:
		return lookSequences(n.sub[0])
	case dateNodeAlt:
		for _, s := range n.sub {
			l, ok := lookSequences(s)
			if list = append(list, l...); !ok || len(list) > maxDateLook {
				return nil, false
			}
		}
		return list, true
	case dateNodeCat:
		return lookRows(n.sub)
	case dateNodeRepeat:
		for i := n.min; i <= n.max; i++ {
			row := make([]*dateNode, i)
			for j := range row {
				row[j] = n.sub[0]
			}
			l, ok := lookRows(row)
			if list = append(list, l...); !ok || len(list) > maxDateLook {
				return nil, false
			}
		}
		return list, n.max >= 0
	}
	return nil, false
}

// lookRows lists every row of the parts' sequences.
func lookRows(parts []*dateNode) ([]lookSequence, bool) {
	list := []lookSequence{nil}
	for _, s := range parts {
		l, ok := lookSequences(s)
		if !ok || len(list)*len(l) > maxDateLook {
			return nil, false
		}
		var longer []lookSequence
		for _, a := range list {
			for _, b := range l {
				longer = append(longer, append(a[:len(a):len(a)], b...))
			}
		}
		list = longer
	}
	return list, true
}

func (l *lookAround) holds(line []byte, pos int) bool {
	for _, seq := range l.any {
		if seq.match(line, pos, l.behind) {
			return !l.not
		}
	}
	return l.not
}

func (s lookSequence) match(line []byte, pos int, behind bool) bool {
	if behind {
		for _, step := range s {
			if !step.assert {
				pos--
			}
		}
		if pos < 0 {
			return false
		}
	}
	for _, step := range s {
		switch {
		case step.assert:
			if !step.on.holds(line, pos) {
				return false
			}
		case pos >= len(line) || !step.set.has(line[pos]):
			return false
		default:
			pos++
		}
	}
	return true
}
