package matchers

import (
	"maps"
	"slices"
)

// A graph is an automaton whose edges carry regexes; it is turned into one regex by taking out one state
// after the other and writing what went through it on the edges that remain.
type graph struct {
	from map[int]map[int]*node // by the states that an edge leaves and reaches
	to   map[int]map[int]bool
}

// The states where texts begin and end. All others are counted from 0.
const (
	graphStart = -1
	graphEnd   = -2
)

func newGraph() *graph { return &graph{map[int]map[int]*node{}, map[int]map[int]bool{}} }

// edge adds an edge, as an alternative to what there is.
func (g *graph) edge(from, to int, n *node) {
	if g.from[from] == nil {
		g.from[from] = map[int]*node{}
	}
	if g.to[to] == nil {
		g.to[to] = map[int]bool{}
	}
	if old := g.from[from][to]; old != nil {
		n = either(old, n)
	}
	g.from[from][to] = n
	g.to[to][from] = true
}

// either is a|b, as one class if both are one.
func either(a, b *node) *node {
	if a.op == opClass && b.op == opClass {
		return class(a.set.union(b.set))
	}
	return alt(a, b)
}

// regex takes the states out, those with the fewest ways through them first.
func (g *graph) regex(budget *int) (*node, error) {
	for {
		least, ways := 0, -1
		for _, s := range slices.Sorted(maps.Keys(g.from)) {
			if w := len(g.from[s]) * len(g.to[s]); s >= 0 && (ways < 0 || w < ways) {
				least, ways = s, w
			}
		}
		if ways < 0 {
			break
		}
		if err := g.remove(least, budget); err != nil {
			return nil, err
		}
	}
	if n := g.from[graphStart][graphEnd]; n != nil {
		return n, nil
	}
	return fail(), nil
}

func (g *graph) remove(s int, budget *int) error {
	loop := empty()
	if n := g.from[s][s]; n != nil {
		loop = &node{op: opRepeat, max: -1, subs: []*node{n}}
	}
	for _, p := range slices.Sorted(maps.Keys(g.to[s])) {
		in := g.from[p][s]
		if p == s {
			continue
		}
		for _, q := range slices.Sorted(maps.Keys(g.from[s])) {
			if q == s {
				continue
			}
			n := concat(in, loop, g.from[s][q])
			if *budget -= n.size(*budget + 1); *budget < 0 {
				return errNoRewrite
			}
			g.edge(p, q, n)
		}
		delete(g.from[p], s)
	}
	for q := range g.from[s] {
		delete(g.to[q], s)
	}
	delete(g.from, s)
	delete(g.to, s)
	return nil
}
