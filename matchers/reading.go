package matchers

import (
	"bytes"
	"slices"
	"sync"

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

// A text is a line in the form of a reading: without its date, so in two pieces.
type text struct {
	line       int // index of the record
	date       pipeline.Span
	head, tail []byte
	cut        bool // the end of the line is missing
	object     bool // the line begins as an object of JSON does
	json       bool // head is made of JSON, whose date is a field's
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

// text is the text of a record whose date was found. ok is false if it has none: if the line is for other readings, or, failed,
// no line of their kind. For JSON and UFW made grows by the text.
func (r *reading) text(record *pipeline.Record, date pipeline.Span, made *[]byte) (t text, ok, failed bool) {
	object := r.mixed && looksJSON(record)
	switch {
	case r.only && object == r.plain:
		return t, false, false
	case r.plain:
		t, ok = plainText(record, date), true
	default:
		t, ok = r.of.fields(record, date, made)
	}
	t.object = object
	return t, ok, !ok
}

// plainText is a line as it is.
func plainText(r *pipeline.Record, date pipeline.Span) text {
	return text{date: date, head: r.Line[:date.Start], tail: r.Line[date.End:], cut: r.Cut}
}

// fields is what JSON or UFW's fields make of a line.
func (v *view) fields(r *pipeline.Record, date pipeline.Span, made *[]byte) (text, bool) {
	start := len(*made)
	var ok bool
	if v.json != nil {
		*made, ok = v.json.append(*made, r.Line[jsonAt(r):])
		return text{date: date, head: (*made)[start:], json: !v.pattern}, ok && !r.Cut
	}
	if !bytes.Contains(r.Line, ufwMark) {
		return text{}, false
	}
	*made = append(append(*made, r.Line[:date.Start]...), r.Line[date.End:]...)
	end := len(*made)
	if *made, ok = v.ufw.append(*made, (*made)[start:]); !ok {
		*made = (*made)[:start]
		return text{}, false
	}
	return text{date: date, head: (*made)[end:]}, !r.Cut
}

// looksJSON reports whether a line begins as an object does.
func looksJSON(r *pipeline.Record) bool {
	return bytes.HasPrefix(bytes.TrimLeft(r.Line[jsonAt(r):], " "), []byte("{"))
}
