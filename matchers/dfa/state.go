package dfa

import (
	"math/bits"
	"regexp/syntax"
	"slices"
)

// A state is what the automaton knows between two symbols: the instructions that wait for the next one, and
// the rules that have matched on the way here.
//
//	          symbol before        here           next symbol
//	a\b  ───────── a ─────────► [cond \b] ────────── ' ' ──────────► match
//
// ^ and \A are decided when the state is made. $, \z, \b and \B must see what comes next: they wait in the state,
// and so what matches behind them is known one symbol later. Behind the last rune there is one more symbol,
// the end.
//
// States are made when a line first needs them. One is a row of the table that says for each symbol which row
// is next.
type state struct {
	insts   span // sorted
	matched span // the rules that matched when it was entered, sorted
	before  kind // the symbol before, if a condition waits; else 0
	dead    bool // nothing can match any more
	chain   int32
}

// A span is a part of cache.arena.
type span struct{ start, end int32 }

// A cell of the table is the next row, times the length of a row so that it need not be multiplied, and a
// mark.
const (
	slow    uint32 = 1 << 31 // look closer: the state was not made yet, a rule has matched, or nothing can match any more
	unknown        = slow    // not made yet: row 0 is no state's
)

// A cache is the states of one automaton that were made so far, for one goroutine.
type cache struct {
	nfa    *nfa
	stride uint32
	table  []uint32 // a row for each state
	states []state  // by row
	arena  []int32  // what their spans are parts of
	byHash map[uint64]int32
	seed   uint64
	start  uint32 // the cell for the row where a line begins; 0 if it was not made yet

	// What is needed to make a state.
	now, next   sparse // instructions before a symbol and behind it
	matched     sparse // rules that have matched on the way: nobody needs what else they could match
	insts, todo []int32
	visits      int // of instructions, for those who ask what it costs
}

func newCache(n *nfa, seed uint64) *cache {
	c := &cache{nfa: n, stride: uint32(n.alphabet.size()), seed: seed}
	c.now, c.next, c.matched = newSparse(len(n.insts)), newSparse(len(n.insts)), newSparse(slices.Max(n.rules)+1)
	c.reset()
	return c
}

// reset forgets all states.
func (c *cache) reset() {
	c.table, c.states, c.arena, c.start = c.table[:0], c.states[:0], c.arena[:0], 0
	c.byHash = map[uint64]int32{}
	c.states = append(c.states, state{})
	c.table = append(c.table, make([]uint32, c.stride)...)
}

// size is what the states take, in bytes.
func (c *cache) size() int {
	const perState = 28 + 24 // the state, and its place in byHash
	return 4*len(c.table) + 4*len(c.arena) + perState*len(c.states)
}

func (c *cache) state(row uint32) *state { return &c.states[row/c.stride] }

func (c *cache) of(s span) []int32 { return c.arena[s.start:s.end] }

// begin is the cell for the row where a line begins.
func (c *cache) begin() uint32 {
	if c.start == 0 {
		c.next.clear()
		c.matched.clear()
		for _, root := range [...]int32{c.nfa.anchored, c.nfa.floating} {
			if root != none {
				c.follow(&c.next, root, kindNone, 0, false)
			}
		}
		c.start = c.cell(c.intern(kindNone))
	}
	return c.start
}

// step makes the cell of a row and symbol. Only the end may follow the last rune, and nothing the end.
func (c *cache) step(row uint32, symbol int) uint32 {
	s := c.state(row)
	after := c.nfa.alphabet.kinds[symbol]
	c.now.clear()
	c.next.clear()
	c.matched.clear()
	for _, i := range c.of(s.insts) {
		if in := &c.nfa.insts[i]; in.op == instCond {
			c.follow(&c.now, i, s.before, after, true)
		} else {
			c.now.add(i)
		}
	}
	if symbol != c.nfa.alphabet.end {
		for _, i := range c.now.dense {
			in := &c.nfa.insts[i]
			if in.op == instClass && c.nfa.classes[in.arg].has(symbol) && !c.matched.has(in.owner) {
				c.follow(&c.next, in.out, after, 0, false)
			}
		}
		if c.nfa.floating != none {
			c.follow(&c.next, c.nfa.floating, after, 0, false)
		}
	}
	cell := c.cell(c.intern(after))
	c.table[row+uint32(symbol)] = cell
	return cell
}

// cell is how the table refers to a row.
func (c *cache) cell(row uint32) uint32 {
	if s := c.state(row); s.dead || s.matched.end > s.matched.start {
		return row | slow
	}
	return row
}

// follow adds to set the instructions that can be reached from i without a symbol, between two symbols of the
// given kinds; decided says that the one behind is known.
func (c *cache) follow(set *sparse, i int32, before, after kind, decided bool) {
	c.todo = append(c.todo[:0], i)
	for len(c.todo) > 0 {
		i := c.todo[len(c.todo)-1]
		c.todo = c.todo[:len(c.todo)-1]
		for i != none && set.add(i) {
			c.visits++
			in := &c.nfa.insts[i]
			i = none
			switch in.op {
			case instSplit:
				c.todo = append(c.todo, in.arg)
				i = in.out
			case instMatch:
				c.matched.add(in.arg)
			case instCond:
				if in.cond&(syntax.EmptyBeginLine|syntax.EmptyBeginText) != 0 || decided {
					if holds(in.cond, before, after) {
						i = in.out
					}
				}
			}
		}
	}
}

// holds reports whether a condition holds between two symbols.
func holds(cond syntax.EmptyOp, before, after kind) bool {
	switch cond {
	case syntax.EmptyBeginText:
		return before&kindNone != 0
	case syntax.EmptyBeginLine:
		return before&(kindNone|kindNewline) != 0
	case syntax.EmptyEndText:
		return after&kindNone != 0
	case syntax.EmptyEndLine:
		return after&(kindNone|kindNewline) != 0
	case syntax.EmptyWordBoundary:
		return (before^after)&kindWord != 0
	}
	return (before^after)&kindWord == 0
}

// intern is the row of the state that c.next and c.matched make, before a symbol of the given kind.
func (c *cache) intern(before kind) uint32 {
	c.insts = c.insts[:0]
	waits := false
	for _, i := range c.next.dense {
		in := &c.nfa.insts[i]
		wait := in.op == instCond && in.cond&(syntax.EmptyBeginLine|syntax.EmptyBeginText) == 0
		if (wait || in.op == instClass) && !c.matched.has(in.owner) {
			c.insts = append(c.insts, i)
			waits = waits || wait
		}
	}
	if !waits {
		before = 0
	}
	slices.Sort(c.insts)
	matched := c.matched.dense
	slices.Sort(matched)
	hash := c.hash(before)
	first, known := c.byHash[hash]
	for at := first; known && at >= 0; at = c.states[at].chain {
		if s := &c.states[at]; s.before == before && slices.Equal(c.of(s.insts), c.insts) && slices.Equal(c.of(s.matched), matched) {
			return uint32(at) * c.stride
		}
	}
	s := state{insts: c.store(c.insts), matched: c.store(matched), before: before, chain: none}
	s.dead = len(c.insts) == 0 && c.nfa.floating == none
	if known {
		s.chain = first
	}
	at := int32(len(c.states))
	c.byHash[hash] = at
	c.states = append(c.states, s)
	row := len(c.table)
	c.table = slices.Grow(c.table, int(c.stride))[:row+int(c.stride)]
	for i := range c.stride {
		c.table[row+int(i)] = unknown
	}
	return uint32(row)
}

func (c *cache) store(list []int32) span {
	start := len(c.arena)
	c.arena = append(c.arena, list...)
	return span{int32(start), int32(len(c.arena))}
}

// hash mixes what makes a state; the seed keeps others from knowing which states fall together.
func (c *cache) hash(before kind) uint64 {
	h := c.seed ^ uint64(before)
	mix := func(v uint64) {
		hi, lo := bits.Mul64(h^v, 0x9e3779b97f4a7c15)
		h = hi ^ lo
	}
	for _, i := range c.insts {
		mix(uint64(i))
	}
	mix(1 << 40)
	for _, r := range c.matched.dense {
		mix(uint64(r) | 1<<41)
	}
	return h
}

// A sparse is a set of small numbers that is emptied at once and keeps the order in which they came.
type sparse struct {
	dense []int32
	place []int32 // by number: where it is in dense, if it is
}

func newSparse(size int) sparse { return sparse{make([]int32, 0, size), make([]int32, size)} }

func (s *sparse) clear() { s.dense = s.dense[:0] }

func (s *sparse) has(i int32) bool {
	if i < 0 {
		return false
	}
	p := s.place[i]
	return int(p) < len(s.dense) && s.dense[p] == i
}

// add reports whether i is new.
func (s *sparse) add(i int32) bool {
	if s.has(i) {
		return false
	}
	s.place[i] = int32(len(s.dense))
	s.dense = append(s.dense, i)
	return true
}
