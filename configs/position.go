package configs

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// toml.MetaData knows which keys a file has but not where, and it drops the index of a [[table]]. So the
// text is walked once more, after it has parsed: a lineMap says on which line the value of each key and
// each element of a list begins.
//
// The walk knows just enough TOML 1.1 to tell keys, strings and brackets apart. What it gets wrong costs
// a line number, never a value; a fuzz target holds it to the parser's own list of keys.

// lineMap maps the path of every key and list element in text to its line.
func lineMap(text string) map[string]int {
	text = strings.TrimPrefix(text, "\xef\xbb\xbf")
	s := scanner{text: text, line: 1, lines: map[string]int{}, counts: map[string]int{}}
	s.document()
	return s.lines
}

// keyPath is the path of a key in the table at path, indexPath that of an element of the list there. The
// separators are control characters, which a TOML key can hold only in its escaped form; a file that
// does so gets a wrong line number.
func keyPath(path, key string) string         { return path + "\x00" + key }
func indexPath(path string, i int) string     { return path + "\x01" + strconv.Itoa(i) }
func (s *scanner) element(path string) string { return indexPath(path, s.counts[path]-1) }

type scanner struct {
	text   string
	pos    int
	line   int
	lines  map[string]int
	counts map[string]int // elements so far of each [[table]]
}

func (s *scanner) document() {
	table := ""
	for s.blank(true); s.pos < len(s.text); s.blank(true) {
		at := s.pos
		switch {
		case s.take("[["):
			table = s.header(true)
		case s.take("["):
			table = s.header(false)
		default:
			s.pair(table)
		}
		if s.pos == at {
			s.pos++ // not TOML after all; go on rather than hang
		}
	}
}

// header reads the rest of [a.b] or [[a.b]] and returns the path of the table that it opens.
func (s *scanner) header(list bool) string {
	line, path := s.line, ""
	keys := s.dotted()
	for i, key := range keys {
		path = keyPath(path, key)
		s.note(path, line)
		if list && i == len(keys)-1 {
			s.counts[path]++
		}
		if s.counts[path] > 0 { // the latest of the tables in this list
			path = s.element(path)
			s.note(path, line)
		}
	}
	s.until("\n")
	// [a.b] behind a dotted key that had created a.b: the header is the better place.
	s.lines[path] = line
	return path
}

// pair reads one `key = value` of the table at path.
func (s *scanner) pair(path string) {
	line := s.line
	for _, key := range s.dotted() {
		path = keyPath(path, key)
		s.note(path, line)
	}
	s.blank(false)
	if s.take("=") {
		s.blank(false)
		s.value(path)
	}
}

func (s *scanner) value(path string) {
	switch {
	case s.take(`"""`):
		s.multiline(`"""`, true)
	case s.take(`'''`):
		s.multiline(`'''`, false)
	case s.peek() == '"' || s.peek() == '\'':
		s.quoted()
	case s.take("["):
		for i := 0; ; i++ {
			s.blank(true)
			if s.take("]") || s.pos >= len(s.text) {
				return
			}
			s.note(indexPath(path, i), s.line)
			at := s.pos
			s.value(indexPath(path, i))
			s.blank(true)
			if !s.take(",") && s.pos == at {
				s.pos++
			}
		}
	case s.take("{"):
		for {
			s.blank(true)
			if s.take("}") || s.pos >= len(s.text) {
				return
			}
			at := s.pos
			s.pair(path)
			s.blank(true)
			if !s.take(",") && s.pos == at {
				s.pos++
			}
		}
	default: // a number, a date, a word
		s.until(",]}#\n")
	}
}

// dotted reads a key: bare, quoted, or several with dots between.
func (s *scanner) dotted() []string {
	var keys []string
	for {
		s.blank(false)
		if c := s.peek(); c == '"' || c == '\'' {
			keys = append(keys, s.quoted())
		} else {
			start := s.pos
			s.until(".=]} \t\r\n")
			keys = append(keys, s.text[start:s.pos])
		}
		s.blank(false)
		if !s.take(".") {
			return keys
		}
	}
}

// quoted reads a string of one line and returns what it says.
func (s *scanner) quoted() string {
	start, quote := s.pos, s.text[s.pos]
	for s.pos++; s.pos < len(s.text) && s.text[s.pos] != quote && s.text[s.pos] != '\n'; s.pos++ {
		if quote == '"' && s.text[s.pos] == '\\' && s.pos+1 < len(s.text) {
			s.pos++
		}
	}
	s.pos = min(s.pos+1, len(s.text))
	raw := s.text[start:s.pos]
	if quote == '"' && strings.Contains(raw, `\`) {
		var is struct{ K string }
		if _, err := toml.Decode("K = "+raw, &is); err == nil {
			return is.K
		}
	}
	if len(raw) < 2 {
		return raw
	}
	return raw[1 : len(raw)-1]
}

// multiline skips to the end of a string of several lines; up to two quotes may stand before the
// closing three.
func (s *scanner) multiline(end string, escapes bool) {
	for s.pos < len(s.text) {
		switch {
		case escapes && s.text[s.pos] == '\\' && s.pos+1 < len(s.text) && s.text[s.pos+1] != '\n':
			s.pos += 2
		case s.take(end):
			for range 2 {
				s.take(end[:1])
			}
			return
		default:
			s.step()
		}
	}
}

// blank skips white space and comments, over line ends too if lines is set.
func (s *scanner) blank(lines bool) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			s.pos++
		case c == '\n' && lines:
			s.step()
		case c == '#' && lines:
			s.until("\n")
		default:
			return
		}
	}
}

// until goes to the next of the given characters, or to the end.
func (s *scanner) until(chars string) {
	if i := strings.IndexAny(s.text[s.pos:], chars); i >= 0 {
		s.pos += i
	} else {
		s.pos = len(s.text)
	}
}

func (s *scanner) step() {
	if s.text[s.pos] == '\n' {
		s.line++
	}
	s.pos++
}

func (s *scanner) take(word string) bool {
	if !strings.HasPrefix(s.text[s.pos:], word) {
		return false
	}
	s.pos += len(word)
	return true
}

func (s *scanner) peek() byte {
	if s.pos >= len(s.text) {
		return 0
	}
	return s.text[s.pos]
}

func (s *scanner) note(path string, line int) {
	if _, ok := s.lines[path]; !ok {
		s.lines[path] = line
	}
}
