package matchers

import (
	"bytes"
	"strconv"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// jsonDates are the names that loggers give to the time of an entry: zap and Caddy, most others, structlog and pino,
// Logstash, Traefik, Python's logging, nginx's variables, MongoDB. No client writes these fields, while what it does write may
// hold a date and stand before them.
var jsonDates = newJSONText([]string{"ts", "time", "timestamp", "@timestamp", "time_iso8601", "time_local", "msec", "asctime", "datetime", "date", "StartUTC", "t.$date", "eventTime", "log_time"})

// jsonTime reads the date of a line of JSON whose object begins at start, from the first of those fields that is there. False
// means that there is none: a date is then looked for in the line.
func jsonTime(f *Finder, line []byte, start int, ref time.Time) (pipeline.Span, time.Time, bool) {
	var spans [maxJSONFields][2]int
	found, ok := jsonDates.find(spans[:0], line[start:])
	if !ok {
		return pipeline.Span{}, time.Time{}, false
	}
	for _, at := range found {
		if at[0] < 0 {
			continue
		}
		span := pipeline.Span{Start: start + at[0], End: start + at[1]}
		if line[span.Start] == '"' {
			span.Start, span.End = span.Start+1, span.End-1
		}
		if t, ok := valueTime(f, line[span.Start:span.End], ref); ok {
			return span, t, true
		}
	}
	return pipeline.Span{}, time.Time{}, false
}

// valueTime reads the date that a field holds: as text, or as a number of seconds since 1970, with a fraction or without, or
// of milli-, micro- or nanoseconds: no log is so old or so young that their sizes meet.
func valueTime(f *Finder, value []byte, ref time.Time) (time.Time, bool) {
	if len(value) == 0 || len(value) > 32 && len(bytes.Trim(value, "0123456789.eE+")) == 0 {
		return time.Time{}, false
	}
	if len(bytes.Trim(value, "0123456789.eE+")) > 0 || bytes.IndexByte(value, '.') == 4 {
		span, ok := f.Find(value)
		if !ok || span.Len() == 0 {
			return time.Time{}, false
		}
		return f.Time(value, span, ref)
	}
	n, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return time.Time{}, false
	}
	for _, unit := range [...]float64{1, 1e3, 1e6, 1e9} {
		if s := n / unit; s >= 5e8 && s < 5e10 {
			whole := int64(s)
			return time.Unix(whole, int64((s-float64(whole))*1e9)).In(f.dates.loc), true
		}
	}
	return time.Time{}, false
}
