package configs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
)

// TestShippedFilters runs the samples of every filter through the stages that a service has.
func TestShippedFilters(t *testing.T) {
	for _, name := range ShippedFilters() {
		t.Run(name, func(t *testing.T) {
			f, err := LoadFilter(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if f.Description == "" || f.Shape == "" {
				t.Error("a shipped filter has a description and a shape")
			}
			hosts, misses := 0, 0
			for _, s := range f.Samples {
				if s.Host != "" {
					hosts++
				} else {
					misses++
				}
				t.Run(fmt.Sprintf("line %d", s.At), func(t *testing.T) { checkSample(t, name, s) })
			}
			if hosts < 3 || misses < 2 {
				t.Errorf("got %d attacks and %d near misses, want at least 3 and 2", hosts, misses)
			}
			if !strings.Contains(fmt.Sprint(f.Samples), "198.51.100.1") {
				t.Error("got no forged line, want one that holds 198.51.100.1 where an attacker writes")
			}
			if rule, ok := unproven(t, f); ok {
				t.Errorf("no sample for %s", rule)
			}
		})
	}
}

func checkSample(t *testing.T, filter string, s Sample) {
	t.Helper()
	f, err := LoadFilter(filter+"[mode="+s.Mode+"]", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := blamed(t, compile(t, f.Filter), s.Lines()...); !slices.Equal(got, s.Want()) {
		t.Errorf("got %q, want %q: %s", got, s.Want(), s.Line)
	}
}

func compile(t *testing.T, f matchers.Filter) *matchers.Program {
	t.Helper()
	p, err := matchers.NewProgram([]matchers.JailFilter{{Jail: "j", Filter: f}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// blamed is whom the filter counts the lines against, hit by hit.
func blamed(t *testing.T, p *matchers.Program, lines ...string) []string {
	t.Helper()
	programs := func(string) *matchers.Program { return p }
	b := &pipeline.Batch{Source: "test"}
	for _, line := range lines {
		b.Append([]byte(line), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	}
	for _, s := range []pipeline.Stage{&matchers.Parse{Programs: programs}, &matchers.Match{Programs: programs}, &matchers.Session{Programs: programs}} {
		if err := s.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	var hosts []string
	for _, r := range b.Records {
		if r.Kind == pipeline.Hit {
			hosts = append(hosts, r.Addr.String())
		}
	}
	return hosts
}

// unproven finds a failregex that no sample needs.
func unproven(t *testing.T, f *Filter) (string, bool) {
	t.Helper()
	modes := append([]string{""}, f.Modes...)
	for _, mode := range modes {
		full, err := LoadFilter(f.Name+"[mode="+mode+"]", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range full.FailRegex {
			one := full.Filter
			one.FailRegex = []matchers.Rule{r}
			p, proven := compile(t, one), false
			for _, s := range full.Samples {
				proven = proven || s.Host != "" && slices.Contains(blamed(t, p, s.Lines()...), s.Host)
			}
			if !proven {
				return r.Regex, true
			}
		}
	}
	return "", false
}
