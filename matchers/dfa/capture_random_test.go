package dfa

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A chooser makes up regexes and lines from a list of choices, so that whatever makes it up, a fuzzer or
// chance, need not know what a regex is:
//
//	choices ──► regex    all that regexp/syntax knows: groups, classes, assertions, (?i), lazy and counted
//	choices ──► line     of the characters that the regexes are made of; some are UTF-8, some are bytes
type chooser struct {
	choices []byte
	groups  int
	b       strings.Builder
}

// below takes a choice from 0 to n-1; 0 when there are none left, which ends all that goes on for ever.
func (g *chooser) below(n int) int {
	if len(g.choices) == 0 {
		return 0
	}
	c := g.choices[0]
	g.choices = g.choices[1:]
	return int(c) % n
}

func (g *chooser) pick(list []string) { g.b.WriteString(list[g.below(len(list))]) }

var (
	atoms = []string{
		"a", "b", "(?:ab)", " ", "1", "x", "-", "_", ".", "A", "K", `\d`, `\w`, `\s`, `\S`, `\D`, `\W`, "[ab]", "[^a]", "[^a ]", "[a-x]",
		"(?i:k)", "(?i:aB)", "(?i:[a-c])", "é", "[é-ü]", `\x{fffd}`, `\pL`, "(?s:.)", `[^\x00-\x7f]`, `\n`, "[^\n]", "(?:)", `[\w.]`,
	}
	assertions = []string{"^", "$", `\b`, `\B`, `\A`, `\z`, "(?m:^)", "(?m:$)"}
	repeats    = []string{"*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}", "{2,4}?"}
	flags      = []string{"", "", "", "(?i)", "(?s)", "(?m)", "^", "^", `\b`, ".*"}
	characters = []string{
		"a", "b", " ", "1", "x", "-", "_", "ab", "aab", "A", "B", "k", "K", "\u212a", "é", "ü", "\n", "\ufffd", "\xff", "\xe2\x82", "\xac",
		"\x80", "\x00", "a ", " b", "λ", "\U0001f600",
	}
)

// regex makes up a regex that compiles.
func (g *chooser) regex() string {
	g.b.Reset()
	g.groups = 0
	g.pick(flags)
	g.alternatives(3)
	return g.b.String()
}

func (g *chooser) alternatives(depth int) {
	for {
		g.part(depth)
		switch {
		case len(g.choices) == 0, g.below(3) == 0:
			return
		case g.below(4) == 3:
			g.b.WriteByte('|')
		}
	}
}

func (g *chooser) part(depth int) {
	kind := g.below(16)
	switch {
	case kind < 3 && depth > 0 && g.groups < 12:
		g.groups++
		g.b.WriteByte('(')
		g.alternatives(depth - 1)
		g.b.WriteByte(')')
	case kind < 5 && depth > 0:
		g.b.WriteString("(?:")
		g.alternatives(depth - 1)
		g.b.WriteByte(')')
	case kind == 5:
		g.pick(assertions)
		return
	default:
		g.pick(atoms)
	}
	if g.below(3) == 1 {
		g.pick(repeats)
	}
}

// line makes up a line; ascii leaves out what is none.
func (g *chooser) line(ascii bool) string {
	g.b.Reset()
	for len(g.choices) > 0 {
		c := characters[g.below(len(characters))]
		if !ascii || c[0] < 0x80 {
			g.b.WriteString(c)
		}
	}
	return g.b.String()
}

// randomChoices are n choices by chance.
func randomChoices(r *rand.Rand, n int) []byte {
	choices := make([]byte, n)
	for i := range choices {
		choices[i] = byte(r.Uint32())
	}
	return choices
}

// Example of what it makes: the same choices give the same regex.
func ExampleCompileCaptures() {
	c, err := CompileCaptures(`^(\S+) \S+ "(?:GET|POST) ([^"]*)"`, []int{1, 2})
	if err != nil {
		panic(err)
	}
	cache := c.NewCache()
	head, tail := []byte("192.0.2.7 - "), []byte(`"GET /.env"`)
	spans, found, _ := cache.Find(head, tail, []byte("\n"), false, nil)
	fmt.Println(found, spans)
	// Output: true [-1 -1 0 9 17 22]
}
