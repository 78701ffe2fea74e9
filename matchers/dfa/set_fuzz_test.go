package dfa

import (
	"regexp"
	"slices"
	"testing"
)

// seeds are where the fuzz targets begin; testdata/fuzz has more.
func seeds(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed, []byte("ab a1_B-: \xc3\xa9\xff\n"))
	}
}

// FuzzSet holds that a set finds what package regexp finds, rule by rule.
func FuzzSet(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, seed uint64, text []byte) {
		g := newGenerator(seed)
		rules, lines := g.rules(), g.lines(text)
		set, err := NewSet(rules, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := set.NewScanner()
		s.Scan(lines)
		compare(t, s, rules, lines)
	})
}

// compare holds the result of a scan against package regexp.
func compare(t *testing.T, s *Scanner, rules []string, lines []Line) {
	t.Helper()
	for r, rule := range rules {
		re := regexp.MustCompile(rule)
		for i := range lines {
			text := lines[i].join(nil)
			got := bitset(s.Rules(i)).has(r)
			if want := re.Match(text); got != want {
				t.Errorf("%q on %q cut at %d: got %v, want %v", rule, text, len(lines[i].Head), got, want)
			}
			if got && !s.Hit(i) {
				t.Errorf("%q on %q: no hit", rule, text)
			}
		}
	}
}

// alike holds that two ways to scan find the same.
func alike(t *testing.T, seed uint64, text []byte, one, other Options) (a, b Stats) {
	t.Helper()
	g := newGenerator(seed)
	rules, lines := g.rules(), g.lines(text)
	x, y := scanner(t, rules, one), scanner(t, rules, other)
	for range 2 { // the second time the states are there
		x.Scan(lines)
		y.Scan(lines)
		for i := range lines {
			if !slices.Equal(x.Rules(i), y.Rules(i)) || x.Hit(i) != y.Hit(i) {
				t.Errorf("%q on %q cut at %d: got %b, and %b otherwise", rules, lines[i].join(nil), len(lines[i].Head), x.Rules(i), y.Rules(i))
			}
		}
	}
	return x.Stats(), y.Stats()
}

func scanner(t testing.TB, rules []string, opt Options) *Scanner {
	t.Helper()
	set, err := NewSet(rules, opt)
	if err != nil {
		t.Fatal(err)
	}
	return set.NewScanner()
}

// FuzzLanes holds that four lines in lockstep are what they are one by one.
func FuzzLanes(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, seed uint64, text []byte) {
		alike(t, seed, text, Options{}, Options{oneLane: true})
	})
}

// FuzzFlush holds that a cache of 300 states, or of only a few, finds what a large one does.
func FuzzFlush(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, seed uint64, text []byte) {
		alike(t, seed, text, Options{}, Options{rows: []int{300, 8, 1}[seed%3], noSplit: true})
	})
}

// FuzzSplit holds that a set that is split at once, down to package regexp, finds what a whole one does.
func FuzzSplit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, seed uint64, text []byte) {
		alike(t, seed, text, Options{}, Options{credit: -1})
	})
}
