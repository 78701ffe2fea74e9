package configs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// A value is one value of a TOML file and where it stands, so that every mistake in it has a place
// however late it is found.
type value struct {
	v    any // string, int64, float64, bool, time.Time, []*value or table
	file string
	line int // 0 if unknown
}

// A table is a TOML table, inline or not.
type table map[string]*value

// parse reads TOML. A mistake in it is one *Error: the parser stops at the first.
func parse(file string, text []byte) (*value, error) {
	var tree map[string]any
	if _, err := toml.Decode(string(text), &tree); err != nil {
		out := &Error{File: file, Msg: err.Error()}
		if at := (toml.ParseError{}); errors.As(err, &at) {
			// The library ends some of its messages as sentences.
			out.Line, out.Msg = at.Position.Line, strings.TrimSuffix(at.Message, ".")
			out.Msg = strings.Replace(out.Msg, "Key '", "key '", 1)
		}
		return nil, out
	}
	w := placer{file: file, lines: lineMap(string(text))}
	return w.place("", tree, 1), nil
}

// A placer joins the values that the parser found with their lines.
type placer struct {
	file  string
	lines map[string]int
}

func (p *placer) place(path string, v any, line int) *value {
	if l, ok := p.lines[path]; ok {
		line = l
	}
	out := &value{v: v, file: p.file, line: line}
	switch v := v.(type) {
	case map[string]any:
		t := make(table, len(v))
		for key, inner := range v {
			t[key] = p.place(keyPath(path, key), inner, line)
		}
		out.v = t
	case []map[string]any:
		list := make([]*value, len(v))
		for i, inner := range v {
			list[i] = p.place(indexPath(path, i), inner, line)
		}
		out.v = list
	case []any:
		list := make([]*value, len(v))
		for i, inner := range v {
			list[i] = p.place(indexPath(path, i), inner, line)
		}
		out.v = list
	}
	return out
}

// table is v as a table; nil if it is something else.
func (v *value) table() table {
	if v == nil {
		return nil
	}
	t, _ := v.v.(table)
	return t
}

// has reports whether the table v has the key.
func (v *value) has(key string) bool { return v.table()[key] != nil }

// at is the value of a key of the table v, and v itself if there is none: the place to complain about
// what a table lacks is the table.
func (v *value) at(key string) *value {
	if inner := v.table()[key]; inner != nil {
		return inner
	}
	return v
}

// kind names v's type in a TOML author's words.
func (v *value) kind() string {
	switch v.v.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a decimal number"
	case bool:
		return "true or false"
	case time.Time:
		return "a date"
	case []*value:
		return "a list"
	case table:
		return "a table"
	}
	return fmt.Sprintf("%T", v.v)
}

// merge puts over onto v: tables key by key, everything else as a whole.
func (v *value) merge(over *value) *value {
	below, above := v.table(), over.table()
	if below == nil || above == nil {
		return over
	}
	out := maps.Clone(below)
	for key, inner := range above {
		if old := below[key]; old != nil {
			inner = old.merge(inner)
		}
		out[key] = inner
	}
	return &value{v: out, file: over.file, line: over.line}
}

// keys are the keys of the table v, in the order in which they stand in their files.
func (v *value) keys() []string {
	t := v.table()
	return slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		if t[a].file == t[b].file && t[a].line != t[b].line {
			return t[a].line - t[b].line
		}
		return strings.Compare(a, b)
	})
}
