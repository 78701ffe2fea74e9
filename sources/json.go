package sources

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// parseJSON reads a line of journalctl -o json into e and reports whether all of it was such a line. A value is
// a string; an array of numbers, the bytes of what is no text; an array of those, where a field was
// given twice; or null, where it was too long to be shown. Of a line that ends early e has what was
// there.
func (e *entry) parseJSON(line []byte) bool {
	p := jsonReader{rest: line}
	if !p.skip('{') {
		return false
	}
	for p.skip('"') {
		f := exportFieldOf(p.text())
		if !p.skip(':') || !p.value(e, f, 0) {
			return false
		}
		if !p.skip(',') {
			break
		}
	}
	return p.skip('}') && len(bytes.TrimSpace(p.rest)) == 0
}

// A jsonReader takes tokens off the front of rest. It is not strict: what is no JSON is no journal
// either, and what it makes of that does no harm.
type jsonReader struct {
	rest []byte
}

// skip takes blanks and c, if c comes next.
func (p *jsonReader) skip(c byte) bool {
	i := 0
	for i < len(p.rest) && (p.rest[i] == ' ' || p.rest[i] == '\t') {
		i++
	}
	if i == len(p.rest) || p.rest[i] != c {
		return false
	}
	p.rest = p.rest[i+1:]
	return true
}

// value adds what comes next to the value of f.
func (p *jsonReader) value(e *entry, f exportField, depth int) bool {
	switch {
	case p.skip('"'):
		e.begin(f)
		return p.string(e, f)
	case p.skip('['):
		return p.array(e, f, depth+1)
	default: // null, a number, true, false
		i := bytes.IndexAny(p.rest, ",]}")
		if i <= 0 || bytes.IndexByte(p.rest[:i], '{') >= 0 {
			return false
		}
		e.cut = e.cut || f == fieldMessage // what is over 4 KiB is null, without --all
		p.rest = p.rest[i:]
		return true
	}
}

// array adds the bytes that an array of numbers stands for, or the values in it.
func (p *jsonReader) array(e *entry, f exportField, depth int) bool {
	begun := false
	for !p.skip(']') {
		if n, ok := p.byte(); ok {
			if !begun {
				begun = true
				e.begin(f)
			}
			e.add(f, []byte{n})
		} else if depth > 2 || !p.value(e, f, depth) {
			return false
		}
		if !p.skip(',') {
			return p.skip(']')
		}
	}
	return true
}

func (p *jsonReader) byte() (byte, bool) {
	for len(p.rest) > 0 && p.rest[0] == ' ' {
		p.rest = p.rest[1:]
	}
	n, i := 0, 0
	for i < len(p.rest) && i < 3 && p.rest[i] >= '0' && p.rest[i] <= '9' {
		n = n*10 + int(p.rest[i]-'0')
		i++
	}
	if i == 0 || n > 255 {
		return 0, false
	}
	p.rest = p.rest[i:]
	return byte(n), true
}

// string adds a string, behind its quote, to the value of f.
func (p *jsonReader) string(e *entry, f exportField) bool {
	for {
		i := bytes.IndexAny(p.rest, `"\`)
		if i < 0 {
			e.add(f, p.rest)
			p.rest = nil
			return false
		}
		e.add(f, p.rest[:i])
		end := p.rest[i] == '"'
		p.rest = p.rest[i+1:]
		if end {
			return true
		}
		var buf [utf8.UTFMax]byte
		c, ok := p.escape()
		if !ok {
			return false
		}
		e.add(f, buf[:utf8.EncodeRune(buf[:], c)])
	}
}

// text returns a string, behind its quote, that has no escapes in it, as the names of fields have none;
// anything else is not the name of a field.
func (p *jsonReader) text() []byte {
	i := bytes.IndexByte(p.rest, '"')
	if i < 0 {
		p.rest = nil
		return nil
	}
	text := p.rest[:i]
	p.rest = p.rest[i+1:]
	return text
}

// escape reads what is behind a backslash (RFC 8259, section 7).
func (p *jsonReader) escape() (rune, bool) {
	if len(p.rest) == 0 {
		return 0, false
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
	default:
		return 0, false
	}
	r, ok := p.hex()
	if ok && utf16.IsSurrogate(r) && bytes.HasPrefix(p.rest, []byte(`\u`)) {
		before := p.rest
		p.rest = p.rest[2:]
		low, ok := p.hex()
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			return pair, true
		}
		p.rest = before
	}
	return r, ok
}

func (p *jsonReader) hex() (rune, bool) {
	if len(p.rest) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.rest[:4]), 16, 16)
	p.rest = p.rest[4:]
	return rune(n), err == nil
}
