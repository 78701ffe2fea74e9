package sources

import (
	"bytes"
	"errors"
	"regexp"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A format is what a stream's first lines say that it is.
type format uint8

const (
	formatUnknown format = iota
	formatRaw            // lines of any kind, those of journalctl -o short and its kin among them
	formatExport         // journalctl -o export
	formatJSON           // journalctl -o json, json-seq or json-sse
)

// A decoder makes records of a stream, whatever journalctl or tail has written to it.
type decoder struct {
	format  format
	refused error // why the format is read as raw lines though it is none; said once
	lines   splitter
	parser  exportParser
	entries entryLines
	scratch pipeline.Batch // the lines of JSON
	last    []byte         // the beginning of the last line that was kept
}

// decode appends the records of data to b until b is Full, and returns how many bytes it has used up. What
// it leaves, if b is not Full, is the beginning of a line: at most lines.max+1 bytes.
func (d *decoder) decode(b *pipeline.Batch, data []byte, now time.Time) (n int) {
	if d.format == formatUnknown {
		if n = d.detect(data); d.format == formatUnknown {
			return n
		}
	}
	switch d.format {
	case formatExport:
		return n + d.exported(b, data[n:])
	case formatJSON:
		return n + d.jsons(b, data[n:], now)
	default:
		first := len(b.Records)
		n += d.lines.split(b, data[n:], now)
		d.sift(b, first)
		return n
	}
}

// finish appends what a stream ends with.
func (d *decoder) finish(b *pipeline.Batch, data []byte, now time.Time) {
	if len(data) == 0 || d.lines.skip {
		return
	}
	if d.format == formatUnknown {
		d.format, d.refused = formatOf(data)
	}
	first := len(b.Records)
	switch d.format {
	case formatExport: // an entry without its end
	case formatJSON:
		d.json(b, bytes.TrimSuffix(data, []byte("\r")), false, now)
	default:
		appendLine(b, data, d.lines.max, now)
		d.sift(b, first)
	}
}

// detect skips banners and empty lines and looks at the first other line, once it is there.
func (d *decoder) detect(data []byte) (n int) {
	for n < len(data) {
		line, _, whole := bytes.Cut(data[n:], []byte("\n"))
		switch {
		case !whole && len(line) <= d.lines.max:
			return n
		case len(bytes.TrimSpace(line)) == 0 || isBanner(bytes.TrimSuffix(line, []byte("\r"))):
			n += len(line) + 1
		default:
			d.format, d.refused = formatOf(line)
			return n
		}
	}
	return n
}

// formatOf tells the format from a line. An export begins with the cursor, always.
func formatOf(line []byte) (format, error) {
	switch object := trimFrame(line); {
	case bytes.HasPrefix(line, []byte("__CURSOR=")):
		return formatExport, nil
	case len(object) > 0 && object[0] == '{' && bytes.Contains(object, []byte(`"__REALTIME_TIMESTAMP"`)):
		return formatJSON, nil
	case len(bytes.TrimSpace(line)) == 1 && line[0] == '{':
		return formatRaw, errors.New("this looks like json-pretty, which is not understood: use journalctl -o json")
	case verboseLine.Match(line):
		return formatRaw, errors.New("this looks like journalctl -o verbose, which is not understood: use -o short-iso, json or export")
	}
	return formatRaw, nil
}

var (
	// The first line of an entry in verbose ends with its cursor.
	verboseLine = regexp.MustCompile(`^[A-Z][a-z]{2} \d{4}-\d\d-\d\d \S+ \S+ \[s=[0-9a-f]+;`)
	banner      = regexp.MustCompile(`^(-- (Journal begins at|Logs begin at|Boot|Reboot|No entries)\b.*--|==> .* <==)$`)
)

// isBanner reports whether journalctl or tail has put the line between those of the log.
func isBanner(line []byte) bool {
	return len(line) > 4 && (line[0] == '-' || line[0] == '=') && banner.Match(line)
}

// sift drops the records from the first'th on that are banners, or that continue an entry of journalctl's
// short formats: they are no lines of their own, or anybody could forge an entry by a newline.
func (d *decoder) sift(b *pipeline.Batch, first int) {
	kept := b.Records[:first]
	last := d.last
	for _, r := range b.Records[first:] {
		if isBanner(r.Line) || continues(r.Line, last) {
			continue
		}
		last = r.Line
		kept = append(kept, r)
	}
	d.last = append(d.last[:0], last[:min(len(last), 512)]...)
	clear(b.Records[len(kept):])
	b.Records = kept
}

// continues reports whether journalctl has indented the line to where the message begins in the one
// before: behind "ident[pid]: ".
func continues(line, before []byte) bool {
	n := 0
	for n < len(line) && line[n] == ' ' {
		n++
	}
	for k := 2; k <= n && k <= len(before); k++ { // the message's own blanks follow
		if before[k-2] == ':' && before[k-1] == ' ' {
			return true
		}
	}
	return false
}

// exported appends the entries of an export.
func (d *decoder) exported(b *pipeline.Batch, data []byte) (n int) {
	for n < len(data) && !b.Full() {
		used, done := d.parser.next(data[n:])
		if n += used; done {
			d.entries.add(b, &d.parser.entry)
			d.parser.entry.reset()
		}
	}
	return n
}

// jsons appends the entries of JSON lines.
func (d *decoder) jsons(b *pipeline.Batch, data []byte, now time.Time) int {
	d.scratch.Reset()
	n := d.lines.split(&d.scratch, data, now)
	for _, r := range d.scratch.Records {
		d.json(b, r.Line, r.Cut, now)
	}
	return n
}

// json appends an entry; a line that is none, as it is.
func (d *decoder) json(b *pipeline.Batch, line []byte, cut bool, now time.Time) {
	object := trimFrame(line)
	if len(object) == 0 {
		return // between two events of json-sse
	}
	e := &d.parser.entry
	defer e.reset()
	if whole := e.parseJSON(object); !e.has[fieldRealtime] || !whole && !cut {
		b.Append(line, now).Cut = cut
		return
	}
	e.cut = e.cut || cut
	d.entries.add(b, e)
}

// trimFrame takes off what json-seq (RFC 7464) and json-sse put before an object.
func trimFrame(line []byte) []byte {
	line = bytes.TrimPrefix(line, []byte("\x1e"))
	return bytes.TrimPrefix(line, []byte("data: "))
}
