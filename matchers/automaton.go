package matchers

import (
	"fmt"
	"slices"
)

// An automaton decides about the x of (?!x) or (?=x) rune by rune. Its states are sets of positions in x:
// one automaton serves a single look-ahead and any number of them that began at different runes, which
// is what a tempered dot needs. It is built as far as it is asked for.
type automaton struct {
	items  []item
	atoms  []runeSet // runes that no state tells apart, all runes in all
	states []state
	byKey  map[string]int
}

// An item is an instruction of x, as in Thompson's construction.
type item struct {
	op   op      // opClass, opAlt (go to both), opEmpty (match), or an assertion
	set  runeSet // opClass
	next int
	also int // opAlt
}

type state struct {
	items []int // positions, sorted; empty: no x can match any more
	word  bool  // the rune before was a word's
	found bool  // an x has matched, whatever follows
	next  []int // by atom; -1: not built
}

const (
	maxItems  = 2000 // of x
	maxStates = 200
)

// newAutomaton builds the automaton of x.
func newAutomaton(x *node) (*automaton, error) {
	a := &automaton{byKey: map[string]int{}}
	a.items = append(a.items, item{op: opEmpty})
	start, err := a.compile(x, 0)
	if err != nil {
		return nil, err
	}
	a.items = append(a.items, item{op: opAlt, next: start, also: start})
	a.partition()
	return a, nil
}

// start is the position at which an x begins.
func (a *automaton) start() int { return len(a.items) - 1 }

// compile adds n, to be followed by the item next, and returns where it begins.
func (a *automaton) compile(n *node, next int) (int, error) {
	if len(a.items) > maxItems {
		return 0, errNoRewrite
	}
	var err error
	switch n.op {
	case opEmpty:
		return next, nil
	case opFail:
		return a.add(item{op: opClass}), nil
	case opClass:
		return a.add(item{op: opClass, set: n.set, next: next}), nil
	case opConcat:
		for _, sub := range slices.Backward(n.subs) {
			if next, err = a.compile(sub, next); err != nil {
				return 0, err
			}
		}
		return next, nil
	case opAlt:
		all := -1
		for _, sub := range slices.Backward(n.subs) {
			one, err := a.compile(sub, next)
			if err != nil {
				return 0, err
			}
			if all < 0 {
				all = one
			} else {
				all = a.add(item{op: opAlt, next: one, also: all})
			}
		}
		return all, nil
	case opRepeat:
		return a.compileRepeat(n, next)
	case opBoundary, opNoBoundary, opEnd, opEndText:
		return a.add(item{op: n.op, next: next}), nil
	}
	return 0, errNoRewrite // groups, and look-arounds within look-arounds
}

func (a *automaton) compileRepeat(n *node, next int) (int, error) {
	var err error
	if n.max < 0 {
		loop := a.add(item{op: opAlt, also: next})
		body, err := a.compile(n.subs[0], loop)
		if err != nil {
			return 0, err
		}
		a.items[loop].next = body
		next = loop
	}
	for i := n.max; i > n.min; i-- {
		body, err := a.compile(n.subs[0], next)
		if err != nil {
			return 0, err
		}
		next = a.add(item{op: opAlt, next: body, also: next})
	}
	for range n.min {
		if next, err = a.compile(n.subs[0], next); err != nil {
			return 0, err
		}
	}
	return next, nil
}

func (a *automaton) add(i item) int {
	a.items = append(a.items, i)
	return len(a.items) - 1
}

// partition splits the runes into atoms.
func (a *automaton) partition() {
	a.atoms = []runeSet{anySet}
	split := func(by runeSet) {
		var atoms []runeSet
		for _, atom := range a.atoms {
			for _, part := range []runeSet{atom.intersect(by), atom.minus(by)} {
				if len(part) > 0 {
					atoms = append(atoms, part)
				}
			}
		}
		a.atoms = atoms
	}
	split(newlineSet)
	for _, i := range a.items {
		switch i.op {
		case opClass:
			split(i.set)
		case opBoundary, opNoBoundary:
			split(wordSet)
		}
	}
}

// state returns the state of a set of positions.
func (a *automaton) state(items []int, word, found bool) (int, error) {
	slices.Sort(items)
	items = slices.Compact(items)
	key := fmt.Sprint(items, word, found)
	if s, known := a.byKey[key]; known {
		return s, nil
	}
	if len(a.states) == maxStates {
		return 0, errNoRewrite
	}
	next := slices.Repeat([]int{-1}, len(a.atoms))
	a.states = append(a.states, state{items: items, word: word, found: found, next: next})
	a.byKey[key] = len(a.states) - 1
	return len(a.states) - 1, nil
}

// begin is the state in which one x begins here.
func (a *automaton) begin() (int, error) { return a.begun(-1) }

// begun is state s with one more x beginning here; -1 is the state of none.
func (a *automaton) begun(s int) (int, error) {
	items, word := []int{a.start()}, false
	if s >= 0 {
		items, word = append(items, a.states[s].items...), a.states[s].word
	}
	if closed, assertion := a.closure(items, nil); !assertion && slices.Contains(closed, 0) {
		return a.state(nil, false, true)
	}
	return a.state(items, word, false)
}

// step is the state behind a rune of an atom.
func (a *automaton) step(s, atom int) (int, error) {
	if t := a.states[s].next[atom]; t >= 0 {
		return t, nil
	}
	from := a.states[s]
	word := len(a.atoms[atom].minus(wordSet)) == 0
	at := &spot{before: from.word, after: word, newline: a.atoms[atom].has('\n')}
	items, _ := a.closure(from.items, at)
	if at.unknown {
		return 0, errNoRewrite
	}
	found := from.found || slices.Contains(items, 0)
	var moved []int
	for _, i := range items {
		if it := a.items[i]; it.op == opClass && len(it.set.intersect(a.atoms[atom])) > 0 {
			moved = append(moved, it.next)
		}
	}
	if closed, _ := a.closure(moved, nil); slices.Contains(closed, 0) {
		found = true
	}
	if found || len(moved) == 0 {
		moved, word = nil, false
	}
	t, err := a.state(moved, word, found)
	if err == nil {
		a.states[s].next[atom] = t
	}
	return t, err
}

// ends reports whether an x matches if the text ends in state s.
func (a *automaton) ends(s int) (bool, error) {
	at := &spot{before: a.states[s].word, end: true}
	items, _ := a.closure(a.states[s].items, at)
	if at.unknown {
		return false, errNoRewrite
	}
	return a.states[s].found || slices.Contains(items, 0), nil
}

// A spot is what assertions look at.
type spot struct {
	before, after bool // a word's rune stands there
	newline, end  bool // a newline follows; nothing does
	unknown       bool // set if something was asked that is not known: what stands before x
}

// closure adds the positions that are reached without a rune. Without a spot it passes no assertion, and
// says whether there was one.
func (a *automaton) closure(from []int, at *spot) (items []int, assertion bool) {
	seen := map[int]bool{}
	first := slices.Contains(from, a.start())
	var visit func(i int)
	visit = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		items = append(items, i)
		it := a.items[i]
		switch it.op {
		case opAlt:
			visit(it.next)
			visit(it.also)
		case opBoundary, opNoBoundary, opEnd, opEndText:
			assertion = true
			if at != nil && at.holds(it.op, first) {
				visit(it.next)
			}
		}
	}
	for _, i := range from {
		visit(i)
	}
	return items, assertion
}

// holds evaluates an assertion; first says that an x begins here, so that what stands before is unknown.
func (p *spot) holds(o op, first bool) bool {
	switch o {
	case opEnd:
		return p.end || p.newline
	case opEndText:
		return p.end
	}
	p.unknown = p.unknown || first
	return (p.before != p.after) == (o == opBoundary)
}
