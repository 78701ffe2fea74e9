package dfa

import (
	"slices"
	"unicode/utf8"
)

// The rules tell few runes apart: to most of them q is what x is. The alphabet joins the runes that no rule
// can tell from one another into one symbol, and the automaton has an edge for each symbol:
//
//	byte < 0x80  ── ascii ──────────────────────────► symbol
//	byte ≥ 0x80  ── UTF-8 ──► rune ── low, starts ──► symbol     a byte that is no UTF-8 is U+FFFD
//	the end      ───────────────────────────────────► symbol
//
// So a rune is one step whatever its length, and an automaton sees of a text exactly what package regexp
// does. Runes beyond ASCII take a slower way through the scan; they are rare in logs.

// lowRunes is how many runes have their symbol in a table: those of one or two bytes.
const lowRunes = 0x800

// An alphabet says which symbol a rune is.
type alphabet struct {
	ascii  [256]uint8 // by byte; all bytes from 0x80 on have the symbol high
	low    []uint16   // by rune below lowRunes
	starts []rune     // where the runs of runes begin that have one symbol
	runs   []uint16   // their symbols
	kinds  []kind     // by symbol
	high   int        // stands for a byte that begins no rune of ASCII: decode it
	end    int        // behind the last rune
}

// A kind is what the empty-width conditions want to know of a symbol.
type kind uint8

const (
	kindWord    kind = 1 << iota // of [0-9A-Za-z_]: \b goes by ASCII
	kindNewline                  // \n
	kindNone                     // no rune: before the first, behind the last
)

// size is the number of symbols.
func (a *alphabet) size() int { return len(a.kinds) }

// rune is the symbol of a rune.
func (a *alphabet) rune(r rune) int {
	if r < lowRunes {
		return int(a.low[r])
	}
	i, found := slices.BinarySearch(a.starts, r)
	if !found {
		i--
	}
	return int(a.runs[i])
}

// newAlphabet makes the alphabet of classes, each a list of pairs lo, hi as regexp/syntax has them, sorted,
// and returns which symbols each class holds.
func newAlphabet(classes [][]rune) (*alphabet, []bitset) {
	starts := cuts(classes)
	// What is told of a run: the kind of its runes, and the classes that hold it.
	told := make([][]byte, len(starts))
	for i, r := range starts {
		told[i] = append(told[i], byte(kindOf(r)))
	}
	for c, class := range classes {
		for i := 0; i < len(class); i += 2 {
			from, _ := slices.BinarySearch(starts, class[i])
			for at := from; at < len(starts) && starts[at] <= class[i+1]; at++ {
				told[at] = append(told[at], byte(c), byte(c>>8), byte(c>>16))
			}
		}
	}
	a := &alphabet{starts: starts}
	known := map[string]uint16{}
	symbol := func(i int) uint16 {
		s, ok := known[string(told[i])]
		if !ok {
			s = uint16(len(a.kinds))
			known[string(told[i])] = s
			a.kinds = append(a.kinds, kind(told[i][0]))
		}
		return s
	}
	i := 0
	for ; i < len(starts) && starts[i] < utf8.RuneSelf; i++ {
		a.runs = append(a.runs, symbol(i))
	}
	a.high, a.end = len(a.kinds), len(a.kinds)+1
	a.kinds = append(a.kinds, 0, kindNone)
	for ; i < len(starts); i++ {
		a.runs = append(a.runs, symbol(i))
	}
	a.tables()
	return a, a.holds(classes, told, known)
}

// tables fills what is looked up by byte and by rune.
func (a *alphabet) tables() {
	a.low = make([]uint16, lowRunes)
	run := 0
	for r := range a.low {
		for run+1 < len(a.starts) && a.starts[run+1] <= rune(r) {
			run++
		}
		a.low[r] = a.runs[run]
	}
	for b := range a.ascii {
		if a.ascii[b] = uint8(a.high); b < utf8.RuneSelf {
			a.ascii[b] = uint8(a.low[b])
		}
	}
}

// holds says for each class which symbols are in it.
func (a *alphabet) holds(classes [][]rune, told [][]byte, known map[string]uint16) []bitset {
	sets := make([]bitset, len(classes))
	for c := range sets {
		sets[c] = newBitset(a.size())
	}
	for _, t := range told {
		for at := 1; at < len(t); at += 3 {
			c := int(t[at]) | int(t[at+1])<<8 | int(t[at+2])<<16
			sets[c].add(int(known[string(t)]))
		}
	}
	return sets
}

// cuts is where runes begin that may differ from those before: at the ends of classes, of the kinds, and of
// ASCII.
func cuts(classes [][]rune) []rune {
	starts := []rune{0, '\n', '\n' + 1, '0', '9' + 1, 'A', 'Z' + 1, '_', '_' + 1, 'a', 'z' + 1, utf8.RuneSelf}
	for _, class := range classes {
		for i := 0; i < len(class); i += 2 {
			starts = append(starts, class[i], class[i+1]+1)
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	for len(starts) > 0 && starts[len(starts)-1] > utf8.MaxRune {
		starts = starts[:len(starts)-1]
	}
	return starts
}

func kindOf(r rune) kind {
	switch {
	case r == '\n':
		return kindNewline
	case '0' <= r && r <= '9', 'A' <= r && r <= 'Z', r == '_', 'a' <= r && r <= 'z':
		return kindWord
	}
	return 0
}

// A bitset is a set of small numbers.
type bitset []uint64

func newBitset(size int) bitset { return make(bitset, (size+63)/64) }

func (b bitset) add(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]>>(i%64)&1 != 0 }
