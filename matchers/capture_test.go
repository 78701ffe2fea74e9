package matchers

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/banpipe/banpipe/matchers/dfa"
)

// A ruleTable is the regexes of some filters and the lines that they are tried on.
type ruleTable struct {
	regexes map[string]*regex
	lines   []string // as the rules see them
}

// add takes the rules of a filter and sample lines with their dates.
func (table *ruleTable) add(t *testing.T, f *Filter, lines []string) {
	t.Helper()
	dates, err := NewDates(f.DatePattern, DateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if table.regexes == nil {
		table.regexes = map[string]*regex{}
	}
	list := []string{f.PrefRegex}
	for _, r := range slices.Concat(f.FailRegex, f.IgnoreRegex) {
		list = append(list, r.Regex)
	}
	for _, source := range list {
		if source == "" || table.regexes[source] != nil {
			continue
		}
		r, err := compileRegex(source, f.UseDNS, f.MaxLines > 1)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		table.regexes[source] = r
	}
	finder := dates.Finder()
	for _, line := range lines {
		date, _ := finder.Find([]byte(line))
		table.lines = append(table.lines, line[:date.Start]+line[date.End:]+"\n")
	}
}

// try compares the groups of every rule with those that regexp finds, on every line that it matches and on
// some that it does not, and on each of these with bytes that are no ASCII; it returns how many matched.
func (table *ruleTable) try(t *testing.T) int {
	t.Helper()
	matched := 0
	for source, r := range table.regexes {
		c, err := dfa.CompileCaptures(r.fast.String(), nil)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		cache := c.NewCache()
		for i, line := range table.lines {
			if !r.fast.MatchString(line) {
				if i%31 == 0 {
					compareCaptures(t, r.fast, cache, line)
				}
				continue
			}
			matched++
			compareCaptures(t, r.fast, cache, line)
			for _, odd := range []string{"é", "\xff", "\ufffd"} {
				at := (i*7 + matched) % len(line)
				compareCaptures(t, r.fast, cache, line[:at]+odd+line[at:])
			}
		}
		if s := cache.Stats(); s.States > 2000 {
			t.Errorf("%s: %+v", source, s)
		}
	}
	return matched
}

// compareCaptures wants the same groups of a line, whether it is known that it matches or not.
func compareCaptures(t *testing.T, re *regexp.Regexp, cache *dfa.CaptureCache, line string) {
	t.Helper()
	want, cut := re.FindStringSubmatchIndex(line), len(line)/3
	for _, known := range []bool{false, want != nil} {
		got, _, thrashes := cache.Find([]byte(line[:cut]), []byte(line[cut:]), nil, known, nil)
		if thrashes || !slices.Equal(got, want) {
			t.Fatalf("%s on %q, known to match %v: got %v, thrashes %v, want %v", re, line, known, got, thrashes, want)
		}
	}
}

func TestCapturesOfShippedFilters(t *testing.T) {
	files, _ := filepath.Glob("../configs/filter.d/*.toml")
	var table ruleTable
	for _, file := range files {
		var form struct {
			PrefRegex              string
			FailRegex, IgnoreRegex []any
			DatePattern            any
			Mode                   map[string]struct{ FailRegex []any }
			Sample                 []struct{ Line string }
		}
		if _, err := toml.DecodeFile(file, &form); err != nil {
			t.Fatal(err)
		}
		f := Filter{Name: file, PrefRegex: form.PrefRegex, FailRegex: tableRules(form.FailRegex), IgnoreRegex: tableRules(form.IgnoreRegex)}
		for _, mode := range form.Mode {
			f.FailRegex = append(f.FailRegex, tableRules(mode.FailRegex)...)
		}
		var lines []string
		for _, s := range form.Sample {
			lines = append(lines, strings.Split(strings.Trim(s.Line, "\n"), "\n")...)
		}
		table.add(t, &f, lines)
	}
	if n := table.try(t); len(files) < 30 || n < 300 {
		t.Errorf("got %d matches in %d filters, which is too little to go by", n, len(files))
	}
}

// tableRules are rules as TOML has them: a regex, or a table with one.
func tableRules(list []any) []Rule {
	var rules []Rule
	for _, r := range list {
		switch r := r.(type) {
		case string:
			rules = append(rules, Rule{Regex: r})
		case map[string]any:
			rules = append(rules, Rule{Regex: r["regex"].(string)})
		}
	}
	return rules
}

func TestCapturesOfStockFilters(t *testing.T) {
	long(t)
	checks := corpus(t)
	lines := map[string][]string{}
	for _, c := range checks {
		key := c.instance.base + c.instance.String()
		lines[key] = append(lines[key], c.line)
	}
	var table ruleTable
	for _, in := range corpusInstances(checks) {
		f, err := in.load()
		if err != nil {
			t.Fatal(err)
		}
		if f.MaxLines > 1 {
			continue // their rules see several lines
		}
		table.add(t, &f, lines[in.base+in.String()])
	}
	slices.Sort(table.lines)
	table.lines = slices.Compact(table.lines)
	if n := table.try(t); n < 1000 {
		t.Errorf("got %d matches, which is too few to go by", n)
	}
}
