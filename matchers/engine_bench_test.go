package matchers

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/banpipe/banpipe/matchers/logtest"
	"github.com/banpipe/banpipe/pipeline"
)

// The filters of the small and the middle set of rules; the large one has all shipped ones and, to make up 200
// rules, fail2ban's.
var (
	fewFilters  = []string{"nginx-404", "nginx-bad-request", "nginx-http-auth", "nginx-limit-req", "ufw"}
	someFilters = append(fewFilters[:len(fewFilters):len(fewFilters)], "sshd", "nginx-botsearch", "nginx-forbidden", "dovecot", "postfix", "apache-auth", "recidive")
)

// benchProgram has at most the given number of rules, one jail a filter.
func benchProgram(tb testing.TB, rules int) *Program {
	tb.Helper()
	names := someFilters
	switch {
	case rules <= 10:
		names = fewFilters
	case rules > 60:
		names = nil
		files, _ := filepath.Glob("../configs/filter.d/*.toml")
		for _, f := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".toml"))
		}
	}
	var jails []JailFilter
	for _, name := range names {
		f := shippedFilter(tb, name)
		f.FailRegex = f.FailRegex[:min(len(f.FailRegex), rules)]
		rules -= len(f.FailRegex)
		if len(f.FailRegex) > 0 {
			jails = append(jails, JailFilter{Jail: name, Filter: f, Location: time.UTC})
		}
	}
	stock, _ := filepath.Glob(filepath.Join(stockFilters, "*.conf"))
	for _, path := range stock {
		f, err := LoadFilter(path, nil)
		if err != nil || rules <= 0 || f.MaxLines > 1 || len(f.FailRegex) == 0 {
			continue
		}
		f.FailRegex, f.DatePattern = f.FailRegex[:min(len(f.FailRegex), rules)], nil
		if p, err := NewProgram([]JailFilter{{Jail: "x", Filter: f}}); err == nil && len(p.SlowRules()) == 0 {
			rules -= len(f.FailRegex)
			jails = append(jails, JailFilter{Jail: "stock " + filepath.Base(path), Filter: f, Location: time.UTC})
		}
	}
	p, err := NewProgram(jails)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// shippedFilter is a shipped filter with the rules of all its modes. Lines of JSON are left out, so that all but
// ufw's are one view.
func shippedFilter(tb testing.TB, name string) Filter {
	tb.Helper()
	var form struct {
		PrefRegex              string
		FailRegex, IgnoreRegex []any
		Format                 string
		Text                   []string
		Mode                   map[string]struct{ FailRegex []any }
	}
	if _, err := toml.DecodeFile(filepath.Join("../configs/filter.d", name+".toml"), &form); err != nil {
		tb.Fatal(err)
	}
	f := Filter{Name: name, PrefRegex: form.PrefRegex, FailRegex: tableRules(form.FailRegex), IgnoreRegex: tableRules(form.IgnoreRegex)}
	if form.Format == "ufw" {
		f.Format, f.Text = form.Format, form.Text
	}
	for _, mode := range []string{"ddos", "extra", "aggressive", "more", "auth"} {
		f.FailRegex = append(f.FailRegex, tableRules(form.Mode[mode].FailRegex)...)
	}
	return f
}

// benchBatches are lines in batches as sources make them, with their dates found.
func benchBatches(tb testing.TB, p *Program, lines [][]byte) (batches []*pipeline.Batch) {
	tb.Helper()
	parse := &Parse{Programs: func(string) *Program { return p }}
	for len(lines) > 0 {
		b := &pipeline.Batch{Source: "test"}
		for len(lines) > 0 && !b.Full() {
			b.Append(lines[0], noon)
			lines = lines[1:]
		}
		if err := parse.Process(tb.Context(), b); err != nil {
			tb.Fatal(err)
		}
		batches = append(batches, b)
	}
	return batches
}

// A judgement is what Match does for the lines of batches, without leaving records: rules, host and date.
type judgement struct {
	matcher *Matcher
	finders []*Finder
	batches []*pipeline.Batch
	texts   texts
	stage   Match
	lines   int
	hits    int
}

func newJudgement(p *Program, batches []*pipeline.Batch) *judgement {
	j := &judgement{matcher: p.NewMatcher(), batches: batches}
	for _, v := range p.views {
		j.finders = append(j.finders, v.finder(p, j.finders))
	}
	return j
}

func (j *judgement) run() {
	for _, b := range j.batches {
		j.stage.last = dated{}
		for _, rd := range j.matcher.program.readings {
			j.texts.reset()
			for n := range b.Records {
				rd.add(&j.texts, n, &b.Records[n], b.Records[n].Date)
			}
			j.matcher.match(rd, &j.texts, func(found *match) {
				if addr, _ := found.host(); addr.IsValid() {
					r := b.Records[found.of.record]
					j.stage.date(j.finders[found.jail.view.index], &r, found.of, false)
					j.hits++
				}
			})
		}
		j.lines += len(b.Records)
	}
}

// BenchmarkEngine judges lines of each kind, at 2 and at 100 % of attacks, by 10, 50 and 200 rules: which
// rules match, who is to blame, and when it was. cpu-ns/line is of the processor's time. The lines are few enough to stay in
// a core's cache, where they are when Parse has had them. regexp is the reference: rule after rule.
func BenchmarkEngine(b *testing.B) {
	for _, rules := range []int{10, 50, 200} {
		p := benchProgram(b, rules)
		for _, kind := range logtest.Kinds() {
			for _, attack := range []float64{0.02, 1} {
				name := fmt.Sprintf("rules=%d/%v/attack=%v%%", rules, kind, 100*attack)
				for _, engine := range []string{"set", "regexp"} {
					b.Run(name+"/"+engine, func(b *testing.B) {
						benchEngine(b, p, logtest.Lines(kind, 2000, logtest.Options{Attack: attack}), engine == "regexp")
					})
				}
			}
		}
	}
}

func benchEngine(b *testing.B, p *Program, lines [][]byte, reference bool) {
	j := newJudgement(p, benchBatches(b, p, lines))
	j.matcher.reference = reference
	j.run() // makes the states
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b.ReportAllocs()
	j.lines, j.hits = 0, 0
	start := threadTime(b)
	for b.Loop() {
		j.run()
	}
	b.ReportMetric(float64(threadTime(b)-start)/float64(j.lines), "cpu-ns/line")
	b.ReportMetric(float64(j.hits)/float64(j.lines), "hits/line")
	b.ReportMetric(0, "ns/op")
	if !reference {
		b.ReportMetric(float64(j.matcher.cacheBytes()), "cache-bytes")
	}
}

// cacheBytes is what the automata of m take.
func (m *Matcher) cacheBytes() int {
	size := 0
	for _, s := range m.scanners {
		if s != nil {
			size += s.Stats().Bytes
		}
	}
	for _, c := range m.captures.caches {
		if c != nil {
			size += c.Stats().Bytes
		}
	}
	return size
}
