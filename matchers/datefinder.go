package matchers

import (
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A Finder finds and reads the dates of one source's lines, for one worker. What it remembers makes it faster, and
// keeps it with one of several readings that fit (see Dates); it is not safe for concurrent use.
type Finder struct {
	dates      *Dates
	last       int // the program that found the last line's date; -1: none yet
	match      dateMatch
	slots      dateSlots   // what the programs found
	scans      [2]dateScan // what their fast twins found: the best is scans[scan]
	scan       int
	monthFirst *dateGroup // in which 02-03-2026 begins with the month: the last line had a 02-13-2026
	clock      zoneClock  // for the lines' times
	now        zoneClock  // for the reference
	memos      dateMemos  // of the scans
	text       dateText   // of the programs
}

// A dateText is the last date that a program found and that was read, by its text.
type dateText struct {
	text    [64]byte
	n       int // 0: none
	program int
	nanos   int
	minute  dateMinute
}

// Find says where the line's date lies: the bytes that are cut out before the line is matched. The span may be empty
// (a pattern that allows for no date). False means that the line has no date; all of it is matched.
func (f *Finder) Find(line []byte) (pipeline.Span, bool) {
	h, ok := f.search(line)
	return h.span(), ok
}

// Pattern is the alternative that found the last date, as it was written; a default template is spelt out. It is "" before the
// first date.
func (f *Finder) Pattern() string {
	if f.last < 0 {
		return ""
	}
	return f.dates.names[f.last]
}

// Time reads the date that Find found at span. ref stands for the clock: a date without a year is given the last
// one that puts it no more than DateOptions.Ahead after ref, so that both sides of a new year come out right (29 February is
// looked for in leap years); a time without a day is the last such time, a minute after ref at most; of an
// hour that the clock showed twice the one nearer to ref is taken; an empty span is ref. False means that the bytes are no date
// (30 February) or that span is not what Find returned.
func (f *Finder) Time(line []byte, span pipeline.Span, ref time.Time) (time.Time, bool) {
	now := ref.Unix()
	if span.Start < 0 || span.End > len(line) || span.Start > span.End {
		return time.Time{}, false
	}
	if f.single() == nil && f.remembers(line, span) && f.text.minute.holds(&f.now, 0, now) {
		return f.at(f.text.minute.unix, f.text.nanos), true
	}
	h, ok := f.reread(line, span)
	if !ok {
		return time.Time{}, false
	}
	if span.Len() == 0 {
		return ref, true
	}
	if s := &f.scans[f.scan]; h.fast && s.kept != nil && s.kept.minute.holds(&f.now, int64(s.second), now) {
		return f.at(s.kept.minute.unix+int64(s.second), s.nanos), true
	}
	fields, ok := f.fields(h, line, now)
	if !ok {
		return time.Time{}, false
	}
	return f.resolve(fields, h, line, now)
}

// reread finds the date at span again. Lines that were searched meanwhile may have changed what the finder prefers; then
// it is found as the source's first.
func (f *Finder) reread(line []byte, span pipeline.Span) (h dateHit, ok bool) {
	if g := f.single(); g != nil && g.direct {
		if h, ok = f.readAt(g, line, span); ok {
			return h, true
		}
	}
	if h, ok = f.search(line); ok && h.span() == span {
		return h, true
	}
	last, month := f.last, f.monthFirst
	f.last, f.monthFirst, f.scans[0].monthFirst = -1, nil, false
	h, ok = f.search(line)
	f.last, f.monthFirst, f.scans[0].monthFirst = last, month, month != nil
	return h, ok && h.span() == span
}

// readAt reads the date at span without looking for it.
func (f *Finder) readAt(g *dateFast, line []byte, span pipeline.Span) (h dateHit, ok bool) {
	s := &f.scans[0]
	s.oneSpace, f.scan = g.oneSpace, 0
	allow := g.allow | 1<<kindEpoch | 1<<kindTAI
	if !s.at(line, span.Start, allow) || s.end != span.End {
		return h, false
	}
	if s.kept == nil {
		s.keep(line)
	}
	return dateHit{cut: [2]int32{int32(span.Start), int32(span.End)}, fast: true}, true
}

// fields is what the date that was found says.
func (f *Finder) fields(h dateHit, line []byte, now int64) (*dateFields, bool) {
	s := &f.scans[f.scan]
	if !h.fast {
		var ok bool
		s.dateFields, ok = readDate(&f.slots, line, now+f.dates.ahead)
		s.bare = f.dates.programs[h.program].bare(&f.slots)
		if !ok {
			return nil, false
		}
	} else if s.bad || !s.absolute && !s.valid() {
		return nil, false
	} else if s.nameEnd > 0 {
		s.east, s.zoned = zones().seconds(line[s.nameStart:s.nameEnd])
	}
	if s.bare > 0 && !s.longFraction(line) {
		s.bare = 0
	}
	return &s.dateFields, true
}

// at makes the answer.
func (f *Finder) at(sec int64, nanos int) time.Time {
	return time.Unix(sec, int64(nanos)).In(f.dates.loc)
}

// resolve turns what a date says into an instant, and remembers it by its text.
func (f *Finder) resolve(d *dateFields, h dateHit, line []byte, ref int64) (time.Time, bool) {
	if d.absolute {
		return f.at(d.unix, d.nanos), true
	}
	east := int64(d.east)
	if !d.zoned && d.year == 0 {
		east = f.now.offset(ref)
	}
	local, ok := d.local(ref+east, f.dates.ahead)
	if !ok {
		return time.Time{}, false
	}
	unix, sure := local-east, true
	if !d.zoned {
		unix, sure = f.clock.unix(local, ref)
	}
	f.text.n = 0
	if sure && f.scans[f.scan].bare == 0 && !d.floats && !(d.zoned && d.year == 0) {
		f.remember(d, h, line, unix, local)
	}
	return f.at(unix, d.nanos), true
}

// remember keeps what a date's text means, unless that depends on a zone and on the clock, or on what is not cut out.
func (f *Finder) remember(d *dateFields, h dateHit, line []byte, unix, local int64) {
	m := dateMinute{known: true, unix: unix, local: local, ahead: f.dates.ahead}
	switch {
	case d.month == 0:
		m.window, m.ahead = 86400, aheadToday
	case d.year == 0:
		m.window = 365 * 86400
	}
	if h.fast {
		kept := f.scans[f.scan].kept
		if kept == nil {
			return
		}
		m.unix -= int64(d.second)
		m.local -= int64(d.second)
		kept.minute = m
		return
	}
	if text := line[h.cut[0]:h.cut[1]]; f.dates.textual && len(text) <= len(f.text.text) && f.covered() {
		f.text.n = copy(f.text.text[:], text)
		f.text.program, f.text.nanos, f.text.minute = f.last, d.nanos, m
	}
}

// remembers says that the date at span is the remembered text.
func (f *Finder) remembers(line []byte, span pipeline.Span) bool {
	m := &f.text
	if m.n == 0 || m.n != span.Len() || m.program != f.last || string(m.text[:m.n]) != string(line[span.Start:span.End]) {
		return false
	}
	c := at(line, span.End) // behind a point there may be more, see longFraction
	return c != '.' && c != ','
}

// covered says that all parts of the date lie in the bytes that are cut out, so that these alone tell the time.
func (f *Finder) covered() bool {
	cut := f.slots[slotCut]
	for _, s := range f.slots {
		if s[0] >= 0 && (s[0] < cut[0] || s[1] > cut[1]) {
			return false
		}
	}
	return true
}
