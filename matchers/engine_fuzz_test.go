package matchers

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// FuzzEngines holds that random filters decide about random lines as the reference does.
func FuzzEngines(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, "h p[1]: foo \xff from 192.0.2.7 \u00e9")
	}
	f.Fuzz(func(t *testing.T, seed uint64, line string) {
		g := newFilterMaker(seed)
		p, err := NewProgram(g.jails())
		if err != nil {
			return
		}
		records := g.records()
		records[0].Line = []byte(line)
		compareEngines(t, p, records)
	})
}

// A filterMaker makes up filters, and lines that they match now and then.
type filterMaker struct {
	*rand.Rand
	prefixes []sampleText // of the prefregexes: before and behind their content
	rules    []string     // what the rules match
}

type sampleText struct{ before, behind string }

func newFilterMaker(seed uint64) *filterMaker {
	return &filterMaker{Rand: rand.New(rand.NewPCG(seed, 5)), prefixes: []sampleText{{}}}
}

// A part is a piece of a regex and a text that it matches.
type part struct{ regex, text string }

func (g *filterMaker) pick(list ...part) part { return list[g.IntN(len(list))] }

func (g *filterMaker) jails() []JailFilter {
	var jails []JailFilter
	for i := range 1 + g.IntN(4) {
		f := Filter{UseDNS: []string{"raw", "no", "yes"}[g.IntN(3)]}
		if g.IntN(3) > 0 {
			f.PrefRegex = g.prefix()
		}
		for range 1 + g.IntN(5) {
			f.FailRegex = append(f.FailRegex, Rule{Regex: g.rule(true), Weight: g.IntN(3)})
		}
		for range g.IntN(4) {
			f.IgnoreRegex = append(f.IgnoreRegex, Rule{Regex: g.rule(false)})
		}
		g.form(&f)
		j := inJail(fmt.Sprint("j", i), f)
		if g.IntN(3) == 0 {
			j.Location = time.FixedZone("x", 3600)
		}
		if slices.ContainsFunc(f.FailRegex, func(r Rule) bool { return strings.Contains(r.Regex, "<F-USER>") }) {
			j.Distinct = []string{"", "user"}[g.IntN(2)]
		}
		jails = append(jails, j)
	}
	return jails
}

// form is how a filter takes lines apart, so that there are several views.
func (g *filterMaker) form(f *Filter) {
	switch g.IntN(8) {
	case 0, 1:
		f.Format, f.Text = "json|plain", []string{"m"}
	case 2:
		f.Format, f.Text = "json|plain", []string{"u", "m"}
	case 3:
		f.Format, f.Text = "json", []string{"m"}
	case 4:
		f.Format, f.Text = "ufw", []string{"src", "dpt"}
	}
	if g.IntN(4) == 0 {
		f.DatePattern = []string{`%H:%M:%S`}
	}
}

func (g *filterMaker) prefix() string {
	start := g.pick(
		part{`^`, ""}, part{`^\s*`, " "}, part{``, "h "}, part{`^(?:h )?`, "h "}, part{`\bp\[1\]: `, "p[1]: "},
		part{`^(?:<F-MLFID>\S+ p\[\d+\]:</F-MLFID>|p:) `, "h p[1]: "}, part{`^\S+ (?:p|q)(?:\[\d+\])?: `, "h q: "},
		part{`^(?:(?!h)\w+ )?`, "x "}, part{`^(?:h|(?P<x>x)) (?(x)y|z)`, "x y"},
	)
	content := []string{`.+`, `.+`, `.*`, `\S.*`, `[^,]+`, `(?:foo|bar).*`, `.+?`, `\s*`, `[\s\S]+`, `foo`}[g.IntN(10)]
	end := g.pick(
		part{`$`, ""}, part{`$`, ""}, part{``, ""}, part{`,? client <HOST>$`, ", client 192.0.2.8"}, part{`\s*$`, " "}, part{`\Z`, ""},
		part{` from <ADDR>$`, " from 192.0.2.9"}, part{`(?: x)?$`, " x"}, part{`\b.*$`, "b"}, part{`(?P<q>x?)y(?P=q)$`, "xyx"},
	)
	g.prefixes = append(g.prefixes, sampleText{start.text, end.text})
	return start.regex + `<F-CONTENT>` + content + `</F-CONTENT>` + end.regex
}

func (g *filterMaker) rule(host bool) string {
	parts := []part{g.pick(part{`^`, ""}, part{`^`, ""}, part{``, "x"}, part{`\b`, ""}, part{`^\s*`, " "}, part{`(?i)^`, ""}, part{`\A`, ""}, part{`(?:^|x )`, "x "})}
	for range g.IntN(4) {
		parts = append(parts, g.pick(
			part{`foo`, "foo"}, part{`bar`, "bar"}, part{` `, " "}, part{`\s+`, "\t"}, part{`.*`, "x y"}, part{`\S+`, "y"}, part{`[^ ]*`, ""},
			part{`(?:foo|b\w+) `, "bc "}, part{`<F-USER>\S*</F-USER>`, "u"}, part{`\bfoo\b`, "foo"}, part{`(?!bar)\w+`, "xar"}, part{`x?`, ""},
			part{`\d{1,3}`, "77"}, part{`é`, "é"}, part{`.{0,3}`, "ab"}, part{`(?P<q>"?)x(?P=q)`, `"x"`}, part{`(?:(?! from ).)*`, "frm"},
			part{`\B`, ""}, part{`<F-NOFAIL>bar</F-NOFAIL>`, "bar"}, part{`<F-ALT_USER>\w+</F-ALT_USER>`, "ſk"},
		), g.pick(part{` `, " "}, part{``, ""}))
	}
	if host {
		parts = append(parts,
			g.pick(part{` from `, " from "}, part{`from `, "from "}, part{` `, " "}, part{``, ""}),
			g.pick(part{`<HOST>`, "192.0.2.1"}, part{`<HOST>`, "example.org"}, part{`<ADDR>`, "2001:db8::7"}, part{`<ADDR>`, "192.0.2.3"}, part{`<F-ID>\S+</F-ID>`, "192.0.2.4"}))
	}
	parts = append(parts, g.pick(part{`$`, ""}, part{`$`, ""}, part{``, ""}, part{` `, " "}, part{`\s*$`, " "}, part{`\b`, ""}, part{`\Z`, ""},
		part{`[^,]*$`, "x"}, part{`(?:$| x)`, " x"}, part{`(?: \S+)?$`, " y"}, part{`\s`, ""}, part{`[^x]`, ""}, part{`.`, "z"}))
	var regex, text strings.Builder
	for _, p := range parts {
		regex.WriteString(p.regex)
		text.WriteString(p.text)
	}
	g.rules = append(g.rules, text.String())
	return regex.String()
}

// records are lines that the rules match inside the prefregexes, some of them damaged.
func (g *filterMaker) records() []pipeline.Record {
	var lines []string
	for range 120 {
		around, text := g.prefixes[g.IntN(len(g.prefixes))], g.rules[g.IntN(len(g.rules))]
		line := []byte(around.before + text + around.behind)
		for range g.IntN(3) {
			line = damage(g.Rand, line)
		}
		switch g.IntN(10) {
		case 0, 1:
			if text, err := json.Marshal(string(line)); err == nil {
				line = fmt.Appendf(nil, `{"m":%s,"u":"foo"}`, text)
			}
		case 2:
			line = fmt.Appendf(nil, "h kernel: [1.5] [UFW BLOCK] IN=eth0 OUT= SRC=192.0.2.5 DST=192.0.2.6 PROTO=TCP SPT=1 DPT=22 SYN %s", line)
		case 3:
			line = append([]byte("2026-11-22 07:00:00 "), line...)
		}
		lines = append(lines, string(line))
	}
	records := recordsOf(lines, noon)
	for i := range records {
		records[i].Cut, records[i].Dated = g.IntN(8) == 0, g.IntN(8) == 0
	}
	return records
}
