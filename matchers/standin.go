package matchers

import (
	"regexp"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// dateFinders stands in for Dates until that is there.
type dateFinders struct{ zone *time.Location }

type dateFinder struct{ zone *time.Location }

func newDateFinders(patterns []string, zone *time.Location) (*dateFinders, error) {
	return &dateFinders{zone}, nil
}

func (d *dateFinders) Finder() *dateFinder { return &dateFinder{d.zone} }

var standin = regexp.MustCompile(`(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)|([A-Z][a-z]{2} [ 0-3]\d \d\d:\d\d:\d\d)|(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})|(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)`)

func (f *dateFinder) Find(line []byte) (pipeline.Span, bool) {
	m := standin.FindIndex(line)
	if m == nil {
		return pipeline.Span{}, false
	}
	return pipeline.Span{Start: m[0], End: m[1]}, true
}

func (f *dateFinder) Time(line []byte, span pipeline.Span, ref time.Time) (time.Time, bool) {
	s := string(line[span.Start:span.End])
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-0700", "2006-01-02 15:04:05", "02/Jan/2006:15:04:05 -0700", "2006/01/02 15:04:05"} {
		if t, err := time.ParseInLocation(layout, s, f.zone); err == nil {
			return t, true
		}
	}
	if t, err := time.ParseInLocation(time.Stamp, s, f.zone); err == nil {
		t = t.AddDate(ref.Year(), 0, 0)
		if t.After(ref.AddDate(0, 0, 1)) {
			t = t.AddDate(-1, 0, 0)
		}
		return t, true
	}
	return time.Time{}, false
}
