package matchers

import (
	"net/netip"
	"time"

	"github.com/banpipe/banpipe/matchers/dfa"
	"github.com/banpipe/banpipe/pipeline"
)

// A Tracer shows what a filter makes of lines, one after the other, and why: `banpipe test` and
// `--explain`. It goes through the steps of Parse, Match and Session, so that lines of one connection are
// seen together. It is for one goroutine.
type Tracer struct {
	jail    *jail
	view    *view
	finder  *Finder
	matcher *Matcher
	session Session
	batch   pipeline.Batch
	stats   []RuleStats
}

// RuleStats is what one failregex has done so far.
type RuleStats struct {
	Rule Rule
	Hits int
	Time time.Duration // spent on all lines
}

// A Verdict says what became of a line.
type Verdict uint8

const (
	Miss    Verdict = iota // no failregex matches; or one that is no failure, or not yet: see Trace.Rule
	Hit                    // a failure
	Ignored                // a failregex matches, and an ignoreregex too
)

func (v Verdict) String() string { return [...]string{"miss", "hit", "ignored"}[v] }

// A Trace is what a filter makes of one line. Its slices are good until the next call of Line.
type Trace struct {
	Verdict Verdict
	Host    netip.Addr    // who is to blame; valid for a Hit
	Time    time.Time     // when it happened; the time given to Line if the line has no date
	Date    pipeline.Span // where its date lies in the line; empty if it has none
	Rule    int           // the failregex that matches, counted from 0; -1 if none does
	Groups  []Group       // what it has found
	Lines   int           // of this connection, that tell of failures: 1 without sessions
	Users   []string      // that were tried on this connection; nil without sessions
	Text    string        // what the rules see of the line, or with maxlines of the lines
}

// A Group is a part of the line that a rule has given a name.
type Group struct {
	Name string
	Text string
	Span pipeline.Span // in Trace.Text
}

// NewTracer compiles a filter, with the errors of NewProgram.
func NewTracer(jf JailFilter) (*Tracer, error) {
	p, err := NewProgram([]JailFilter{jf})
	if err != nil {
		return nil, err
	}
	t := &Tracer{jail: p.jails[0], view: p.views[0], finder: p.views[0].dates.Finder(), matcher: p.NewMatcher()}
	for _, r := range jf.Filter.FailRegex {
		t.stats = append(t.stats, RuleStats{Rule: r})
	}
	t.matcher.timed = func(r *rule, took time.Duration) {
		if r.fail {
			t.stats[r.index].Time += took
		}
	}
	return t, nil
}

// Rules says what each failregex has done, in their order. The slice belongs to the Tracer.
func (t *Tracer) Rules() []RuleStats { return t.stats }

// Line judges a line that was read at now. It is not kept.
func (t *Tracer) Line(line []byte, now time.Time) Trace {
	t.batch = pipeline.Batch{Source: "test"}
	r := t.batch.Append(Unwrapped(line), now)
	if date, ok := t.finder.Find(r.Line); ok {
		r.Date = date
		if at, ok := t.finder.Time(r.Line, date, now); ok {
			r.Time = at
		}
	}
	return t.trace(r)
}

// Entry judges an entry of the journal that was made at the time at: no date is looked for.
func (t *Tracer) Entry(line []byte, at time.Time) Trace {
	t.batch = pipeline.Batch{Source: "test"}
	r := t.batch.Append(line, at)
	r.Dated = true
	return t.trace(r)
}

func (t *Tracer) trace(r *pipeline.Record) Trace {
	seen, json, ok := t.view.text(r, r.Date)
	if !ok {
		return Trace{Time: r.Time, Date: r.Date, Rule: -1}
	}
	if json && !r.Dated {
		if span, at, ok := jsonTime(t.finder, r.Line, jsonAt(r), r.Time); ok {
			r.Date, r.Time = span, at
		}
	}
	found, outcome := t.judge(r, &seen)
	trace := Trace{
		Verdict: [...]Verdict{miss: Miss, hit: Hit, ignored: Ignored}[outcome],
		Time:    r.Time, Date: r.Date, Rule: -1, Text: string(t.matcher.text),
	}
	if found == nil || found.rule == nil {
		return trace
	}
	trace.Rule = found.rule.index
	for _, g := range found.groups {
		trace.Groups = append(trace.Groups, Group{g.name, string(found.text[g.start:g.end]), pipeline.Span{Start: g.start, End: g.end}})
	}
	if outcome == hit {
		t.hit(&trace, found, r)
	}
	return trace
}

func (t *Tracer) judge(r *pipeline.Record, seen *dfa.Line) (*match, outcome) {
	if t.jail.filter.MaxLines > 1 {
		return t.session.buffer(bufferKey{t.jail.name, t.batch.Source}).push(t.matcher, t.jail, r)
	}
	t.matcher.join(seen)
	found := &match{jail: t.jail}
	return found, t.matcher.judge(t.jail, found)
}

// hit asks the session what a match comes to.
func (t *Tracer) hit(trace *Trace, found *match, r *pipeline.Record) {
	t.stats[trace.Rule].Hits++
	trace.Verdict, trace.Lines = Miss, 1
	if !found.fill(r, &t.batch) || r.Session == nil && r.Kind == pipeline.Note || found.name(r.Addr) != nil {
		return // no names are looked up here
	}
	if r.Session != nil {
		e, _ := readEvent(r.Session)
		c, counts := t.session.of(t.jail.name).merge(e, r.Time)
		trace.Lines, trace.Users = c.lines, c.users
		if !counts {
			return
		}
		r.Addr = c.addr
	}
	trace.Verdict, trace.Host = Hit, r.Addr
}
