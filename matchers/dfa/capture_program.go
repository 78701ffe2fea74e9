package dfa

import (
	"encoding/binary"
	"regexp/syntax"
	"unicode"
)

// maxInstructions bounds a regex. regexp/syntax itself limits repetition to 1,000 and a regex to some 100,000.
const maxInstructions = 1 << 20

// An instruction is what is left of a syntax.Inst once positions that nobody wants are forgotten:
//
//	<HOST> - (\w+)  ──►  split ─┬► accept [0-9] ► …
//	                            └► …               each step to the next one skips what does nothing
type instruction struct {
	op   operation
	out  uint32
	arg  uint32 // split: the second way; accept: the number of a set; capture: the tag; look: one syntax.EmptyOp
	dead bool   // no match can follow
	open bool   // a tag may be set before the match
}

type operation uint8

const (
	fail operation = iota
	nothing
	accept
	split
	look
	capture
	match
)

// compile takes over prog.
func (c *Captures) compile(prog *syntax.Prog) {
	for i := range prog.Inst {
		if in := &prog.Inst[i]; in.Op == syntax.InstEmptyWidth {
			c.asks |= asked(syntax.EmptyOp(in.Arg))
		}
	}
	c.anchored = prog.StartCond()&syntax.EmptyBeginText != 0
	tags := make([]int, c.groups)
	for i := range tags {
		tags[i] = -1
	}
	for i, g := range c.tagged {
		tags[g] = 2 * i
	}
	sets := c.spell(prog)
	c.program = make([]instruction, len(prog.Inst))
	for i := range prog.Inst {
		c.program[i] = translate(&prog.Inst[i], sets[i], tags)
	}
	for i := range c.program {
		in := &c.program[i]
		in.out = c.skip(in.out)
		if in.op == split {
			in.arg = c.skip(in.arg)
		}
	}
	c.start = c.skip(uint32(prog.Start))
	c.prune()
}

// asked is what an assertion wants to know of the rune before it.
func asked(op syntax.EmptyOp) kind {
	switch op {
	case syntax.EmptyBeginText:
		return kindNone
	case syntax.EmptyBeginLine:
		return kindNone | kindNewline
	case syntax.EmptyWordBoundary, syntax.EmptyNoWordBoundary:
		return kindWord
	}
	return 0
}

// spell makes the alphabet of the runes that the instructions accept, and returns for each instruction the
// number of its set.
func (c *Captures) spell(prog *syntax.Prog) []uint32 {
	var classes [][]rune
	var key []byte
	numbers, of := map[string]uint32{}, make([]uint32, len(prog.Inst))
	for i := range prog.Inst {
		pairs := accepted(&prog.Inst[i])
		key = key[:0]
		for _, r := range pairs {
			key = binary.BigEndian.AppendUint32(key, uint32(r))
		}
		n, known := numbers[string(key)]
		if !known {
			n = uint32(len(classes))
			numbers[string(key)], classes = n, append(classes, pairs)
		}
		of[i] = n
	}
	c.alphabet, c.sets = newAlphabet(classes)
	return of
}

// accepted are the runes that an instruction accepts, as pairs of a first and a last one.
func accepted(i *syntax.Inst) []rune {
	switch i.Op {
	case syntax.InstRuneAny:
		return []rune{0, unicode.MaxRune}
	case syntax.InstRuneAnyNotNL:
		return []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}
	case syntax.InstRune, syntax.InstRune1:
		switch {
		case len(i.Rune) != 1:
			return i.Rune
		case syntax.Flags(i.Arg)&syntax.FoldCase != 0:
			return folded(i.Rune[0])
		}
		return []rune{i.Rune[0], i.Rune[0]}
	}
	return nil
}

func translate(in *syntax.Inst, set uint32, tags []int) instruction {
	switch in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		return instruction{op: split, out: in.Out, arg: in.Arg}
	case syntax.InstEmptyWidth:
		return instruction{op: look, out: in.Out, arg: in.Arg}
	case syntax.InstMatch:
		return instruction{op: match}
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return instruction{op: accept, out: in.Out, arg: set}
	case syntax.InstCapture:
		if tag := tags[in.Arg/2]; tag >= 0 {
			return instruction{op: capture, out: in.Out, arg: uint32(tag) + in.Arg%2}
		}
		return instruction{op: nothing, out: in.Out}
	case syntax.InstNop:
		return instruction{op: nothing, out: in.Out}
	}
	return instruction{op: fail}
}

// skip is the first instruction from i on that does something.
func (c *Captures) skip(i uint32) uint32 {
	for c.program[i].op == nothing {
		i = c.program[i].out
	}
	return i
}

// prune finds out what may still follow each instruction: one pass against the arrows from the match, which
// leaves the others dead, and one from whatever sets a tag, through what is not dead.
func (c *Captures) prune() {
	before := c.arrows()
	for i := range c.program {
		c.program[i].dead = true
	}
	var matches, captures []uint32
	for i := range c.program {
		if c.program[i].op == match {
			matches = append(matches, uint32(i))
		}
	}
	before.each(matches, func(i uint32) bool {
		first := c.program[i].dead
		c.program[i].dead = false
		return first
	})
	for i := range c.program {
		if in := &c.program[i]; !in.dead && (in.op == capture || in.op == match && c.whole) {
			captures = append(captures, uint32(i))
		}
	}
	before.each(captures, func(i uint32) bool {
		in := &c.program[i]
		first := !in.open && !in.dead
		in.open = first || in.open
		return first
	})
}

// arrows are the instructions before each one: from[first[i]:first[i+1]] of i.
type arrows struct {
	first []int
	from  []uint32
}

func (c *Captures) arrows() arrows {
	a := arrows{first: make([]int, len(c.program)+2)}
	each := func(arrow func(from, to uint32)) {
		for i, in := range c.program {
			switch in.op {
			case split:
				arrow(uint32(i), in.out)
				arrow(uint32(i), in.arg)
			case accept, look, capture:
				arrow(uint32(i), in.out)
			}
		}
	}
	n := 0
	each(func(_, to uint32) { a.first[to+2]++; n++ })
	for i := 2; i < len(a.first); i++ {
		a.first[i] += a.first[i-1]
	}
	a.from = make([]uint32, n)
	each(func(from, to uint32) {
		a.from[a.first[to+1]] = from
		a.first[to+1]++
	})
	return a
}

// each visits what stands before the instructions of todo, and these themselves; it goes on from where visit
// returns true, which must not be twice for one.
func (a arrows) each(todo []uint32, visit func(uint32) bool) {
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if visit(i) {
			todo = append(todo, a.from[a.first[i]:a.first[i+1]]...)
		}
	}
}
