package matchers

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A runeSet is a set of runes as pairs lo, hi (both included), sorted and apart. It is never changed
// once it is made. A byte that is not UTF-8 counts as the rune U+FFFD, as in Python and in Go.
type runeSet []rune

const maxRune = unicode.MaxRune

// Python's classes for str patterns (re, "Regular Expression Syntax"): they go by Unicode, where Go's go
// by ASCII. Letters and numbers are str.isalnum, blanks str.isspace.
var (
	wordSet  = makeRunes(append(tableRunes(unicode.L, unicode.N), '_', '_')...)
	digitSet = makeRunes(tableRunes(unicode.Nd)...)
	spaceSet = makeRunes('\t', '\r', 0x1c, ' ', 0x85, 0x85, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a,
		0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000, 0x3000)
	anySet     = runeSet{0, maxRune}
	newlineSet = runeSet{'\n', '\n'}
	dotSet     = newlineSet.negate()

	asciiSet  = runeSet{0, utf8.RuneSelf - 1}
	wordHigh  = wordSet.minus(asciiSet)
	digitHigh = digitSet.minus(asciiSet)
)

func tableRunes(tables ...*unicode.RangeTable) []rune {
	var pairs []rune
	add := func(lo, hi, stride rune) {
		if stride == 1 {
			pairs = append(pairs, lo, hi)
			return
		}
		for r := lo; r <= hi; r += stride {
			pairs = append(pairs, r, r)
		}
	}
	for _, t := range tables {
		for _, r := range t.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
		for _, r := range t.R32 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
		}
	}
	return pairs
}

// makeRunes sorts pairs and joins those that touch.
func makeRunes(pairs ...rune) runeSet {
	type pair struct{ lo, hi rune }
	sorted := make([]pair, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		sorted = append(sorted, pair{pairs[i], pairs[i+1]})
	}
	slices.SortFunc(sorted, func(a, b pair) int { return int(a.lo) - int(b.lo) })
	var s runeSet
	for _, p := range sorted {
		if n := len(s); n > 0 && p.lo <= s[n-1]+1 {
			s[n-1] = max(s[n-1], p.hi)
			continue
		}
		s = append(s, p.lo, p.hi)
	}
	return s
}

func (s runeSet) union(t runeSet) runeSet {
	return makeRunes(append(slices.Clone(s), t...)...)
}

func (s runeSet) negate() runeSet {
	var out runeSet
	next := rune(0)
	for i := 0; i < len(s); i += 2 {
		if next < s[i] {
			out = append(out, next, s[i]-1)
		}
		next = s[i+1] + 1
	}
	if next <= maxRune {
		out = append(out, next, maxRune)
	}
	return out
}

func (s runeSet) intersect(t runeSet) runeSet {
	var out runeSet
	for i, j := 0, 0; i < len(s) && j < len(t); {
		if lo, hi := max(s[i], t[j]), min(s[i+1], t[j+1]); lo <= hi {
			out = append(out, lo, hi)
		}
		if s[i+1] < t[j+1] {
			i += 2
		} else {
			j += 2
		}
	}
	return out
}

func (s runeSet) minus(t runeSet) runeSet { return s.intersect(t.negate()) }

func (s runeSet) has(r rune) bool {
	for i := 0; i < len(s) && s[i] <= r; i += 2 {
		if r <= s[i+1] {
			return true
		}
	}
	return false
}

func (s runeSet) equal(t runeSet) bool { return slices.Equal(s, t) }

// fold adds the runes that differ from one in s by case only.
func (s runeSet) fold() runeSet {
	const most = 4096 // runes looked at; larger sets are classes that hold both cases anyway
	out, n := slices.Clone(s), 0
	for i := 0; i < len(s); i += 2 {
		for r := s[i]; r <= s[i+1] && n < most; r++ {
			n++
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				out = append(out, f, f)
			}
		}
	}
	folded := makeRunes(out...)
	for _, i := range "iIİı" {
		if folded.has(i) { // Python takes the four for one, Unicode's folding does not
			return folded.union(makeRunes('I', 'I', 'i', 'i', 'İ', 'ı'))
		}
	}
	return folded
}

// String writes s as a class or a literal that means the same to Go's regexp and to regexp2. The parts of
// \w and \d above ASCII are written by their names: their ranges would fill pages.
func (s runeSet) String() string {
	switch {
	case len(s) == 0:
		return `[^\x00-\x{10FFFF}]`
	case len(s) == 2 && s[0] == s[1]:
		return quoteRune(s[0])
	case s.equal(anySet):
		return `[\s\S]`
	}
	if not := s.negate(); s[len(s)-1] == maxRune && len(not) > 0 {
		return "[^" + not.items() + "]"
	}
	return "[" + s.items() + "]"
}

func (s runeSet) items() string {
	var b strings.Builder
	high := s.minus(asciiSet)
	switch {
	case high.equal(wordHigh) && len(wordSet.minus(s)) == 0:
		b.WriteString(`\p{L}\p{N}`)
		s = s.intersect(asciiSet).minus(runeSet{'0', '9', 'A', 'Z', 'a', 'z'})
	case high.equal(digitHigh) && len(digitSet.minus(s)) == 0:
		b.WriteString(`\p{Nd}`)
		s = s.intersect(asciiSet).minus(runeSet{'0', '9'})
	}
	for i := 0; i < len(s); i += 2 {
		b.WriteString(quoteRune(s[i]))
		if s[i+1] > s[i] {
			b.WriteByte('-')
			b.WriteString(quoteRune(s[i+1]))
		}
	}
	return b.String()
}

// quoteRune writes one rune so that it stands for itself inside and outside of a class.
func quoteRune(r rune) string {
	switch {
	case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		return string(r)
	case r >= ' ' && r < 0x7f && r != '-': // regexp2 does not take \- for the end of a range
		if strings.ContainsRune(` "%',:;<=>@_!/`, r) {
			return string(r)
		}
		return `\` + string(r)
	}
	const hex = "0123456789ABCDEF"
	var b []byte
	for ; r > 0 || len(b) == 0; r >>= 4 {
		b = append(b, hex[r&15])
	}
	slices.Reverse(b)
	return `\x{` + string(b) + `}`
}
