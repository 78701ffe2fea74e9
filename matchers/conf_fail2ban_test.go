package matchers

import (
	"slices"
	"strings"
	"testing"
)

// TestLoadFilterAsFail2ban reads every stock filter, with every set of options that the corpus has for
// it, and compares all that it says with what fail2ban itself makes of it.
func TestLoadFilterAsFail2ban(t *testing.T) {
	instances := corpusInstances(corpus(t))
	for i, want := range askOracle(t, instances, nil) {
		in := instances[i]
		t.Run(in.String(), func(t *testing.T) {
			f, err := in.load()
			if err != nil {
				t.Fatal(err)
			}
			regexes := func(rules []Rule) (list []string) {
				for _, r := range rules {
					list = append(list, r.Regex)
				}
				return list
			}
			nonEmpty := func(s *string) (list []string) {
				if s != nil {
					list = slices.DeleteFunc(strings.Split(*s, "\n"), func(s string) bool { return s == "" })
				}
				return list
			}
			compare := func(what string, got, want []string) {
				if !slices.Equal(got, want) {
					t.Errorf("%s: got %q, want %q", what, got, want)
				}
			}
			compare("failregex", regexes(f.FailRegex), nonEmpty(want.FailRegex))
			compare("ignoreregex", regexes(f.IgnoreRegex), nonEmpty(want.IgnoreRegex))
			compare("prefregex", []string{f.PrefRegex}, []string{deref(want.PrefRegex)})
			compare("datepattern", f.DatePattern, nonEmpty(want.DatePattern))
			compare("journalmatch", f.JournalMatch, nonEmpty(want.JournalMatch))
			compare("usedns", []string{f.UseDNS}, []string{deref(want.UseDNS)})
			if f.MaxLines != deref(want.MaxLines) {
				t.Errorf("maxlines: got %v, want %v", f.MaxLines, deref(want.MaxLines))
			}
		})
	}
}

func deref[T any](p *T) T {
	var v T
	if p != nil {
		v = *p
	}
	return v
}
