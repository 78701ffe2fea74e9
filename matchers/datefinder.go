package matchers

import (
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A Finder finds and reads the dates of one source's lines, for one worker. What it remembers makes it faster, and
// keeps it with one of several readings that fit (see Dates); it is not safe for concurrent use.
type Finder struct {
	dates *Dates
	last  int // the program that found the last line's date; -1: none yet
	match dateMatch
	best  dateSlots
	clock zoneClock
	memo  dateMemo
}

// A dateMemo is the last date that was read, by its text.
type dateMemo struct {
	text    [64]byte
	n       int // 0: none
	program int
	sec     int64
	nanos   int
	limits  bool // it holds only while its time lies between ref-from and ref+to
	from    int64
	to      int64
}

// Find says where the line's date lies: the bytes that are cut out before the line is matched. The span may be empty
// (a pattern that allows for no date). False means that the line has no date; all of it is matched.
func (f *Finder) Find(line []byte) (pipeline.Span, bool) {
	if !f.search(line) {
		return pipeline.Span{}, false
	}
	return f.cut(), true
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
	if f.memo.fits(line[span.Start:span.End], f.last, now) {
		return f.at(f.memo.sec, f.memo.nanos), true
	}
	if !f.search(line) || f.cut() != span {
		return time.Time{}, false
	}
	if span.Len() == 0 {
		return ref, true
	}
	fields, ok := f.dates.fields(&f.best, line, now)
	if !ok {
		return time.Time{}, false
	}
	return f.resolve(&fields, line[span.Start:span.End], now)
}

// at makes the answer.
func (f *Finder) at(sec int64, nanos int) time.Time {
	return time.Unix(sec, int64(nanos)).In(f.dates.loc)
}

// resolve turns what a date says into an instant, and remembers it by its text.
func (f *Finder) resolve(d *dateFields, text []byte, ref int64) (time.Time, bool) {
	if d.absolute {
		return f.at(d.unix, d.nanos), true
	}
	east := int64(d.east)
	if !d.zoned {
		east = f.clock.offset(ref)
	}
	local, ok := d.local(ref+east, f.dates.ahead)
	if !ok {
		return time.Time{}, false
	}
	unix, sure := local-east, true
	if !d.zoned {
		unix, sure = f.clock.unix(local, ref)
	}
	f.memo.n = 0
	if sure && f.dates.textual && len(text) <= len(f.memo.text) && f.covered() {
		f.memo.put(text, f.last, unix, d, f.dates.ahead)
	}
	return f.at(unix, d.nanos), true
}

func (m *dateMemo) put(text []byte, program int, unix int64, d *dateFields, ahead int64) {
	m.n = copy(m.text[:], text)
	m.program, m.sec, m.nanos = program, unix, d.nanos
	m.limits = d.year == 0
	switch {
	case d.month == 0:
		m.from, m.to = 86400-aheadToday, aheadToday
	case d.year == 0:
		m.from, m.to = 365*86400-ahead, ahead
	}
}

// fits says that text is the remembered date, and that it still means the same.
func (m *dateMemo) fits(text []byte, program int, ref int64) bool {
	if m.n == 0 || m.program != program || string(m.text[:m.n]) != string(text) {
		return false
	}
	return !m.limits || m.sec <= ref+m.to-1 && m.sec > ref-m.from+1
}

// covered says that all parts of the date lie in the bytes that are cut out, so that these alone tell the time.
func (f *Finder) covered() bool {
	cut := f.best[slotCut]
	for _, s := range f.best {
		if s[0] >= 0 && (s[0] < cut[0] || s[1] > cut[1]) {
			return false
		}
	}
	return true
}

// cut is the span of the best match.
func (f *Finder) cut() pipeline.Span {
	s := f.best[slotCut]
	if s[0] < 0 {
		return pipeline.Span{}
	}
	return pipeline.Span{Start: int(s[0]), End: int(s[1])}
}

// search finds the best match, see Dates, and leaves it in best and last.
func (f *Finder) search(line []byte) bool {
	found, place := -1, len(line)+1
	if f.last >= 0 {
		place = f.try(f.last, line, place)
		if place <= len(line) {
			found = f.last
		}
	}
	for i := 0; i < len(f.dates.programs) && place > 0; i++ {
		if i == f.last {
			continue
		}
		if p := f.try(i, line, place); p < place {
			found, place = i, p
		}
	}
	if found < 0 {
		return false
	}
	f.last = found
	return true
}

// try runs one program for a better place than the one given, and returns it with best set; else the one given.
func (f *Finder) try(i int, line []byte, place int) int {
	p := f.dates.programs[i]
	limit := place - 1
	if p.anchored {
		limit = len(line)
	}
	start, _, ok := f.match.search(p, line, limit)
	if !ok {
		return place
	}
	if p.anchored || start <= 1 {
		start = 0
	}
	if start < place {
		place, f.best = start, f.match.slot
	}
	return place
}
