package matchers

import (
	"bytes"
	"context"
	"iter"
	"time"
	"unicode/utf8"

	"github.com/banpipe/banpipe/pipeline"
)

var _ pipeline.Stateful = (*Docker)(nil)

// maxPartial is how many streams with an unfinished line are remembered.
const maxPartial = 10_000

// Docker takes lines out of what Docker's json-file driver wraps around them:
//
//	{"log":"192.0.2.7 - - […] \"GET / HTTP/1.1\" 404 153\n","stream":"stdout","time":"2026-11-22T07:23:11.123456789Z"}
//
// becomes the line that the program in the container wrote. Its time is the one when Docker got it; a date in the
// line itself is found later, as in any line. Lines of any other form pass as they are.
//
// Docker cuts lines of more than 16 KiB into pieces, and nothing in a piece tells that it is not the beginning of a line: a
// remote party that chooses its length could write whole lines. So only the first piece is kept, as one whose end is
// missing. That needs the pieces in their order: it stands first, in one instance.
type Docker struct {
	partial map[string]bool // by source and stream: the last piece had no end; false where that must be saved
}

// Name is the owner of what Docker saves.
func (d *Docker) Name() string { return "docker" }

// Process unwraps the lines of b.
func (d *Docker) Process(_ context.Context, b *pipeline.Batch) error {
	drop := false
	for i := range b.Records {
		r := &b.Records[i]
		if len(r.Line) == 0 || r.Line[0] != '{' { // nearly all
			continue
		}
		if w, ok := parseDocker(r.Line); ok {
			drop = d.unwrap(b, r, &w) || drop
		}
	}
	if drop {
		b.Keep(func(r *pipeline.Record) bool { return r.Line != nil })
	}
	return nil
}

// unwrap puts the line in the record; true means that it is the piece of a line whose beginning has passed.
func (d *Docker) unwrap(b *pipeline.Batch, r *pipeline.Record, w *dockerLine) (drop bool) {
	inside, partial := false, !bytes.HasSuffix(w.log, []byte(`\n`))
	if len(d.partial) > 0 || partial { // seldom: no key is made for a whole line
		key := b.Source + "\x00" + string(w.stream)
		inside = d.partial[key]
		d.mark(key, partial)
	}
	if inside {
		r.Line = nil
		return true
	}
	// The text is no longer than what it is made of: it takes the place of the escapes in the batch's own memory.
	r.Line = appendLog(w.log[:0], w.log)
	r.Cut = r.Cut || partial
	if at, err := time.Parse(time.RFC3339Nano, string(w.time)); err == nil {
		r.Time = at
	}
	return false
}

func (d *Docker) mark(key string, partial bool) {
	if _, known := d.partial[key]; known || partial && len(d.partial) < maxPartial {
		if d.partial == nil {
			d.partial = map[string]bool{}
		}
		d.partial[key] = partial
	}
}

// Save hands over the streams in the middle of a line.
func (d *Docker) Save(full bool, put func(key, value []byte)) {
	for key, partial := range d.partial {
		switch {
		case partial:
			put([]byte(key), []byte{1})
		case !full:
			put([]byte(key), nil)
		}
		if !partial {
			delete(d.partial, key)
		}
	}
}

// Load takes them back.
func (d *Docker) Load(saved iter.Seq2[[]byte, []byte]) error {
	for key := range saved {
		d.mark(string(key), true)
	}
	return nil
}

// Unwrapped is the line that a program in a container wrote, of a line of Docker's json-file driver; any other line
// is returned as it is.
func Unwrapped(line []byte) []byte {
	if w, ok := parseDocker(line); ok {
		return appendLog(nil, w.log)
	}
	return line
}

// A dockerLine is a line of a json-file log in its parts, which still have JSON's escapes.
type dockerLine struct{ log, stream, time []byte }

// parseDocker takes apart what Docker itself writes, to the byte (daemon/logger/jsonfilelog/jsonlog): other
// programs' JSON, even with the same fields, is left to the filters.
func parseDocker(line []byte) (w dockerLine, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"log":"`))
	if !ok {
		return w, false
	}
	end := stringEnd(rest)
	if end < 0 {
		return w, false
	}
	w.log, rest = rest[:end], rest[end:]
	if rest, ok = bytes.CutPrefix(rest, []byte(`","stream":"std`)); !ok || len(rest) < 3 {
		return w, false
	}
	w.stream, rest = rest[:3], rest[3:]
	if string(w.stream) != "out" && string(w.stream) != "err" {
		return w, false
	}
	if i := bytes.LastIndex(rest, []byte(`,"time":"`)); i == 1 || i > 1 && bytes.HasPrefix(rest, []byte(`","attrs":{`)) {
		if w.time, ok = bytes.CutSuffix(rest[i+len(`,"time":"`):], []byte(`"}`)); ok && bytes.IndexByte(w.time, '"') < 0 {
			return w, rest[0] == '"'
		}
	}
	return w, false
}

// stringEnd is where the string ends whose text s begins with; -1 if it does not.
func stringEnd(s []byte) int {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i
		case c == '\\':
			i++
		case c < ' ':
			return -1
		}
	}
	return -1
}

// appendLog adds the text of a log string, less the line end. Inside, a line end stays escaped: Docker writes none, and one
// record is one line.
func appendLog(into, s []byte) []byte {
	s = bytes.TrimSuffix(bytes.TrimSuffix(s, []byte(`\n`)), []byte(`\r`))
	for len(s) > 0 {
		i := bytes.IndexByte(s, '\\')
		if i < 0 || i+1 >= len(s) {
			return append(into, s...)
		}
		into = append(into, s[:i]...)
		s = s[i:]
		n := 2
		switch s[1] {
		case '"', '\\', '/':
			into = append(into, s[1])
		case 't':
			into = append(into, '\t')
		case 'b':
			into = append(into, '\b')
		case 'f':
			into = append(into, '\f')
		case 'u':
			var c rune
			if c, n = jsonRune(s); c == '\n' || c == '\r' {
				into = append(into, s[:n]...)
			} else {
				into = utf8.AppendRune(into, c)
			}
		default:
			into = append(into, s[:2]...)
		}
		s = s[n:]
	}
	return into
}
