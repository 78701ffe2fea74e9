package matchers

import (
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
	texts   texts
	last    dated // the date that was read last
	hits    []pipeline.Record
	order   []int    // by hit: its line and, where several views have hits, their places
	ranks   []uint64 // of hits, sorted: the order and, below it, the index
}

// A matchSource is what an instance keeps for a source.
type matchSource struct {
	readings []*reading
	matcher  *Matcher
	finders  []*Finder // by view; those that want the same of dates share one
}

// Process judges the lines of b.
func (m *Match) Process(_ context.Context, b *pipeline.Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	m.hits, m.order, m.last = m.hits[:0], m.order[:0], dated{}
	for i := range m.dates {
		m.dates[i] = m.dates[i][:0]
	}
	if s := m.source(b.Source); s != nil {
		for _, rd := range s.readings {
			m.read(s, rd, b)
		}
	}
	m.count(func(c *Counts) {
		c.Lines.Add(int64(len(b.Records)))
		c.Hits.Add(int64(len(m.hits)))
	})
	clear(b.Records)
	b.Records = m.sorted(b.Records[:0])
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
		s = &matchSource{readings: p.readings, matcher: p.NewMatcher()}
		if s.matcher.reference = m.reference; m.reference {
			s.readings = readingsOf(p.views, true)
		}
		for _, v := range p.views {
			s.finders = append(s.finders, v.finder(p, s.finders))
		}
	}
	if m.sources == nil {
		m.sources = map[string]*matchSource{}
	}
	m.sources[name] = s
	return s
}

// find returns the dates of the batch by the datepattern of a view; nil if Parse has found these already.
func (m *Match) find(s *matchSource, view int, b *pipeline.Batch) []pipeline.Span {
	if view == 0 {
		return nil
	}
	for len(m.dates) <= view {
		m.dates = append(m.dates, nil)
	}
	found := m.dates[view]
	if len(found) == 0 {
		for i := range b.Records {
			r := &b.Records[i]
			date := r.Date
			if !r.Dated {
				date, _ = s.finders[view].Find(r.Line)
			}
			found = append(found, date)
		}
		m.dates[view] = found
	}
	return found
}

// read judges the batch for the jails of a reading.
func (m *Match) read(s *matchSource, rd *reading, b *pipeline.Batch) {
	m.texts.reset()
	dates := m.find(s, rd.of.dating, b)
	for i := range b.Records {
		r := &b.Records[i]
		date := r.Date
		if dates != nil {
			date = dates[i]
		}
		if !rd.add(&m.texts, i, r, date) && rd.of.json != nil {
			m.count(func(c *Counts) { c.NotJSON.Add(1) })
		}
	}
	s.matcher.match(rd, &m.texts, func(found *match) { m.hit(s, found, b) })
	for _, j := range rd.buffered {
		for i := range m.texts.of {
			m.line(s, j, &m.texts.of[i], b)
		}
	}
	m.countSlow(s.matcher)
}

// line passes a line on to Session, for a jail whose filter looks at several.
func (m *Match) line(s *matchSource, j *jail, t *text, b *pipeline.Batch) {
	r := b.Records[t.record]
	r.Date = t.date
	r.Kind, r.Jail = pipeline.Note, j.name
	m.date(s.finders[j.view.index], &r, t, b.Live)
	r.Session = b.Hold([]byte{lineMark})
	m.keep(s, j, &r, t.record)
}

// hit makes a record of a match.
func (m *Match) hit(s *matchSource, found *match, b *pipeline.Batch) {
	r := b.Records[found.of.record]
	if !found.fill(&r, b) {
		m.count(func(c *Counts) { c.NoHost.Add(1) })
		return
	}
	r.Date = found.of.date
	m.date(s.finders[found.jail.view.index], &r, found.of, b.Live)
	m.keep(s, found.jail, &r, found.of.record)
}

func (m *Match) keep(s *matchSource, j *jail, r *pipeline.Record, line int) {
	m.hits, m.order = append(m.hits, *r), append(m.order, line*len(s.finders)+j.view.index)
}

// date sets r.Time to the time that counts for a hit, and r.Date to where it stands. r.Time is when the line was
// read: what lies behind that has not happened yet.
func (m *Match) date(dates *Finder, r *pipeline.Record, of *text, live bool) {
	if r.Dated {
		return
	}
	read := r.Time
	if w := (when{by: dates, line: of.record, json: of.json, date: r.Date}); m.last.when != w {
		m.last = dated{when: w}
		m.last.read(r)
	}
	d := &m.last
	r.Date = d.span
	switch t := d.time; {
	case !d.ok:
	case live && (read.Sub(t) > odd || t.Sub(read) > odd):
		m.count(func(c *Counts) { c.OddDates.Add(1) })
	case !t.After(read):
		r.Time = t
	}
}

// dated is the last date that was read: a line that offends in several jails is read once.
type dated struct {
	when
	span pipeline.Span
	time time.Time
	ok   bool
}

// when says which date that is.
type when struct {
	by   *Finder // nil if none was read from this batch
	line int
	json bool
	date pipeline.Span
}

func (d *dated) read(r *pipeline.Record) {
	if d.json {
		d.span, d.time, d.ok = jsonTime(d.by, r.Line, jsonAt(r), r.Time)
	}
	if d.ok {
		return
	}
	if d.span = d.date; d.date.Len() > 0 {
		d.time, d.ok = d.by.Time(r.Line, d.date, r.Time)
	}
}

// sorted appends the hits to records in the order of their lines, those of one line in the order of the jails' views.
func (m *Match) sorted(records []pipeline.Record) []pipeline.Record {
	if slices.IsSorted(m.order) {
		return append(records, m.hits...)
	}
	m.ranks = m.ranks[:0]
	for i, order := range m.order {
		m.ranks = append(m.ranks, uint64(order)<<32|uint64(i))
	}
	slices.Sort(m.ranks)
	for _, r := range m.ranks {
		records = append(records, m.hits[uint32(r)])
	}
	return records
}
