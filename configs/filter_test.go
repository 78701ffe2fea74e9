package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/banpipe/banpipe/matchers"
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
			for _, err := range f.Check() {
				t.Errorf("filter.d/%s.toml:%d: %v", name, err.Line, err)
			}
			for _, s := range f.Samples {
				if s.Host != "" && !hasShape(t, f, s.Lines()[len(s.Lines())-1]) {
					t.Errorf("line %d: got a line that has not the shape %q: %q", s.At, f.Shape, s.Line)
				}
			}
			hosts, misses := 0, 0
			for _, s := range f.Samples {
				if s.Host != "" {
					hosts++
				} else {
					misses++
				}
			}
			if hosts < 3 || misses < 2 {
				t.Errorf("got %d attacks and %d near misses, want at least 3 and 2", hosts, misses)
			}
			if !strings.Contains(fmt.Sprint(f.Samples), "198.51.100.1") {
				t.Error("got no forged line, want one that holds 198.51.100.1 where an attacker writes")
			}
			for _, mode := range append([]string{""}, f.Modes...) {
				eachRuleIsProven(t, f, mode)
			}
		})
	}
}

// eachRuleIsProven says which failregex of a mode no sample needs.
func eachRuleIsProven(t *testing.T, f *Filter, mode string) {
	t.Helper()
	rules, err := f.form.rules(mode, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		alone := f.with(t, r)
		others := f.with(t, slices.DeleteFunc(slices.Clone(rules), func(other matchers.Rule) bool { return other == r })...)
		proven := slices.ContainsFunc(f.Samples, func(s Sample) bool {
			want := s.Want()
			if len(want) == 0 {
				return false
			}
			// A rule that only adds to what another has said of the connection is missed where it is missing.
			return alone != nil && slices.Contains(blamed(alone, s.Lines()), want[0]) ||
				s.Mode == mode && others != nil && !slices.Equal(blamed(others, s.Lines()), want)
		})
		if !proven {
			t.Errorf("no sample for %s", r.Regex)
		}
	}
}

// hasShape reports whether a line, less its date, has the filter's shape.
func hasShape(t *testing.T, f *Filter, line string) bool {
	t.Helper()
	dates, err := matchers.NewDates(f.DatePattern, matchers.DateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	date, _ := dates.Finder().Find([]byte(line))
	return matchers.HasShape(line[:date.Start]+line[date.End:], f.Shape)
}

// with compiles f with other rules; nil if there are none, or none that stand alone.
func (f *Filter) with(t *testing.T, rules ...matchers.Rule) *matchers.Program {
	t.Helper()
	if len(rules) == 0 {
		return nil
	}
	one := f.Filter
	one.FailRegex = rules
	p, err := matchers.NewProgram([]matchers.JailFilter{{Jail: "j", Filter: one}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A wrong sample is named with what came out instead.
func TestFilterCheck(t *testing.T) {
	const text = `
failregex = '^bad <ADDR>$'
[mode.more]
failregex = ['^worse <ADDR>$']
[[sample]]
line = 'bad 192.0.2.1'
host = "192.0.2.1"
[[sample]]
line = 'bad 192.0.2.1'
[[sample]]
line = 'worse 192.0.2.1'
host = "192.0.2.1"
[[sample]]
line = 'worse 192.0.2.1'
host = "192.0.2.1"
mode = "more"
[[sample]]
line = """
bad 192.0.2.1
worse 192.0.2.1
"""
host = "192.0.2.1"
hits = 3
mode = "more"
[[sample]]
line = 'bad 192.0.2.1'
host = "192.0.2.1"
mode = "mroe"
`
	f, err := ParseFilter("f", "f.toml", []byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`f.toml:8: sample: it counts against 192.0.2.1, want nobody: "bad 192.0.2.1"`,
		`f.toml:10: sample: it counts against nobody, want 192.0.2.1: "worse 192.0.2.1"`,
		`f.toml:17: sample: it counts against 192.0.2.1, 192.0.2.1, want 192.0.2.1, 192.0.2.1, 192.0.2.1: "bad 192.0.2.1\nworse 192.0.2.1\n"`,
		`f.toml:25: unknown mode "mroe": it is one of more, normal` + "\nhint: did you mean \"more\"?",
	}
	var got []string
	for _, err := range f.Check() {
		got = append(got, err.Error())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The agreed form of a filter loads, and its samples come out right.
func TestFilterForm(t *testing.T) {
	f, err := LoadFilter("testdata/filter.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check().err(); err != nil || len(f.Samples) != 3 {
		t.Errorf("got %v, %d samples", err, len(f.Samples))
	}
}
