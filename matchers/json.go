package matchers

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a line of JSON.
const (
	maxJSONDepth  = 32 // objects and arrays in one another
	maxJSONFields = 32 // that a filter may name
)

// A jsonText makes of a line of JSON the text that rules see: the values of some fields, in the order in
// which the filter names them, separated by tabs. In a value there is no tab and no other control
// character: they stay escaped, so that a value cannot pass for two. A field that is not there is empty;
// of one that is there twice the first counts; an object or array is its JSON text. Numbers stand as they are written.
type jsonText struct {
	paths [][]string // "request.remote_ip" in its parts
}

func newJSONText(fields []string) *jsonText {
	j := &jsonText{}
	for _, f := range fields {
		var path []string
		for part := range bytes.SplitSeq([]byte(f), []byte{'.'}) {
			path = append(path, string(part))
		}
		j.paths = append(j.paths, path)
	}
	return j
}

// append adds the text of a line to into; false means that the line is not one JSON object.
func (j *jsonText) append(into, line []byte) ([]byte, bool) {
	var spans [maxJSONFields][2]int
	found, ok := j.find(spans[:0], line)
	if !ok {
		return into, false
	}
	for i, f := range found {
		if i > 0 {
			into = append(into, '\t')
		}
		if f[0] >= 0 {
			into = appendJSONValue(into, line[f[0]:f[1]])
		}
	}
	return into, true
}

// find adds where the values of the fields lie in line, -1 for those that are not there; false means that the line is not
// one JSON object.
func (j *jsonText) find(found [][2]int, line []byte) ([][2]int, bool) {
	w := jsonWalk{src: line, found: found}
	for range j.paths {
		w.found = append(w.found, [2]int{-1, -1})
	}
	w.blank()
	if w.peek() != '{' || !w.object(j.paths, 0, 0) {
		return nil, false
	}
	if w.blank(); w.pos != len(line) {
		return nil, false
	}
	return w.found, true
}

// A jsonWalk passes over a line of JSON once, without making anything of it but the places of fields.
type jsonWalk struct {
	src   []byte
	pos   int
	found [][2]int // by path; -1: not yet
}

func (w *jsonWalk) blank() {
	for w.pos < len(w.src) && (w.src[w.pos] == ' ' || w.src[w.pos] == '\t' || w.src[w.pos] == '\r' || w.src[w.pos] == '\n') {
		w.pos++
	}
}

func (w *jsonWalk) peek() byte {
	if w.pos < len(w.src) {
		return w.src[w.pos]
	}
	return 0
}

func (w *jsonWalk) accept(c byte) bool {
	if w.peek() == c {
		w.pos++
		return true
	}
	return false
}

// object passes an object that lies depth keys deep. off has a bit for each path that does not lead here.
func (w *jsonWalk) object(paths [][]string, depth int, off uint32) bool {
	if depth > maxJSONDepth || !w.accept('{') {
		return false
	}
	if w.blank(); w.accept('}') {
		return true
	}
	for {
		w.blank()
		start := w.pos
		if !w.text() {
			return false
		}
		key := w.src[start+1 : w.pos-1]
		if w.blank(); !w.accept(':') {
			return false
		}
		w.blank()
		if !w.member(paths, depth, off, key) {
			return false
		}
		w.blank()
		if w.accept('}') {
			return true
		}
		if !w.accept(',') {
			return false
		}
	}
}

// member passes a value and keeps its place for the paths that end here.
func (w *jsonWalk) member(paths [][]string, depth int, off uint32, key []byte) bool {
	start, beside, ends := w.pos, off, uint32(0)
	for i, path := range paths {
		bit := uint32(1) << i
		switch {
		case off&bit != 0:
		case depth >= len(path) || string(key) != path[depth]:
			beside |= bit
		case depth == len(path)-1:
			beside |= bit
			ends |= bit
		}
	}
	if !w.value(paths, depth, beside) {
		return false
	}
	for i := range paths {
		if ends&(1<<i) != 0 && w.found[i][0] < 0 {
			w.found[i] = [2]int{start, w.pos}
		}
	}
	return true
}

func (w *jsonWalk) value(paths [][]string, depth int, off uint32) bool {
	switch w.peek() {
	case '{':
		return w.object(paths, depth+1, off)
	case '[':
		return w.array(depth + 1)
	case '"':
		return w.text()
	}
	start := w.pos
	for c := w.peek(); c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == '-' || c == '+' || c == '.' || c == 'E'; c = w.peek() {
		w.pos++
	}
	return w.pos > start
}

func (w *jsonWalk) array(depth int) bool {
	if depth > maxJSONDepth || !w.accept('[') {
		return false
	}
	if w.blank(); w.accept(']') {
		return true
	}
	for {
		w.blank()
		if !w.value(nil, depth, 0) {
			return false
		}
		w.blank()
		if w.accept(']') {
			return true
		}
		if !w.accept(',') {
			return false
		}
	}
}

// text passes a string. A control character in it is an error, as in RFC 8259, section 7.
func (w *jsonWalk) text() bool {
	if !w.accept('"') {
		return false
	}
	for w.pos < len(w.src) {
		switch c := w.src[w.pos]; {
		case c == '"':
			w.pos++
			return true
		case c == '\\':
			w.pos += 2
		case c < ' ':
			return false
		default:
			w.pos++
		}
	}
	return false
}

// appendJSONValue adds a value as rules see it: a string without its quotes and escapes, null as nothing,
// all else as it is written.
func appendJSONValue(into, value []byte) []byte {
	switch {
	case string(value) == "null":
		return into
	case value[0] != '"':
		for _, c := range value { // objects may be written with blanks of all kinds
			if c >= ' ' {
				into = append(into, c)
			}
		}
		return into
	}
	for s := value[1 : len(value)-1]; len(s) > 0; {
		if s[0] != '\\' || len(s) < 2 {
			into = append(into, s[0])
			s = s[1:]
			continue
		}
		n := 2
		switch s[1] {
		case '"', '\\', '/':
			into = append(into, s[1])
		case 'u':
			var r rune
			if r, n = jsonRune(s); r < ' ' || r == 0x7f {
				into = append(into, s[:n]...)
			} else {
				into = utf8.AppendRune(into, r)
			}
		default: // \n and its like
			into = append(into, s[:2]...)
		}
		s = s[n:]
	}
	return into
}

// jsonRune reads \u0041, or a pair of surrogates, and says how many bytes it has. What is neither is
// U+FFFD.
func jsonRune(s []byte) (r rune, n int) {
	hex := func(s []byte) rune {
		if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
			return -1
		}
		v, err := strconv.ParseUint(string(s[2:6]), 16, 32)
		if err != nil {
			return -1
		}
		return rune(v)
	}
	r = hex(s)
	if r < 0 {
		return utf8.RuneError, 2
	}
	if utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, hex(s[6:])); pair != utf8.RuneError {
			return pair, 12
		}
		return utf8.RuneError, 6
	}
	return r, 6
}
