package matchers

import (
	"bytes"
	"slices"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// lineMark is what Match leaves in Record.Session for a jail whose filter has maxlines.
const lineMark = 0x80

// Limits of a line buffer, besides maxlines.
const (
	bufferBytes = 64 << 10
	maxBuffers  = 1000
)

// A lineBuffer holds the last lines of one source, without their dates, for a jail whose rules match
// several lines at once. Each new line has the rules run over all of them; lines that have matched leave,
// but for those that a <SKIPLINES> has passed over.
type lineBuffer struct {
	lines [][]byte // each with its newline
	dated time.Time
	dirty bool
}

type bufferKey struct{ jail, source string }

// line adds a line to its buffer and runs the jail's rules. A match is written to r, which is then as
// Match would have left it; false means that the line is no hit, or not yet.
func (s *Session) line(b *pipeline.Batch, r *pipeline.Record) bool {
	m, j := s.matcher(b.Source, r.Jail)
	if j == nil {
		return false
	}
	buffer := s.buffer(bufferKey{r.Jail, b.Source})
	if buffer == nil {
		return false
	}
	found, outcome := buffer.push(m, j, r)
	return outcome == hit && found.fill(r, b)
}

func (s *Session) buffer(key bufferKey) *lineBuffer {
	b := s.buffers[key]
	if b == nil && len(s.buffers) < maxBuffers {
		b = &lineBuffer{}
		if s.buffers == nil {
			s.buffers = map[bufferKey]*lineBuffer{}
		}
		s.buffers[key] = b
	}
	return b
}

// push adds a line and runs the rules of j over what is there now. The time of r becomes that of the last
// date, if r has none of its own.
func (b *lineBuffer) push(m *Matcher, j *jail, r *pipeline.Record) (*match, outcome) {
	line := plainText(r, r.Date)
	m.join(&line)
	b.add(bytes.Clone(m.text), j.filter.MaxLines)
	b.date(r)
	return b.match(m, j)
}

// matcher finds the jail in the program of a source, and what runs it.
func (s *Session) matcher(source, name string) (*Matcher, *jail) {
	if s.Programs == nil {
		return nil, nil
	}
	p := s.Programs(source)
	if p == nil {
		return nil, nil
	}
	i := slices.IndexFunc(p.jails, func(j *jail) bool { return j.name == name })
	if i < 0 {
		return nil, nil
	}
	m := s.matchers[p]
	if m == nil {
		m = p.NewMatcher()
		if s.matchers == nil || len(s.matchers) > maxBuffers {
			s.matchers = map[*Program]*Matcher{}
		}
		s.matchers[p] = m
	}
	return m, p.jails[i]
}

// add appends a line and drops the oldest beyond most lines or beyond the limit of bytes.
func (b *lineBuffer) add(line []byte, most int) {
	b.dirty = true
	b.lines = append(b.lines, line)
	size := 0
	for i := len(b.lines) - 1; i >= 0; i-- {
		if size += len(b.lines[i]); size > bufferBytes || len(b.lines)-i > most {
			b.lines = slices.Delete(b.lines, 0, i+1)
			return
		}
	}
}

// date gives a line without a date that of the line before, if that is no minute old.
func (b *lineBuffer) date(r *pipeline.Record) {
	if r.Date.Len() > 0 || r.Dated {
		b.dated = r.Time
	} else if r.Time.Sub(b.dated) < odd {
		r.Time = b.dated
	}
}

// match runs the rules of j over the lines, in fail2ban's order of steps.
func (b *lineBuffer) match(m *Matcher, j *jail) (*match, outcome) {
	m.text = m.text[:0]
	for _, l := range b.lines {
		m.text = append(m.text, l...)
	}
	if j.ignoresFirst() && m.any(j.ignore, &m.selected.whole, m.text) {
		return nil, ignored
	}
	m.groups = m.groups[:0]
	content, shift, ok := m.prefix(j)
	if !ok {
		return nil, miss
	}
	r := m.first(j.fail, &m.selected.fail, content)
	if r == nil {
		return nil, miss
	}
	m.keep(r.regex, shift, len(content))
	used := b.take(r, m.spans, content)
	if m.any(j.ignore, &m.selected.ignore, used) {
		return nil, ignored
	}
	return &match{jail: j, rule: r, text: m.text, groups: m.groups}, hit
}

// take removes the lines that a match has used, and returns them as one text.
func (b *lineBuffer) take(r *rule, spans []int, content []byte) []byte {
	start := bytes.LastIndexByte(content[:min(spans[0]+1, len(content))], '\n') + 1
	end := len(content)
	if from := max(spans[1]-1, 0); from < len(content) {
		if i := bytes.IndexByte(content[from:], '\n'); i >= 0 {
			end = from + i + 1
		}
	}
	newline := []byte{'\n'}
	last := min(bytes.Count(content[:end], newline), len(b.lines))
	first := min(bytes.Count(content[:start], newline), last)
	kept, skipped := slices.Clone(b.lines[:first]), r.skipped(spans, content)
	var used []byte
	for _, l := range b.lines[first:last] {
		if len(skipped) > 0 && bytes.Equal(bytes.TrimSuffix(l, newline), skipped[0]) {
			kept, skipped = append(kept, l), skipped[1:]
			continue
		}
		used = append(used, l...)
	}
	b.lines = append(kept, b.lines[last:]...)
	return used
}

// skipped are the lines that the <SKIPLINES> of a rule have passed over.
func (r *regex) skipped(spans []int, content []byte) [][]byte {
	var lines [][]byte
	for i, name := range r.names {
		if start := spans[2*i]; start >= 0 && len(name) > len("skiplines") && name[:len("skiplines")] == "skiplines" {
			for l := range bytes.Lines(content[start:spans[2*i+1]]) {
				lines = append(lines, bytes.TrimSuffix(l, []byte{'\n'}))
			}
		}
	}
	return lines
}

// The buffers are saved under "\x00jail\x00source", as the time of the last date and the lines.

func (s *Session) saveLines(full bool, put func(key, value []byte)) {
	for k, b := range s.buffers {
		if !full && !b.dirty {
			continue
		}
		b.dirty = false
		dated, _ := b.dated.MarshalBinary()
		value := appendBytes(nil, dated)
		for _, l := range b.lines {
			value = appendBytes(value, l)
		}
		put([]byte("\x00"+k.jail+"\x00"+k.source), value)
	}
}

// loadLines takes a buffer back; false means that key is none of a buffer.
func (s *Session) loadLines(key, value []byte) bool {
	if len(key) == 0 || key[0] != 0 {
		return false
	}
	jail, source, _ := bytes.Cut(key[1:], []byte{0})
	b := &lineBuffer{}
	dated, rest, err := cutBytes(value)
	if err == nil {
		err = b.dated.UnmarshalBinary(dated)
	}
	for err == nil && len(rest) > 0 {
		var line []byte
		if line, rest, err = cutBytes(rest); err == nil {
			b.lines = append(b.lines, bytes.Clone(line))
		}
	}
	if err != nil {
		return true // lines of an older version: they are not worth a stop
	}
	if s.buffers == nil {
		s.buffers = map[bufferKey]*lineBuffer{}
	}
	s.buffers[bufferKey{string(jail), string(source)}] = b
	return true
}
