package matchers

import (
	"bytes"
	"slices"
	"sync"

	"github.com/banpipe/banpipe/matchers/dfa"
	"github.com/banpipe/banpipe/pipeline"
)

// A reading is one form that lines are given, and all jails that judge lines in this form: what views have
// in common. One pass over a line serves them all.
//
//	line ─┬─ as it is, less its date ──► the jails of plain views, and of mixed ones if the line is no JSON
//	      ├─ fields of its JSON ───────► the jails of views that name these fields
//	      └─ fields of UFW's ──────────► the jails of views that name these fields
type reading struct {
	index    int   // in Program.readings
	of       *view // the first of its views: all have its dates and, unless plain, its fields
	plain    bool  // lines as they are
	mixed    bool  // it has mixed views, whose jails look at JSON in one way and at other lines in another
	only     bool  // it has no others
	jails    []*jail
	buffered []*jail // those with maxlines: Session's

	selection func() *selection // of jails; made when it is first asked for
}

// texts are lines in the form of a reading.
type texts struct {
	lines []dfa.Line // as the rules see them: without the date, so in two pieces, and without newlines
	of    []text     // where each is from
	made  []byte     // what JSON and UFW's lines were made into
}

// A text is what is known of a line beside its bytes.
type text struct {
	record int // its index in the batch
	date   pipeline.Span
	object bool // the line begins as an object of JSON does
	json   bool // the date is a field's
}

func (t *texts) reset() {
	clear(t.lines)
	t.lines, t.of, t.made = t.lines[:0], t.of[:0], t.made[:0]
}

// readingsOf are the readings that views need. Apart, each view has its own.
func readingsOf(views []*view, apart bool) []*reading {
	var all []*reading
	for _, v := range views {
		for _, plain := range []bool{true, false} {
			if plain && (v.json != nil && !v.mixed || v.ufw != nil) || !plain && v.json == nil && v.ufw == nil {
				continue
			}
			i := slices.IndexFunc(all, func(r *reading) bool { return !apart && r.fits(v, plain) })
			if i < 0 {
				i = len(all)
				all = append(all, &reading{index: i, of: v, plain: plain, only: true})
			}
			r := all[i]
			r.mixed, r.only = r.mixed || v.mixed, r.only && v.mixed
			r.jails, r.buffered = append(r.jails, v.jails...), append(r.buffered, v.buffered...)
		}
	}
	n := map[bool]int{}
	for _, r := range all {
		n[r.plain]++
	}
	for _, r := range all {
		share := maxSelection / n[r.plain]
		if len(n) > 1 {
			share /= 2 // most lines are for the plain ones, which are few
		}
		r.selection = sync.OnceValue(func() *selection { return newSelection(r.jails, share) })
	}
	return all
}

// fits reports whether the jails of v see the texts of r, too.
func (r *reading) fits(v *view, plain bool) bool {
	return r.of.dating == v.dating && r.plain == plain && (plain || r.of.form == v.form)
}

// serves reports whether a text of r is for a jail: mixed views look at a line in one way only.
func (r *reading) serves(j *jail, t *text) bool { return !j.view.mixed || t.object != r.plain }

// add adds the text of a record whose date was found, if it has one. It returns false if the line should have been of the
// reading's kind, and is not.
func (r *reading) add(to *texts, index int, record *pipeline.Record, date pipeline.Span) bool {
	object := r.mixed && looksJSON(record)
	if r.only && object == r.plain {
		return true // it is for other readings
	}
	if r.plain {
		to.lines = append(to.lines, dfa.Line{})
		setPlain(&to.lines[len(to.lines)-1], record, date)
	} else {
		line, ok := r.of.fields(record, date, &to.made)
		if !ok {
			return false
		}
		to.lines = append(to.lines, line)
	}
	to.of = append(to.of, text{})
	t := &to.of[len(to.of)-1]
	t.record, t.date, t.object, t.json = index, date, object, !r.plain && r.of.dated()
	return true
}

// plainText is a line as it is.
func plainText(r *pipeline.Record, date pipeline.Span) (l dfa.Line) {
	setPlain(&l, r, date)
	return l
}

// setPlain is plainText where the line is to lie: it is one for each line that is read.
func setPlain(l *dfa.Line, r *pipeline.Record, date pipeline.Span) {
	l.Head, l.Tail, l.Cut = r.Line[:date.Start], trimNewline(r.Line[date.End:]), r.Cut
	if len(l.Tail) == 0 {
		l.Head = trimNewline(l.Head)
	}
}

// trimNewline is what bytes.TrimRight would do, for lines that nearly all end in neither.
func trimNewline(line []byte) []byte {
	for n := len(line); n > 0 && (line[n-1] == '\n' || line[n-1] == '\r'); n-- {
		line = line[:n-1]
	}
	return line
}

// fields is what JSON or UFW's fields make of a line; made grows by it.
func (v *view) fields(r *pipeline.Record, date pipeline.Span, made *[]byte) (dfa.Line, bool) {
	start := len(*made)
	var ok bool
	if v.json != nil {
		*made, ok = v.json.append(*made, r.Line[jsonAt(r):])
		return dfa.Line{Head: trimNewline((*made)[start:])}, ok && !r.Cut
	}
	if !bytes.Contains(r.Line, ufwMark) {
		return dfa.Line{}, false
	}
	*made = append(append(*made, r.Line[:date.Start]...), r.Line[date.End:]...)
	end := len(*made)
	if *made, ok = v.ufw.append(*made, (*made)[start:]); !ok {
		*made = (*made)[:start]
		return dfa.Line{}, false
	}
	return dfa.Line{Head: trimNewline((*made)[end:])}, !r.Cut
}

// dated reports whether the date of a line is a field of its JSON.
func (v *view) dated() bool { return v.json != nil && !v.pattern }

// looksJSON reports whether a line begins as an object does.
func looksJSON(r *pipeline.Record) bool {
	line := r.Line[jsonAt(r):]
	for len(line) > 0 && line[0] == ' ' {
		line = line[1:]
	}
	return len(line) > 0 && line[0] == '{'
}

// Regexes are the rules that plain lines are searched for, in the syntax of Go's regexp: those of a filter with
// prefregex have it around them, and fit wherever it and the rule match. The engine's sets are made of them.
func (p *Program) Regexes() (all []string) {
	for _, r := range p.readings {
		if r.plain {
			all = append(all, r.selection().rules...)
		}
	}
	return all
}
