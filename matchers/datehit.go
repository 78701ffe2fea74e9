package matchers

import "github.com/banpipe/banpipe/pipeline"

// A dateHit is what a group has found.
type dateHit struct {
	place   int // 0 at the line's start, see Dates
	program int
	cut     [2]int32
	fast    bool // read by the scan, else by the matcher
}

// span is the part of the line that is cut out.
func (h dateHit) span() pipeline.Span { return pipeline.Span{Start: int(h.cut[0]), End: int(h.cut[1])} }

// single is the fast family of a datepattern that is one, else nil.
func (f *Finder) single() *dateFast {
	if len(f.dates.groups) > 1 {
		return nil
	}
	return f.dates.groups[0].fast
}

// search finds the line's date.
func (f *Finder) search(line []byte) (h dateHit, ok bool) {
	g := f.single()
	if g == nil {
		return f.searchAll(line)
	}
	f.scan = 0
	s := &f.scans[0]
	if h, ok = g.find(s, line); !ok {
		return h, false
	}
	if h.program != f.last {
		f.learn(h.program)
	}
	if s.kept == nil {
		s.keep(line)
	}
	return h, true
}

// learn remembers which program found a date.
func (f *Finder) learn(program int) {
	if f.last < 0 || !f.same(program) {
		f.last = program
		f.monthFirst = f.monthGroup(program)
		f.scans[0].monthFirst = f.monthFirst != nil
	}
}

// searchAll is search for several groups, see Dates: the remembered template is asked first, and keeps its place against others that
// find a date at the same one.
func (f *Finder) searchAll(line []byte) (best dateHit, ok bool) {
	best.place = len(line) + 1
	if f.last >= 0 {
		f.ask(f.group(f.last), line, &best, true)
	}
	for i := range f.dates.groups {
		if best.place == 0 {
			break
		}
		f.ask(&f.dates.groups[i], line, &best, false)
	}
	if best.place > len(line) {
		return best, false
	}
	f.learn(best.program)
	if s := &f.scans[f.scan]; best.fast && s.kept == nil {
		s.keep(line)
	}
	return best, true
}

// ask puts what a group finds into best if its place is better; only what the remembered template finds, if remembered.
func (f *Finder) ask(g *dateGroup, line []byte, best *dateHit, remembered bool) {
	if g.fast != nil {
		s := &f.scans[1-f.scan]
		s.monthFirst = f.monthFirst == g
		if h, ok := g.fast.find(s, line); ok && h.place < best.place && (!remembered || f.same(h.program)) {
			*best, f.scan = h, 1-f.scan
		}
		return
	}
	for i := g.from; i < g.to && best.place > 0; i++ {
		if !remembered || f.dates.family[i] == f.dates.family[f.last] {
			f.try(i, line, best)
		}
	}
}

// try runs one program for a better place than best's.
func (f *Finder) try(i int, line []byte, best *dateHit) {
	p := f.dates.programs[i]
	limit := best.place - 1
	if p.anchored {
		limit = len(line)
	}
	start, _, ok := f.match.search(p, line, limit)
	if !ok {
		return
	}
	if p.anchored || start <= 1 {
		start = 0
	}
	if start < best.place {
		f.slots = f.match.slot
		*best = dateHit{place: start, program: i, cut: f.slots[slotCut]}
		if best.cut[0] < 0 {
			best.cut = [2]int32{}
		}
	}
}

// group is the group of a program.
func (f *Finder) group(program int) *dateGroup {
	for i := range f.dates.groups {
		if g := &f.dates.groups[i]; program < g.to {
			return g
		}
	}
	return nil
}

// same says that a date found by program could have been found by the remembered one: by another form of it, or, for a
// syslog date without a zone, by one in which a zone may stand.
func (f *Finder) same(program int) bool {
	now, last := f.dates.family[program], f.dates.family[f.last]
	if now == last {
		return true
	}
	now, base := now%int(kindCount+1), now-now%int(kindCount+1)
	last -= base
	return dateKind(now) == kindSyslog && (last == int(kindZoned) || last == int(kindOffset))
}

// monthGroup is the group of a program that reads 02-13-2026, nil for others.
func (f *Finder) monthGroup(program int) *dateGroup {
	if f.dates.family[program]%int(kindCount+1) != int(kindMonthDay) {
		return nil
	}
	return f.group(program)
}
