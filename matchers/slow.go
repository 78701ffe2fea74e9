package matchers

import (
	"time"
	"unicode/utf8"
)

// Limits of the slow path, per line and regex: what takes longer, or is longer, does not match, and is
// counted. The time is checked by regexp2's clock, which ticks every 100 ms.
const (
	slowTime  = 100 * time.Millisecond
	slowBytes = 8 << 10
)

// findSlow asks regexp2, which counts in runes.
func (r *regex) findSlow(text []byte, into []int) (spans []int, found, timedOut bool) {
	if len(text) > slowBytes {
		return into, false, true
	}
	runes, offsets := make([]rune, 0, len(text)), make([]int, 0, len(text)+1)
	for at := 0; at < len(text); {
		c, n := utf8.DecodeRune(text[at:])
		runes, offsets = append(runes, c), append(offsets, at)
		at += n
	}
	offsets = append(offsets, len(text))
	m, err := r.slow.FindRunesMatch(runes)
	if err != nil || m == nil {
		return into, false, err != nil
	}
	for i := range r.names {
		g := m.GroupByNumber(i)
		if g == nil || len(g.Captures) == 0 {
			into = append(into, -1, -1)
			continue
		}
		into = append(into, offsets[g.Index], offsets[g.Index+g.Length])
	}
	return into, true, false
}

// beyondRE2 names what in n the linear engine cannot do; "" if nothing.
func beyondRE2(n *node) string {
	why := ""
	n.contains(func(n *node) bool {
		switch {
		case n.op == opBackref:
			why = "a back-reference"
		case n.op == opCond:
			why = "a conditional group"
		case n.op == opAtomic:
			why = "an atomic group"
		case n.op == opLook && n.back:
			why = "a look-behind"
		case n.op == opLook:
			why = "a look-ahead"
		}
		return why != ""
	})
	return why
}

// relax makes a superset of n for the linear engine: whatever n matches, the result matches too. last says
// that nothing follows n: elsewhere a $ would take away a newline that is still to be matched.
func relax(n *node, last bool) *node {
	switch n.op {
	case opLook:
		return empty()
	case opEnd:
		if !last {
			return empty()
		}
	case opBackref:
		return &node{op: opRepeat, max: -1, subs: []*node{class(anySet)}}
	case opCond:
		return alt(relax(n.subs[0], last), relax(n.subs[1], last))
	case opAtomic:
		return relax(n.subs[0], last)
	case opConcat:
		subs := make([]*node, len(n.subs))
		for i, s := range n.subs {
			subs[i] = relax(s, last && i == len(n.subs)-1)
		}
		return concat(subs...)
	case opRepeat:
		last = last && n.max == 1
	}
	return n.each(func(sub *node) *node { return relax(sub, last) })
}
