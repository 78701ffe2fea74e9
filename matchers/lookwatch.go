package matchers

import "slices"

// A watch is a look-ahead that is not yet decided.
type watch struct {
	a     *automaton
	state int
	not   bool
}

const (
	undecided = iota
	holds     // whatever follows
	broken    // whatever follows
)

func (w watch) verdict() int {
	s := w.a.states[w.state]
	switch {
	case s.found == w.not && (s.found || len(s.items) == 0):
		return broken
	case s.found || len(s.items) == 0:
		return holds
	}
	return undecided
}

// at reports whether the look-ahead holds if the text ends here.
func (w watch) atEnd() (bool, error) {
	ends, err := w.a.ends(w.state)
	return ends != w.not, err
}

// over groups the runes of a set by what the look-ahead comes to behind them.
func (w watch) over(set runeSet) ([]watchedSet, error) {
	var groups []watchedSet
	for i, atom := range w.a.atoms {
		part := set.intersect(atom)
		if len(part) == 0 {
			continue
		}
		s, err := w.a.step(w.state, i)
		if err != nil {
			return nil, err
		}
		g := slices.IndexFunc(groups, func(g watchedSet) bool { return g.watch.state == s })
		if g < 0 {
			groups = append(groups, watchedSet{part, watch{w.a, s, w.not}})
			continue
		}
		groups[g].set = groups[g].set.union(part)
	}
	return groups, nil
}

type watchedSet struct {
	set   runeSet
	watch watch
}

// heldBy reports whether the look-ahead holds for whatever begins with f.
func (w watch) heldBy(f first) bool {
	groups, err := w.over(f.set)
	return err == nil && !f.none && len(groups) == 1 && groups[0].watch.verdict() == holds
}
