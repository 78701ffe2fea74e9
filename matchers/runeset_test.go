package matchers

import (
	"math/rand/v2"
	"regexp"
	"testing"

	"github.com/dlclark/regexp2"
)

// TestRuneSetString reads sets back as both engines do.
func TestRuneSetString(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	sets := []runeSet{wordSet, wordSet.negate(), digitSet, digitSet.negate(), spaceSet, spaceSet.negate(), anySet, dotSet, {'-', '-'}, {',', '-', 'x', 'x'}, {'^', '^'}, {0, 0}, {maxRune, maxRune}}
	for range 50 {
		var pairs []rune
		for range 1 + rng.IntN(4) {
			lo := rune(rng.IntN(0x180))
			pairs = append(pairs, lo, lo+rune(rng.IntN(20)))
		}
		s := makeRunes(pairs...)
		sets = append(sets, s, s.negate(), s.union(wordSet), s.union(digitSet).negate())
	}
	for _, s := range sets {
		fast, err := regexp.Compile(`\A` + s.String() + `\z`)
		if err != nil {
			t.Fatal(err)
		}
		slow, err := regexp2.Compile(`\A`+s.String()+`\z`, regexp2.None)
		if err != nil {
			t.Fatal(err)
		}
		for r := rune(0); r < 0x260; r++ {
			got, _ := slow.FindRunesMatch([]rune{r})
			if fast.MatchString(string(r)) != s.has(r) || (got != nil) != s.has(r) {
				t.Fatalf("%s: %q: got %v and %v, want %v", s, r, fast.MatchString(string(r)), got != nil, s.has(r))
			}
		}
	}
}

func TestRuneSetAlgebra(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	random := func() runeSet {
		var pairs []rune
		for range rng.IntN(5) {
			lo := rune(rng.IntN(40))
			pairs = append(pairs, lo, lo+rune(rng.IntN(8)))
		}
		return makeRunes(pairs...)
	}
	for range 500 {
		a, b := random(), random()
		for r := rune(0); r < 50; r++ {
			if a.union(b).has(r) != (a.has(r) || b.has(r)) || a.intersect(b).has(r) != (a.has(r) && b.has(r)) ||
				a.minus(b).has(r) != (a.has(r) && !b.has(r)) || a.negate().has(r) == a.has(r) {
				t.Fatalf("%v %v at %d", a, b, r)
			}
		}
	}
}
