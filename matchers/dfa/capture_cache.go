package dfa

import "math"

// Bounds of a CaptureCache. When one is reached all states are forgotten, and made anew as they are needed.
const (
	maxCaptureStates = 4000
	maxCaptureBytes  = 4 << 20
)

// An edge costs as much as some bytes of regexp. Beyond edgeCredit of them a regex may have one for every
// bytesPerEdge bytes that it reads; if it wants more, regexp does it for less.
const (
	edgeCredit   = 8000
	bytesPerEdge = 16
)

// CaptureCache runs Captures. It is for one goroutine. Its table has a row for each state, with a column for
// each symbol of the alphabet:
//
//	            symbol 0   1     2     high    …  end
//	a state     next     next  special special    special
//
// An entry is the row that comes next, as an index into the table, if that is all there is to it; it is
// marked if the state there is decided. All others are special: one byte does not tell the symbol (high),
// the edge is not built yet, registers are to be written, or the next state ends the search.
type CaptureCache struct {
	of       *Captures
	stride   uint32
	first    uint32 // the row where texts begin
	table    []uint32
	states   []captureState
	index    map[string]uint32 // states by key
	edges    []captureEdge     // where special entries lead
	moves    []move            // of edges
	bytes    int               // of all of these, roughly
	reg      []int             // registers; 0 is spare
	step     step
	renaming renaming

	most     int // states
	credit   int
	read     int // bytes for which no credit was given yet
	thrashes bool
	stats    CaptureStats
}

// CaptureStats is what a CaptureCache has done so far.
type CaptureStats struct {
	States  int // built; those that were built again after a flush count again
	Flushes int // times that all states were forgotten
	Work    int // instructions gone through to build edges
	Bytes   int // that the states take now, roughly
}

const (
	stopSpecial uint32 = 1 << 31
	stopDecided uint32 = 1 << 30
	rowMask            = stopDecided - 1
	unbuilt            = stopSpecial // by edges[0], which is none
	noRow       uint32 = math.MaxUint32
)

// A captureState is an ordered list of threads. threads and tags never change.
type captureState struct {
	threads []uint32   // an instruction each, or restart or matched
	tags    []register // by thread, then by tag
	names   []register // that are in tags, as they are met there, each once
	before  kind       // of the rune that led here
	final   bool       // no rune can change what was found
	decided bool       // all threads have the same registers, and none will set a tag
}

// Threads that are no instructions.
const (
	restart uint32 = math.MaxUint32 - iota // a search that begins here
	matched                                // what is found unless a thread before it matches
)

// A captureEdge is what a symbol makes of a state, if that is more than a look into the table.
type captureEdge struct {
	row      uint32
	from, to int // in moves
}

// NewCache makes a cache. It takes next to no memory before its first line.
func (c *Captures) NewCache() *CaptureCache {
	return &CaptureCache{of: c, stride: uint32(c.alphabet.size()), first: noRow, most: maxCaptureStates, credit: edgeCredit}
}

// Stats says what c has done so far.
func (c *CaptureCache) Stats() CaptureStats {
	s := c.stats
	s.Work, s.Bytes = c.step.work, c.bytes
	return s
}

// begin returns the row where texts begin.
func (c *CaptureCache) begin() uint32 {
	if c.first != noRow {
		return c.first
	}
	if c.index == nil {
		c.step.init(c.of)
		c.flush()
	}
	c.step.begin()
	c.first = c.intern() * c.stride
	return c.first
}

// flush forgets all states.
func (c *CaptureCache) flush() {
	c.table, c.states, c.moves, c.bytes = c.table[:0], c.states[:0], c.moves[:0], 0
	c.edges = append(c.edges[:0], captureEdge{})
	if c.index == nil {
		c.index = map[string]uint32{}
	}
	clear(c.index)
	c.first = noRow
}

func (c *CaptureCache) state(row uint32) *captureState { return &c.states[row/c.stride] }

// advance does what the table says for a symbol or, where it says nothing yet, finds that out. It returns
// noRow if the regex thrashes.
func (c *CaptureCache) advance(row, symbol uint32, at int) uint32 {
	entry := c.table[row+symbol]
	if entry&stopSpecial == 0 {
		return entry & rowMask
	}
	if entry != unbuilt {
		return c.take(c.edges[entry&^stopSpecial], at)
	}
	if c.credit--; c.credit < 0 {
		c.thrashes = true
		return noRow
	}
	return c.take(c.build(row, symbol), at)
}

// take writes the registers of an edge and returns where it leads.
func (c *CaptureCache) take(e captureEdge, at int) uint32 {
	for _, m := range c.moves[e.from:e.to] {
		if m.from == here {
			c.reg[m.to] = at
		} else {
			c.reg[m.to] = c.reg[m.from]
		}
	}
	return e.row
}

// build makes the edge of a symbol, and the state that it leads to if there is none such.
func (c *CaptureCache) build(row, symbol uint32) captureEdge {
	c.step.follow(c.state(row), symbol)
	if len(c.states) >= c.most || c.bytes > maxCaptureBytes {
		c.flush()
		c.stats.Flushes++
		row = noRow
	}
	e := captureEdge{from: len(c.moves)}
	s := c.intern()
	e.row, e.to = s*c.stride, len(c.moves)
	if row == noRow {
		return e
	}
	entry := e.row
	switch next := &c.states[s]; {
	case next.final || e.from < e.to:
		entry = stopSpecial | uint32(len(c.edges))
		c.edges = append(c.edges, e)
		c.bytes += 24 + 8*(e.to-e.from)
	case next.decided:
		entry |= stopDecided
	}
	c.table[row+symbol] = entry
	return e
}

// intern returns the state of the threads in c.step, and appends to c.moves what turns its registers into
// those of the state.
func (c *CaptureCache) intern() uint32 {
	t := &c.step.next
	key := c.renaming.key(t)
	if s, known := c.index[string(key)]; known {
		c.moves = c.renaming.moves(c.moves, c.states[s].names)
		return s
	}
	s := uint32(len(c.states))
	c.index[string(key)] = s
	c.states = append(c.states, c.newState(t))
	c.moves = c.renaming.moves(c.moves, c.states[s].names)
	for range c.stride {
		c.table = append(c.table, unbuilt)
	}
	c.stats.States++
	c.bytes += 4*int(c.stride) + len(key) + 4*(len(t.threads)+len(t.tags)) + 150
	return s
}

func (c *CaptureCache) newState(t *threads) captureState {
	s := captureState{before: t.before, final: len(t.threads) == 0 || t.threads[0] == matched}
	s.threads = append(s.threads, t.threads...)
	s.tags, s.names = c.renaming.named(t)
	for _, r := range s.names {
		for int(r) >= len(c.reg) {
			c.reg = append(c.reg, 0)
		}
	}
	s.decided = len(t.threads) > 0 && c.agree(&s)
	return s
}

// agree reports whether all threads of s have the same registers and keep them.
func (c *CaptureCache) agree(s *captureState) bool {
	n := c.of.tags()
	for i, t := range s.threads {
		if t == restart {
			t = c.of.start
		}
		if t != matched && c.of.program[t].open {
			return false
		}
		for tag := range n {
			if s.tags[i*n+tag] != s.tags[tag] {
				return false
			}
		}
	}
	return true
}
