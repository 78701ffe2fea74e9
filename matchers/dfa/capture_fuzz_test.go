package dfa

import (
	"math/rand/v2"
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

// FuzzCapturesGenerated does the same for regexes that a chooser makes.
func FuzzCapturesGenerated(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		f.Add(randomChoices(r, 40), randomChoices(r, 12))
	}
	f.Fuzz(func(t *testing.T, regex, line []byte) {
		if len(regex) > 200 || len(line) > 40 {
			return
		}
		expr := (&chooser{choices: regex}).regex()
		if _, err := regexp.Compile(expr); err != nil {
			return // a repetition of repetitions that is too large
		}
		if d := differences(expr, (&chooser{choices: line}).line(len(line)%2 == 0)); d != "" {
			t.Error(d)
		}
	})
}

// TestCapturesByChance compares more regexes than a fuzz target's seeds are.
func TestCapturesByChance(t *testing.T) {
	if testing.Short() {
		t.Skip("runs without -short")
	}
	r := rand.New(rand.NewPCG(2, 3))
	matched := 0
	for range 4000 {
		expr := (&chooser{choices: randomChoices(r, 10+r.IntN(50))}).regex()
		re, err := regexp.Compile(expr)
		if err != nil {
			continue
		}
		for range 4 {
			text := (&chooser{choices: randomChoices(r, r.IntN(14))}).line(r.IntN(2) == 0)
			if d := differences(expr, text); d != "" {
				t.Fatal(d)
			}
			if re.MatchString(text) {
				matched++
			}
		}
	}
	if matched < 4000 {
		t.Errorf("got %d matches, which is too few to compare", matched)
	}
}
