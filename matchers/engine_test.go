package matchers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banpipe/banpipe/matchers/logtest"
	"github.com/banpipe/banpipe/pipeline"
)

// An engine runs lines through Parse and Match.
type engine struct {
	stages []pipeline.Stage
	counts Counts
}

func newEngine(p *Program, reference bool) *engine {
	e := &engine{}
	programs := func(string) *Program { return p }
	e.stages = []pipeline.Stage{&Parse{Programs: programs}, &Match{Programs: programs, Counts: &e.counts, reference: reference}}
	return e
}

// run sends lines through as one batch and returns all that a record says, one string each.
func (e *engine) run(t testing.TB, records []pipeline.Record) []string {
	t.Helper()
	b := &pipeline.Batch{Source: "test"}
	for _, r := range records {
		added := b.Append(r.Line, r.Time)
		added.Cut, added.Dated = r.Cut, r.Dated
	}
	for _, s := range e.stages {
		if err := s.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range b.Records {
		got = append(got, fmt.Sprintf("%q %v %s %v kind %v %s x%d key %q session %q", r.Line, r.Date, r.Time.UTC().Format(time.DateTime), r.Dated, r.Kind, r.Jail+" "+r.Addr.String(), r.Weight, r.Key, r.Session))
	}
	return got
}

// compareEngines holds what the sets and automata make of lines against the reference, in batches of some
// hundred. It returns how many records were left.
func compareEngines(t testing.TB, p *Program, records []pipeline.Record) int {
	t.Helper()
	patient(p)
	fast, reference := newEngine(p, false), newEngine(p, true)
	left := 0
	for len(records) > 0 {
		n := min(len(records), 300)
		got, want := fast.run(t, records[:n]), reference.run(t, records[:n])
		records = records[n:]
		left += len(want)
		for i := range max(len(got), len(want)) {
			g, w := "nothing", "nothing"
			if i < len(got) {
				g = got[i]
			}
			if i < len(want) {
				w = want[i]
			}
			if g != w {
				t.Errorf("got %s\nwant %s", g, w)
				break
			}
		}
	}
	return left
}

// patient gives the slow path all the time that it wants: its limit goes by the clock, so on a busy machine one engine would
// give up on a line that the other one judges.
func patient(p *Program) {
	for _, j := range p.jails {
		for _, r := range slices.Concat(j.fail, j.ignore, []*rule{{regex: j.pref}}) {
			if r.regex != nil && r.slow != nil {
				r.slow.MatchTimeout = time.Minute
			}
		}
	}
}

func recordsOf(lines []string, at time.Time) []pipeline.Record {
	var records []pipeline.Record
	for _, l := range lines {
		records = append(records, pipeline.Record{Line: []byte(l), Time: at})
	}
	return records
}

// TestEnginesOnCorpus runs fail2ban's sample logs through all of its filters at once, by the sets and by the
// reference: as they are, and damaged. A jail for each set of options that the corpus has.
func TestEnginesOnCorpus(t *testing.T) {
	long(t)
	checks := corpus(t)
	p := corpusProgram(t, corpusInstances(checks))
	lines := distinctLines(checks)
	if left := compareEngines(t, p, recordsOf(lines, corpusClock)); left < len(lines)/2 {
		t.Errorf("got %d records of %d lines", left, len(lines))
	}
	rng := rand.New(rand.NewPCG(3, 4))
	records := recordsOf(lines, corpusClock)
	for i := range records {
		records[i].Line = damage(rng, records[i].Line)
		records[i].Cut, records[i].Dated = i%7 == 0, i%11 == 0
	}
	compareEngines(t, p, records)
}

// corpusProgram has a jail for each instance.
func corpusProgram(t *testing.T, instances []instance) *Program {
	t.Helper()
	var jails []JailFilter
	for i, in := range instances {
		f, err := in.load()
		if err != nil {
			t.Fatal(err)
		}
		jails = append(jails, JailFilter{Jail: fmt.Sprintf("%d-%s", i, in), Filter: f, Location: corpusZone(t)})
	}
	p, err := NewProgram(jails)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// damage puts something that nobody expects in the place of some bytes.
func damage(rng *rand.Rand, line []byte) []byte {
	pieces := []string{
		"", " ", "\t", ":", `"`, "é", "\u00a0", "ſ", "\ufffd", "\xff", "\xe2\x82", "\x80", "\r", "\n", "_", "1.2.3.4", "::1", " from 1.2.3.4", "example.org",
		" from ", ", client: 1.2.3.4", "rhost=1.2.3.4 ", "[1.2.3.4]",
	}
	at := rng.IntN(len(line) + 1)
	cut := min(len(line), at+rng.IntN(4))
	return []byte(string(line[:at]) + pieces[rng.IntN(len(pieces))] + string(line[cut:]))
}

// TestSlowerPaths holds that what takes another way than one pass is counted, that rules which do are named, and that
// they decide as the others.
func TestSlowerPaths(t *testing.T) {
	f := Filter{Name: "odd", FailRegex: []Rule{
		{Regex: `(?:a|b)*a(?:a|b){14}c from <ADDR>$`, Line: 3}, // 2^14 states
		{Regex: `^(?P<q>"?)x(?P=q) from <ADDR>$`, Line: 4},
	}}
	p, err := NewProgram([]JailFilter{inJail("j", f)})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 9))
	var lines []string
	for range 2000 {
		text := make([]byte, 300)
		for i := range text {
			text[i] = "ab"[rng.IntN(2)]
		}
		lines = append(lines, string(text)+"c from 192.0.2.7")
	}
	lines = append(lines, `"x" from 192.0.2.8`, `"x from 192.0.2.9`)
	e := newEngine(p, false)
	hits := 0
	for records := recordsOf(lines, noon); len(records) > 0; records = records[min(300, len(records)):] {
		hits += len(e.run(t, records[:min(300, len(records))]))
	}
	if hits < 900 || hits > 1100 { // every other line has an a there
		t.Errorf("got %d hits of %d lines", hits, len(lines))
	}
	if got := e.counts.Backtracked.Load(); got != 2 {
		t.Errorf("got %d rules backtracked, want 2", got)
	}
	var left []string
	for _, n := range e.counts.Left() {
		left = append(left, n.String())
	}
	want := "jail j: filter odd: failregex 1: has left the set of rules, for which it has too many states: Go's regexp runs it on every line"
	if !slices.Contains(left, want) {
		t.Errorf("got %q, want %q", left, want)
	}
	if e.counts.Confirmed.Load() == 0 || len(left) != 2 {
		t.Errorf("got %d rules confirmed, and %q", e.counts.Confirmed.Load(), left)
	}
}

// TestEnginesOnLogs runs the logs of a server through 200 rules, by the sets and by the reference, and holds that
// it takes neither a slower way nor more memory than it may.
func TestEnginesOnLogs(t *testing.T) {
	long(t)
	p := benchProgram(t, 200)
	e := newEngine(p, false)
	for _, kind := range logtest.Kinds() {
		var records []pipeline.Record
		for _, l := range logtest.Lines(kind, 5000, logtest.Options{Attack: 0.5, Seed: 7}) {
			records = append(records, pipeline.Record{Line: l, Time: noon})
		}
		if left := compareEngines(t, p, records[:600]); left < 100 {
			t.Errorf("%v: got %d records", kind, left)
		}
		for len(records) > 0 {
			e.run(t, records[:500])
			records = records[500:]
		}
	}
	c := &e.counts
	if slow := c.Backtracked.Load() + c.Confirmed.Load() + c.Flushes.Load() + c.Splits.Load(); slow > 0 || len(c.Left()) > 0 {
		t.Errorf("got %d backtracked, %d confirmed, %d flushes, %d splits, %q", c.Backtracked.Load(), c.Confirmed.Load(), c.Flushes.Load(), c.Splits.Load(), c.Left())
	}
	m := e.stages[1].(*Match).sources["test"].matcher
	if size := m.cacheBytes(); size > 8<<20 {
		t.Errorf("the automata take %d bytes", size)
	} else {
		t.Logf("the automata take %d bytes", size)
	}
}

// TestEngineAllocates holds that judging lines costs no memory, however many offend.
func TestEngineAllocates(t *testing.T) {
	p := benchProgram(t, 50)
	j := newJudgement(p, benchBatches(t, p, logtest.Lines(logtest.Mixed, 2000, logtest.Options{Attack: 0.5})))
	j.run()
	if n := testing.AllocsPerRun(5, j.run); n > 0 || j.hits < 1000 {
		t.Errorf("got %v allocations and %d hits", n, j.hits)
	}
}

// TestSharedProgram holds that workers may share a Program: its sets and automata are made once, by whoever comes
// first.
func TestSharedProgram(t *testing.T) {
	p := benchProgram(t, 50)
	lines := logtest.Lines(logtest.Mixed, 1000, logtest.Options{Attack: 0.5})
	var records []pipeline.Record
	for _, l := range lines {
		records = append(records, pipeline.Record{Line: l, Time: noon})
	}
	got := make([][]string, 4)
	var group sync.WaitGroup
	for i := range got {
		group.Go(func() { got[i] = newEngine(p, false).run(t, records) })
	}
	group.Wait()
	for i := range got {
		if len(got[i]) < 300 || !slices.Equal(got[i], got[0]) {
			t.Errorf("worker %d: got %d records, worker 0 %d, or others", i, len(got[i]), len(got[0]))
		}
	}
}

// TestHostileLines holds that lines made of pieces of all kinds of logs, and of bytes at random, cost 200 rules of real
// filters one step for each byte, and hardly more states than honest ones.
func TestHostileLines(t *testing.T) {
	long(t)
	p := benchProgram(t, 200)
	rng := rand.New(rand.NewPCG(10, 11))
	var words []string
	for _, kind := range logtest.Kinds() {
		for _, l := range logtest.Lines(kind, 100, logtest.Options{Attack: 0.7}) {
			words = append(words, strings.SplitAfter(string(l), " ")...)
		}
	}
	for _, tt := range []struct {
		name string
		line func() []byte
	}{
		{"soup", func() []byte {
			var line []byte
			for range 1 + rng.IntN(60) {
				line = append(line, words[rng.IntN(len(words))]...)
			}
			return line
		}},
		{"bytes", func() []byte {
			line := make([]byte, rng.IntN(400))
			for i := range line {
				line[i] = byte(rng.IntN(256))
			}
			return line
		}},
		{"spliced", func() []byte {
			a, b := logtest.New(logtest.Auth, logtest.Options{Seed: rng.Uint64(), Attack: 1, Addresses: 20}).Append(nil), words[rng.IntN(len(words))]
			at := rng.IntN(len(a))
			return append(append(append([]byte{}, a[:at]...), b...), a[at:]...)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEngine(p, false)
			bytes := 0
			for range 40 {
				var records []pipeline.Record
				for range 250 {
					records = append(records, pipeline.Record{Line: tt.line(), Time: noon})
					bytes += len(records[len(records)-1].Line) + 2
				}
				e.run(t, records)
			}
			m := e.stages[1].(*Match).sources["test"].matcher
			for i, s := range m.scanners {
				if s == nil {
					continue
				}
				st := s.Stats()
				if st.Steps > bytes || st.Cells > 40_000 || st.Splits+st.Alone+st.Flushes > 0 {
					t.Errorf("set %d: got %+v for %d bytes", i, st, bytes)
				}
				t.Logf("set %d: %+v for %d bytes", i, st, bytes)
			}
			if len(e.counts.Left()) > 0 {
				t.Errorf("got %q", e.counts.Left())
			}
		})
	}
}
