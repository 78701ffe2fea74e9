package dfa

import (
	"regexp"
	"testing"
)

// FuzzCaptures compares the groups that are found with those of regexp.
func FuzzCaptures(f *testing.F) {
	for _, c := range captureCases {
		f.Add(c.expr, c.text)
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 100 || len(text) > 60 {
			return
		}
		if _, err := regexp.Compile(expr); err != nil {
			return
		}
		if d := differences(expr, text); d != "" {
			t.Error(d)
		}
	})
}

// FuzzCapturesRandom does the same for regexes that a generator makes, on texts of its own, too.
func FuzzCapturesRandom(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, seed uint64, text []byte) {
		captureByChance(t, seed, string(text[:min(len(text), 60)]))
	})
}

// captureByChance compares a random regex on the text and on some that it is likelier to match; it returns
// how many it has matched.
func captureByChance(t *testing.T, seed uint64, text string) (matched int) {
	t.Helper()
	g := newGenerator(seed)
	expr := g.regex(1 + g.IntN(5))
	re, err := regexp.Compile(expr)
	if err != nil {
		return 0 // a name that comes twice, or too many repetitions of repetitions
	}
	for _, text := range []string{text, string(g.text(8)), string(g.text(20)), string(g.text(20)) + "\n"} {
		if d := differences(expr, text); d != "" {
			t.Error(d)
		}
		if re.MatchString(text) {
			matched++
		}
	}
	return matched
}

// TestCapturesByChance compares more regexes than a fuzz target's seeds are.
func TestCapturesByChance(t *testing.T) {
	if testing.Short() {
		t.Skip("runs without -short")
	}
	matched := 0
	for seed := range uint64(4000) {
		matched += captureByChance(t, 1000+seed, "ab a1")
	}
	if matched < 4000 {
		t.Errorf("got %d matches, which is too few to compare", matched)
	}
}
