package matchers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

var _ pipeline.Stage = (*Match)(nil)

// odd is how far the date of a line that has just been written may be off the clock. Beyond that it is
// not believed: a log in another zone must not leave a machine unprotected. fail2ban's figure.
const odd = 60 * time.Second

// Match judges lines. Behind it a batch holds only records that a jail's filter has something to say
// about, a line that offends in two jails twice; all other lines are gone. It is stateless: it may run in
// pipeline.Concurrent, each worker with an instance of its own. Parse must come before it, Session
// directly behind it.
type Match struct {
	// Programs says which program a source's lines are for; the lines of a source that has none are
	// dropped. It is asked once per source name and instance, and may be called by several goroutines.
	Programs func(source string) *Program
	Counts   *Counts // shared by all instances; nil counts nothing

	reference bool // for tests: as Matcher has it

	sources map[string]*matchSource
	dates   [][]pipeline.Span // of the batch, by view.dating, as far as they were asked for
	texts   []text
	json    []byte // the texts of lines of JSON
	hits    []pipeline.Record
	order   []int // by hit: the line it is from
}

// A matchSource is what an instance keeps for a source.
type matchSource struct {
	program *Program
	matcher *Matcher
	finders []*Finder // by view
}

// Process judges the lines of b.
func (m *Match) Process(_ context.Context, b *pipeline.Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	m.hits, m.order = m.hits[:0], m.order[:0]
	for i := range m.dates {
		m.dates[i] = m.dates[i][:0]
	}
	if s := m.source(b.Source); s != nil {
		for i, v := range s.program.views {
			m.view(s, i, v, b)
		}
	}
	m.count(func(c *Counts) {
		c.Lines.Add(int64(len(b.Records)))
		c.Hits.Add(int64(len(m.hits)))
	})
	if len(m.hits) > 1 {
		m.sortHits()
	}
	clear(b.Records)
	b.Records = append(b.Records[:0], m.hits...)
	clear(m.hits)
	return nil
}

func (m *Match) count(add func(*Counts)) {
	if m.Counts != nil {
		add(m.Counts)
	}
}

func (m *Match) source(name string) *matchSource {
	s, known := m.sources[name]
	if known {
		return s
	}
	if p := m.Programs(name); p != nil {
		s = &matchSource{program: p, matcher: p.NewMatcher()}
		s.matcher.reference = m.reference
		for _, v := range p.views {
			s.finders = append(s.finders, v.dates.Finder())
		}
	}
	if m.sources == nil {
		m.sources = map[string]*matchSource{}
	}
	m.sources[name] = s
	return s
}

// find returns the dates of the batch as the jails of a view see them; nil if Parse has found these already.
// Views with the same datepattern share what is found.
func (m *Match) find(s *matchSource, v *view, b *pipeline.Batch) []pipeline.Span {
	if v.dating == 0 {
		return nil
	}
	for len(m.dates) <= v.dating {
		m.dates = append(m.dates, nil)
	}
	found := m.dates[v.dating]
	if len(found) == 0 {
		for i := range b.Records {
			r := &b.Records[i]
			date := r.Date
			if !r.Dated {
				date, _ = s.finders[v.dating].Find(r.Line)
			}
			found = append(found, date)
		}
		m.dates[v.dating] = found
	}
	return found
}

// view judges the batch for the jails of one view.
func (m *Match) view(s *matchSource, index int, v *view, b *pipeline.Batch) {
	m.texts, m.json = m.texts[:0], m.json[:0]
	dates := m.find(s, v, b)
	for i := range b.Records {
		r := &b.Records[i]
		date := r.Date
		if dates != nil {
			date = dates[i]
		}
		t, ok := v.text(r, date, &m.json)
		if !ok {
			if v.json != nil {
				m.count(func(c *Counts) { c.NotJSON.Add(1) })
			}
			continue
		}
		t.line = i
		m.texts = append(m.texts, t)
	}
	s.matcher.match(v, m.texts, func(found *match) { m.hit(s.finders[index], found, b) })
	for _, j := range v.buffered {
		for i := range m.texts {
			m.line(s.finders[index], j, &m.texts[i], b)
		}
	}
	m.countSlow(s.matcher)
	clear(m.texts)
}

// line passes a line on to Session, for a jail whose filter looks at several.
func (m *Match) line(dates *Finder, j *jail, t *text, b *pipeline.Batch) {
	r := b.Records[t.line]
	r.Date = t.date
	r.Kind, r.Jail, r.Time = pipeline.Note, j.name, m.when(dates, &r, b.Live, false)
	r.Session = b.Hold([]byte{lineMark})
	m.hits, m.order = append(m.hits, r), append(m.order, t.line)
}

// hit makes a record of a match.
func (m *Match) hit(dates *Finder, found *match, b *pipeline.Batch) {
	r := b.Records[found.of.line]
	if !found.fill(&r, b) {
		m.count(func(c *Counts) { c.NoHost.Add(1) })
		return
	}
	r.Date = found.of.date
	r.Time = m.when(dates, &r, b.Live, found.of.json)
	m.hits, m.order = append(m.hits, r), append(m.order, found.of.line)
}

// when is the time that counts for a hit. r.Time is when it was read: what lies behind that has not
// happened yet.
func (m *Match) when(dates *Finder, r *pipeline.Record, live, json bool) time.Time {
	read := r.Time
	if r.Dated {
		return read
	}
	span, t, ok := pipeline.Span{}, time.Time{}, false
	if json {
		span, t, ok = jsonTime(dates, r.Line, jsonAt(r), read)
	}
	if ok {
		r.Date = span
	} else if r.Date.Len() > 0 {
		t, ok = dates.Time(r.Line, r.Date, read)
	}
	switch {
	case !ok:
		return read
	case live && (read.Sub(t) > odd || t.Sub(read) > odd):
		m.count(func(c *Counts) { c.OddDates.Add(1) })
		return read
	case t.After(read):
		return read
	}
	return t
}

// sortHits puts the hits of several views in the order of their lines; those of one line stay in the
// order of the jails' views.
func (m *Match) sortHits() {
	if slices.IsSorted(m.order) {
		return
	}
	type hit struct {
		line   int
		record pipeline.Record
	}
	hits := make([]hit, len(m.hits))
	for i := range hits {
		hits[i] = hit{m.order[i], m.hits[i]}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(a.line, b.line) })
	for i := range hits {
		m.hits[i] = hits[i].record
	}
}
