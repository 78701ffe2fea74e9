package matchers

import (
	"fmt"
	"strings"
	"unicode"
)

// A section is the options of one [section], by their names in lower case.
type section map[string]iniValue

// An iniValue is what an option is set to. The lines of a value that goes on over several are joined by
// newlines.
type iniValue struct {
	text  string
	path  string
	line  int   // where the option stands
	lines []int // where each line of text stands
}

// An iniFile is what one file says, section by section. Options before any other section's are those of
// [DEFAULT], which all sections have too.
type iniFile map[string]section

const iniDefault = "DEFAULT"

// A FileError is a mistake in a filter file.
type FileError struct {
	Path string
	Line int // 0 if it is about the whole file
	Err  error
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.Path, e.Line, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// parseINI reads the INI dialect of Python's configparser as fail2ban sets it up: comments are lines that
// begin with # or ; and whatever follows " ;", a line that is indented deeper than its option goes on with
// the value, an option is set once per file.
func parseINI(path string, text []byte) (iniFile, error) {
	p := iniParser{path: path, file: iniFile{iniDefault: section{}}}
	for i, line := range strings.Split(string(text), "\n") {
		if err := p.line(i+1, strings.TrimSuffix(line, "\r")); err != nil {
			return nil, &FileError{path, i + 1, err}
		}
	}
	p.endValue()
	return p.file, nil
}

type iniParser struct {
	path    string
	file    iniFile
	seen    map[string]bool // sections of this file
	section section
	option  string // the one whose value may go on; "" if none
	value   []string
	lines   []int // where each of value stands; the first is that of option
	indent  int   // of option
}

func (p *iniParser) line(number int, line string) error {
	value, comment := cutComment(line)
	if value == "" {
		if !comment && p.option != "" {
			p.value, p.lines = append(p.value, ""), append(p.lines, number)
		}
		return nil
	}
	indent := len(line) - len(strings.TrimLeftFunc(line, unicode.IsSpace))
	if p.option != "" && indent > p.indent {
		p.value, p.lines = append(p.value, value), append(p.lines, number)
		return nil
	}
	p.endValue()
	p.indent = indent
	if end := strings.LastIndexByte(value, ']'); value[0] == '[' && end > 1 {
		return p.header(value[1:end])
	}
	if p.section == nil {
		return fmt.Errorf("option outside of a [section]: %q", value)
	}
	return p.assign(number, value)
}

// cutComment returns what of a line is no comment, less the blanks around it.
func cutComment(line string) (value string, comment bool) {
	if s := strings.TrimSpace(line); strings.HasPrefix(s, "#") || strings.HasPrefix(s, ";") {
		return "", true
	}
	for i := strings.IndexByte(line, ';'); i >= 0; {
		if i == 0 || unicode.IsSpace(rune(line[i-1])) {
			return strings.TrimSpace(line[:i]), true
		}
		next := strings.IndexByte(line[i+1:], ';')
		if next < 0 {
			break
		}
		i += next + 1
	}
	return strings.TrimSpace(line), false
}

func (p *iniParser) header(name string) error {
	if p.seen[name] && name != iniDefault {
		return fmt.Errorf("section [%s] is there twice", name)
	}
	if p.seen == nil {
		p.seen = map[string]bool{}
	}
	p.seen[name] = true
	if p.file[name] == nil {
		p.file[name] = section{}
	}
	p.section = p.file[name]
	return nil
}

func (p *iniParser) assign(number int, line string) error {
	i := strings.IndexAny(line, "=:")
	if i < 0 {
		return fmt.Errorf("missing = in %q", line)
	}
	name := strings.ToLower(strings.TrimSpace(line[:i]))
	if _, twice := p.section[name]; twice {
		return fmt.Errorf("option %s is set twice", name)
	}
	p.option = name
	p.value, p.lines = append(p.value[:0], strings.TrimSpace(line[i+1:])), []int{number}
	p.section[name] = iniValue{path: p.path, line: number}
	return nil
}

// endValue sets the option whose value has just ended.
func (p *iniParser) endValue() {
	if p.option == "" {
		return
	}
	text := strings.TrimRightFunc(strings.Join(p.value, "\n"), unicode.IsSpace)
	p.section[p.option] = iniValue{text: text, path: p.path, line: p.lines[0], lines: p.lines}
	p.option = ""
}
