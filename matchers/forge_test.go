package matchers

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// TestStockFiltersForged puts forged addresses into every rule of every stock filter.
func TestStockFiltersForged(t *testing.T) {
	long(t)
	needFail2ban(t)
	known, fooled := differences(t, "testdata/forgeable.txt"), map[string]bool{}
	files, _ := filepath.Glob(filepath.Join(stockFilters, "*.conf"))
	rules, without := 0, 0
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".conf")
		if strings.HasSuffix(name, "common") {
			continue
		}
		f, err := LoadFilter(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewProgram([]JailFilter{{Jail: name, Filter: f}})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range p.ForgeableRules() {
			key := name + ":" + n.Rule[strings.LastIndexByte(n.Rule, ' ')+1:]
			if fooled[key] = true; known[key] == "" {
				t.Error(n)
			}
		}
		for _, j := range p.jails {
			f := forger{matcher: p.NewMatcher(), jail: j, Rand: rand.New(rand.NewPCG(1, 1))}
			for _, r := range j.fail {
				if rules++; !f.canSample(r) {
					without++
				}
			}
		}
	}
	for key := range known {
		if !fooled[key] {
			t.Errorf("%s is listed and not fooled", key)
		}
	}
	// Rules that name no address themselves, and those for several lines.
	if t.Logf("%d rules, %d of them without a sample", rules, without); without > rules/20 {
		t.Errorf("got no sample for %d of %d rules, want fewer", without, rules)
	}
}

func (f *forger) canSample(r *rule) bool {
	for range sampleTries {
		if f.sample(r) != nil {
			return true
		}
	}
	return false
}

func TestForgeableRules(t *testing.T) {
	tests := []struct {
		regex string
		want  bool
	}{
		{`^login of <F-USER>.*</F-USER> from <ADDR>$`, false}, // greedy, and anchored: the last one counts
		{`^login of <F-USER>.*?</F-USER> from <ADDR>$`, false},
		{`^login of <F-USER>.*?</F-USER> from <ADDR>`, true},
		{`^login of <F-USER>\S+</F-USER> from <ADDR> port \d+`, true}, // a name may have blanks
		{`^login of <F-USER>\w+</F-USER> from <ADDR> .*$`, true},
		{`login from <ADDR>`, false}, // nothing in it that others write
		{`^.*login from <ADDR>`, false},
		{`^request "[^"]*", client: <ADDR>,`, false},
		{`^request ".*", client: <ADDR>,`, false},
		{`^request ".*?", client: <ADDR>,`, true},
		{`client: <ADDR>, request ".*"$`, false}, // the first one counts
		{`request ".*?", (?:client|server): <ADDR>`, true},
		{`^client: <ADDR>, request ".*"$`, false},
	}
	for _, tt := range tests {
		t.Run(tt.regex, func(t *testing.T) {
			p, err := NewProgram([]JailFilter{inJail("j", Filter{FailRegex: rules(tt.regex)})})
			if err != nil {
				t.Fatal(err)
			}
			if got := p.ForgeableRules(); (len(got) > 0) != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
