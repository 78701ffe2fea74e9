package configs

import (
	"errors"
	"strings"

	"github.com/banpipe/banpipe/matchers"
)

// A List is a list of words. One string will do in its place: it is split at commas and white space.
type List []string

func (l *List) set(v *value) error {
	if s, ok := v.v.(string); ok {
		*l = strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
		return nil
	}
	return (*Lines)(l).set(v)
}

// Lines is a list of texts that may hold spaces and commas themselves. One string will do in its place:
// each of its lines is an element.
type Lines []string

func (l *Lines) set(v *value) error {
	switch x := v.v.(type) {
	case string:
		*l = nil
		for line := range strings.Lines(x) {
			if line = strings.TrimSpace(line); line != "" {
				*l = append(*l, line)
			}
		}
		return nil
	case []*value:
		*l = make(Lines, 0, len(x))
		for _, inner := range x {
			s, ok := inner.v.(string)
			if !ok {
				return placed(inner, wants(inner, "a string"))
			}
			*l = append(*l, s)
		}
		return nil
	}
	return wants(v, "a string or a list of strings")
}

// Rules is a list of failregex or ignoreregex: strings, or tables with regex and weight.
type Rules []matchers.Rule

func (r *Rules) set(v *value) error {
	list, ok := v.v.([]*value)
	if !ok {
		var lines Lines
		if err := lines.set(v); err != nil {
			return wants(v, "a regex or a list of them")
		}
		*r = nil
		for _, line := range lines {
			*r = append(*r, matchers.Rule{Regex: line, Line: v.line})
		}
		return nil
	}
	d := decoder{}
	*r = make(Rules, 0, len(list))
	for _, inner := range list {
		rule := struct {
			Regex  string `toml:"regex"`
			Weight Count  `toml:"weight"`
		}{Weight: 1}
		text, isText := inner.v.(string)
		switch {
		case isText:
			rule.Regex = text
		case inner.table() != nil:
			d.table(inner, "", &rule)
		default:
			d.errs.add(inner, "", wants(inner, "a regex, or a table with regex and weight"))
			continue
		}
		if strings.TrimSpace(rule.Regex) == "" {
			d.errs.add(inner, "", errors.New("an empty regex matches everything"))
		}
		*r = append(*r, matchers.Rule{Regex: rule.Regex, Weight: int(rule.Weight), Line: inner.line})
	}
	return d.errs.err()
}

// A Count is a number of at least 1.
type Count int

func (c *Count) set(v *value) error {
	n, ok := v.v.(int64)
	switch {
	case !ok:
		return wants(v, "a whole number")
	case n < 1:
		return mistake("", "%d is too little, want at least 1", n)
	case n > 1<<31-1:
		return mistake("", "%d is too much", n)
	}
	*c = Count(n)
	return nil
}

// placed gives err a place nearer than that of the key it belongs to.
func placed(v *value, err error) error {
	return &Error{File: v.file, Line: v.line, Msg: err.Error()}
}
