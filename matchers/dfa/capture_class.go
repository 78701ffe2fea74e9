package dfa

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"sort"
	"unicode"
	"unicode/utf8"
)

// Runes that no instruction tells apart are one class. All runes from 0 on are cut where a class of the
// regex begins or ends, and pieces that are in the same ones are put together:
//
//	[a-f]|[^b]     \0…\140  a  b  c…f  g…      classes 1: \0…\140 g…   2: a c…f   3: b
//
// ASCII is looked up in a table, all else by binary search. Class 0 is of none: in the table it says that a
// byte is no ASCII.

// A runeRange is the class of the runes from first on, to the next range.
type runeRange struct {
	first rune
	class uint16
}

// A classSet says which classes an instruction accepts, a bit for each.
type classSet []uint64

func (s classSet) has(class uint32) bool { return s[class/64]&(1<<(class%64)) != 0 }

// A neighbour is what assertions see of the rune before or behind a place.
type neighbour uint8

const (
	other   neighbour = iota
	word              // of \b: 0-9A-Za-z_
	newline           // of (?m:^) and (?m:$)
	edge              // there is none: the text begins or ends here
)

// looks says which beside a regex tells apart.
type looks struct{ word, newline bool }

func (l looks) at(r rune) neighbour {
	switch {
	case l.newline && r == '\n':
		return newline
	case l.word && syntax.IsWordChar(r):
		return word
	}
	return other
}

// around says which assertions are true between two neighbours.
func around(before, after neighbour) syntax.EmptyOp {
	var ops syntax.EmptyOp
	if before == edge {
		ops |= syntax.EmptyBeginText
	}
	if before == edge || before == newline {
		ops |= syntax.EmptyBeginLine
	}
	if after == edge {
		ops |= syntax.EmptyEndText
	}
	if after == edge || after == newline {
		ops |= syntax.EmptyEndLine
	}
	if (before == word) != (after == word) {
		return ops | syntax.EmptyWordBoundary
	}
	return ops | syntax.EmptyNoWordBoundary
}

// class is the class of a rune, ASCII or not.
func (c *Captures) class(r rune) uint32 {
	if r < utf8.RuneSelf {
		return uint32(c.ascii[r])
	}
	i := sort.Search(len(c.ranges), func(i int) bool { return c.ranges[i].first > r })
	return uint32(c.ranges[i-1].class)
}

// endClass stands for what follows a text.
func (c *Captures) endClass() uint32 { return uint32(c.classes) - 1 }

// partition finds the classes of the runes that the instructions of prog accept, and returns for each
// instruction the number of its set.
func (c *Captures) partition(prog *syntax.Prog) []uint32 {
	var sets [][]rune
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
			n = uint32(len(sets))
			numbers[string(key)], sets = n, append(sets, pairs)
		}
		of[i] = n
	}
	c.beside = append(c.beside, other) // of class 0
	classes := map[string]uint16{}
	for _, first := range c.cuts(sets) {
		at := c.looks.at(first)
		key = append(key[:0], byte(at))
		for _, pairs := range sets {
			key = append(key, accepts(pairs, first))
		}
		class, known := classes[string(key)]
		if !known {
			class = uint16(len(c.beside))
			classes[string(key)] = class
			c.beside = append(c.beside, at)
		}
		c.ranges = append(c.ranges, runeRange{first, class})
	}
	c.beside = append(c.beside, edge)
	c.classes = len(c.beside)
	c.fill(sets)
	return of
}

// fill makes the tables that are looked into from the ranges of classes.
func (c *Captures) fill(sets [][]rune) {
	for r, next := rune(0), 0; r < utf8.RuneSelf; r++ {
		if c.ranges[next].first == r {
			next++
		}
		c.ascii[r] = uint8(c.ranges[next-1].class)
	}
	c.sets = make([]classSet, len(sets))
	for i, pairs := range sets {
		c.sets[i] = make(classSet, c.classes/64+1)
		for _, w := range c.ranges {
			if accepts(pairs, w.first) == 1 {
				c.sets[i][w.class/64] |= 1 << (w.class % 64)
			}
		}
	}
}

// cuts are the runes at which a range of some set, or of what assertions tell apart, begins or has ended.
func (c *Captures) cuts(sets [][]rune) []rune {
	cuts := []rune{0, utf8.RuneSelf}
	for _, pairs := range sets {
		for i := 0; i < len(pairs); i += 2 {
			cuts = append(cuts, pairs[i], pairs[i+1]+1)
		}
	}
	if c.looks.newline {
		cuts = append(cuts, '\n', '\n'+1)
	}
	if c.looks.word {
		cuts = append(cuts, '0', '9'+1, 'A', 'Z'+1, '_', '_'+1, 'a', 'z'+1)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	if last := len(cuts) - 1; cuts[last] > unicode.MaxRune {
		cuts = cuts[:last]
	}
	return cuts
}

// accepted are the runes that an instruction accepts, as pairs of a first and a last one, in order.
func accepted(i *syntax.Inst) []rune {
	switch i.Op {
	case syntax.InstRuneAny:
		return []rune{0, unicode.MaxRune}
	case syntax.InstRuneAnyNotNL:
		return []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}
	case syntax.InstRune, syntax.InstRune1:
		if len(i.Rune) != 1 {
			return i.Rune
		}
	default:
		return nil
	}
	r := i.Rune[0]
	runes := []rune{r}
	if syntax.Flags(i.Arg)&syntax.FoldCase != 0 {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			runes = append(runes, f)
		}
	}
	slices.Sort(runes)
	var pairs []rune
	for _, r := range runes {
		pairs = append(pairs, r, r)
	}
	return pairs
}

// accepts is 1 if r is in one of pairs, else 0.
func accepts(pairs []rune, r rune) byte {
	i := sort.Search(len(pairs)/2, func(i int) bool { return pairs[2*i+1] >= r })
	if 2*i < len(pairs) && pairs[2*i] <= r {
		return 1
	}
	return 0
}
