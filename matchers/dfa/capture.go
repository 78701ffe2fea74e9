package dfa

import (
	"fmt"
	"math"
	"regexp/syntax"
	"unicode/utf8"
)

// Captures finds the groups of one regex in a line, those that regexp's FindSubmatchIndex finds, in one
// pass. It is a tagged DFA, built as far as lines ask for it:
//
//	regex ── CompileCaptures ──► Captures    instructions, symbols for runes, which groups are wanted;
//	         capture_program.go              immutable, shared by goroutines
//	         alphabet.go         │
//	                             │ NewCache: one per goroutine
//	                             ▼
//	line ──────── Find ────► CaptureCache    states and the table that leads from one to the next;
//	                         capture_cache.go, capture_step.go, capture_move.go
//
// A state is what regexp's simulation would hold before it looks at the next rune: its threads, the
// most wanted first, and for each thread and wanted position (a tag: where a group begins or ends) the
// register that holds it. What a rune makes of a state is worked out once. Nearly all steps after that are a
// look into the table; only where a position is to be remembered, or the states' ideas of which register is
// which differ, a few registers are written as well:
//
//	^(\d+)|^\w+     threads       registers
//	state 1         \d+  \w+      -
//	  '7': r0 = 0
//	state 2         \d+  \w+      \d+: begins r0
//	  '7': nothing
//	state 2
//	  ' ': r1 = 2
//	state 3         matched       begins r0, ends r1; nothing may replace it, so this is the end
//
// Where the caller knows that the line matches, Find stops as soon as all threads agree on what is wanted,
// which for a host at the start of a line is soon: whichever of them will match, the answer is the same.
type Captures struct {
	program  []instruction
	start    uint32
	anchored bool  // it matches only where a text begins
	groups   int   // with group 0, wanted or not
	tagged   []int // the groups that are wanted; each has two tags
	whole    bool  // group 0 is wanted, and its tags are 0 and 1

	alphabet *alphabet
	sets     []bitset // the symbols that instructions accept
	asks     kind     // what assertions want to know of the rune before a place
}

// CompileCaptures compiles a regex in the syntax of the package regexp. The groups wanted are numbered as
// there, 0 is the whole match; nil wants all, an empty list none, for a plain yes or no. Each one costs time
// and, where alternatives differ in it, states.
func CompileCaptures(expr string, wanted []int) (*Captures, error) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	groups := tree.MaxCap() + 1
	if wanted == nil {
		wanted = make([]int, groups)
		for i := range wanted {
			wanted[i] = i
		}
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if len(prog.Inst) > maxInstructions {
		return nil, fmt.Errorf("regex has %d instructions, more than %d", len(prog.Inst), maxInstructions)
	}
	c := &Captures{groups: groups}
	if err := c.want(wanted); err != nil {
		return nil, err
	}
	c.compile(prog)
	return c, nil
}

// want numbers the tags: two for each wanted group, group 0 first.
func (c *Captures) want(groups []int) error {
	has := make([]bool, c.groups)
	for _, g := range groups {
		if g < 0 || g >= c.groups {
			return fmt.Errorf("no group %d", g)
		}
		has[g] = true
	}
	for g, wanted := range has {
		if wanted {
			c.tagged = append(c.tagged, g)
		}
	}
	if 2*len(c.tagged) > math.MaxInt16 {
		return fmt.Errorf("%d groups are too many", len(c.tagged))
	}
	c.whole = has[0]
	return nil
}

// Find looks for the leftmost match in a text that is given in pieces, as if they were one: a line before
// and behind its date, say, and the newline. A rune may lie across pieces; a byte that is no UTF-8 is U+FFFD,
// as in regexp. The result is exact for any text.
//
// It appends start and end of each group to spans, as FindSubmatchIndex returns them, -1 for those that took no
// part and those that are not wanted. Positions count from the start of head. If nothing is found spans is
// returned as it came. Nothing is allocated but what states it has not met need.
//
// matches is the caller's knowledge that the regex matches this text, and lets Find stop early; if that is
// wrong, so may the result be.
//
// thrashes says that the regex makes new states on and on, so that regexp would be faster: Find has found
// nothing out about the text, and will not do so for any text from now on.
func (c *CaptureCache) Find(head, tail, end []byte, matches bool, spans []int) (result []int, found, thrashes bool) {
	if c.thrashes {
		return spans, false, true
	}
	stop := stopSpecial
	if matches {
		stop = stopSpecial | stopDecided
	}
	row, at := c.run(head, tail, end, stop)
	if c.read += at; c.read >= bytesPerEdge {
		c.credit = min(c.credit+c.read/bytesPerEdge, edgeCredit)
		c.read %= bytesPerEdge
	}
	if row == noRow {
		return spans, false, true
	}
	s := c.state(row)
	if len(s.threads) == 0 {
		return spans, false, false
	}
	return c.spans(s, spans), true, false
}

// run goes over the text, to the end or to where the state says what was found. It returns the row of that
// state and where it is; noRow if the regex thrashes.
func (c *CaptureCache) run(head, tail, end []byte, stop uint32) (row uint32, at int) {
	row = c.begin()
	if stop&stopDecided != 0 && c.state(row).decided {
		return row, 0
	}
	ascii, pieces := &c.of.alphabet.ascii, [...][]byte{head, tail, end}
	base, i := 0, 0 // i counts in a piece that begins at base
	for p, piece := range pieces {
		for i < len(piece) {
			symbol, width := uint32(ascii[piece[i]]), 1
			next := c.table[row+symbol]
			if next&stop == 0 {
				row = next & rowMask
				i++
				continue
			}
			if piece[i] >= utf8.RuneSelf {
				var r rune
				r, width = decode(pieces[p:], i)
				symbol = uint32(c.of.alphabet.rune(r))
			}
			if row = c.advance(row, symbol, base+i); row == noRow {
				return row, base + i
			}
			if s := c.state(row); s.final || stop&stopDecided != 0 && s.decided {
				return row, base + i
			}
			i += width
		}
		base += len(piece)
		i -= len(piece)
	}
	return c.advance(row, uint32(c.of.alphabet.end), base), base
}

// spans appends the ends of the groups that the first thread of a state has.
func (c *CaptureCache) spans(s *captureState, spans []int) []int {
	first := len(spans)
	for range 2 * c.of.groups {
		spans = append(spans, -1)
	}
	for i, g := range c.of.tagged {
		if start, end := s.tags[2*i], s.tags[2*i+1]; start >= 0 {
			spans[first+2*g], spans[first+2*g+1] = c.reg[start], c.reg[end]
		}
	}
	return spans
}

// decode reads the rune at i of the first piece, which may go on in the next ones.
func decode(pieces [][]byte, i int) (rune, int) {
	if first := pieces[0][i:]; utf8.FullRune(first) {
		return utf8.DecodeRune(first)
	}
	var together [utf8.UTFMax]byte
	n := copy(together[:], pieces[0][i:])
	for _, piece := range pieces[1:] {
		n += copy(together[n:], piece)
	}
	return utf8.DecodeRune(together[:n])
}
