package dfa

import (
	"math/rand/v2"
	"regexp"
	"strings"
)

// A generator makes random regexes, and texts of which they match a good part.
type generator struct {
	*rand.Rand
	letters []string // what texts are made of
}

// alphabets are what regexes and texts share. Bytes that are no UTF-8 are only in texts.
var alphabets = [][]string{
	{"a", "b", " "},
	{"a", "B", "1", "_", "-", ":", "\t"},
	{"a", "b", "é", "ſ", "K", "s", "k", "\u2028", "\U0001F600"},
	{"a", "é", "\xff", "\xe2\x82", "\x80", "\xf0\x9f", "€", "\uFFFD", " "},
	{"a", " ", "\n", "\r", "b"},
}

func newGenerator(seed uint64) *generator {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	g.letters = alphabets[g.IntN(len(alphabets))]
	return g
}

func (g *generator) pick(list ...string) string { return list[g.IntN(len(list))] }

// letter is one that a regex may name.
func (g *generator) letter() string {
	for {
		if l := g.pick(g.letters...); strings.ToValidUTF8(l, "") == l {
			return l
		}
	}
}

// regex is one of the given depth.
func (g *generator) regex(depth int) string {
	if depth == 0 {
		switch g.IntN(12) {
		case 0:
			return g.pick(`\b`, `\B`, `^`, `$`, `\z`, `\A`, `(?m:^)`, `(?m:$)`)
		case 1:
			return g.pick(`.`, `(?s:.)`, `\S`, `\w`, `\d`, `\s`, `\pL`)
		case 2:
			return `[^` + regexp.QuoteMeta(g.letter()) + `]`
		case 3:
			return `[` + regexp.QuoteMeta(g.letter()) + regexp.QuoteMeta(g.letter()) + `]`
		case 4:
			return `(?i:` + regexp.QuoteMeta(g.letter()) + `)`
		case 5:
			return `(?:\n?\z)`
		}
		return regexp.QuoteMeta(g.letter())
	}
	switch g.IntN(8) {
	case 0:
		return `(?:` + g.regex(depth-1) + `|` + g.regex(depth-1) + `)`
	case 1:
		return `(` + g.regex(depth-1) + `)` + g.pick(`*`, `+`, `?`, `*?`, `+?`, `??`, `{2}`, `{1,3}`, `{0,2}?`, `{2,}`)
	case 2:
		return `(?P<x>` + g.regex(depth-1) + `)`
	case 3:
		return `(?i:` + g.regex(depth-1) + `)`
	case 4:
		return `(` + g.regex(depth-1) + `)`
	}
	return g.regex(depth-1) + g.regex(g.IntN(depth))
}

// rules are some regexes, of which several begin alike.
func (g *generator) rules() []string {
	var rules []string
	prefix := g.regex(1)
	for range 1 + g.IntN(8) {
		r := g.regex(1 + g.IntN(4))
		switch g.IntN(4) {
		case 0:
			r = `^` + r
		case 1:
			r = `^` + prefix + r
		case 2:
			r = r + `.*` + g.regex(1)
		}
		if _, err := regexp.Compile(r); err == nil {
			rules = append(rules, r)
		}
	}
	return rules
}

func (g *generator) text(size int) []byte {
	var text []byte
	for range g.IntN(size) {
		text = append(text, g.pick(g.letters...)...)
	}
	return text
}

// line cuts a text somewhere.
func (g *generator) line(text []byte) Line {
	cut := g.IntN(len(text) + 1)
	return Line{Head: text[:cut], Tail: text[cut:], Cut: g.IntN(8) == 0}
}

// lines are text, pieces of it and others.
func (g *generator) lines(text []byte) []Line {
	lines := []Line{g.line(text)}
	for range 6 {
		from := g.IntN(len(text) + 1)
		to := from + g.IntN(len(text)-from+1)
		lines = append(lines, g.line(text[from:to]), g.line(g.text(20)))
	}
	return lines
}
