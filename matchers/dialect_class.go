package matchers

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// class reads a set of characters, from behind its [ to its ].
func (p *pyParser) class() (*node, error) {
	var set runeSet
	not := p.accept("^")
	for first := true; first || !p.accept("]"); first = false {
		if p.pos >= len(p.src) {
			return nil, p.errorf("missing ]")
		}
		lo, s, err := p.classItem()
		if err != nil {
			return nil, err
		}
		// A hyphen before ] stands for itself.
		if p.peek("-") && !p.peek("-]") && p.pos+1 < len(p.src) {
			p.pos++
			hi, end, err := p.classItem()
			if err != nil {
				return nil, err
			}
			if s != nil || end != nil || hi < lo {
				return nil, p.errorf("bad character range")
			}
			s = runeSet{lo, hi}
		} else if s == nil {
			s = runeSet{lo, lo}
		}
		set = append(set, s...)
	}
	set = makeRunes(set...)
	if p.flags.ignoreCase {
		set = set.fold()
	}
	if not {
		set = set.negate()
	}
	return class(set), nil
}

// classItem reads one member of a class: a rune, or a set such as \d.
func (p *pyParser) classItem() (rune, runeSet, error) {
	r := p.rune()
	if r != '\\' {
		return r, nil, nil
	}
	if p.pos >= len(p.src) {
		return 0, nil, p.errorf("bad escape at the end")
	}
	if set := escapeSet(p.src[p.pos]); set != nil {
		p.pos++
		return 0, set, nil
	}
	if p.accept("b") {
		return '\b', nil, nil
	}
	if r, ok, err := p.octal(true); ok || err != nil {
		return r, nil, err
	}
	r, err := p.escapeRune()
	return r, nil, err
}

// escapeSet is what \d and its like stand for; nil for all other letters.
func escapeSet(c byte) runeSet {
	switch c {
	case 'd':
		return digitSet
	case 'D':
		return digitSet.negate()
	case 's':
		return spaceSet
	case 'S':
		return spaceSet.negate()
	case 'w':
		return wordSet
	case 'W':
		return wordSet.negate()
	}
	return nil
}

// escape reads what stands behind a backslash outside of a class.
func (p *pyParser) escape() (*node, error) {
	if p.pos >= len(p.src) {
		return nil, p.errorf("bad escape at the end")
	}
	c := p.src[p.pos]
	if set := escapeSet(c); set != nil {
		p.pos++
		return class(set), nil
	}
	switch c {
	case 'A':
		p.pos++
		return &node{op: opBegin}, nil
	case 'Z':
		p.pos++
		return &node{op: opEndText}, nil
	case 'b':
		p.pos++
		return &node{op: opBoundary}, nil
	case 'B':
		p.pos++
		return &node{op: opNoBoundary}, nil
	}
	if r, ok, err := p.octal(false); ok || err != nil {
		return p.literal(r), err
	}
	if c >= '1' && c <= '9' {
		n := 1
		if p.pos+1 < len(p.src) && p.src[p.pos+1] >= '0' && p.src[p.pos+1] <= '9' {
			n = 2
		}
		name := p.src[p.pos : p.pos+n]
		p.pos += n
		return p.backref(name)
	}
	r, err := p.escapeRune()
	if err != nil {
		return nil, err
	}
	return p.literal(r), nil
}

// octal reads \0, \07 and \012; outside of a class one or two digits that do not begin with 0 are a
// reference to a group.
func (p *pyParser) octal(inClass bool) (rune, bool, error) {
	rest := p.src[p.pos:]
	n := 0
	for n < 3 && n < len(rest) && rest[n] >= '0' && rest[n] <= '7' {
		n++
	}
	if n == 0 || !inClass && n < 3 && rest[0] != '0' {
		return 0, false, nil
	}
	v, _ := strconv.ParseUint(rest[:n], 8, 32)
	if v > 0o377 {
		return 0, false, p.errorf("octal escape \\" + rest[:n] + " outside of range 0-0o377")
	}
	p.pos += n
	return rune(v), true, nil
}

// escapeRune reads an escape that stands for one rune.
func (p *pyParser) escapeRune() (rune, error) {
	r := p.rune()
	if i := strings.IndexRune("afnrtv", r); i >= 0 {
		return rune("\a\f\n\r\t\v"[i]), nil
	}
	width := 0
	switch r {
	case 'x':
		width = 2
	case 'u':
		width = 4
	case 'U':
		width = 8
	}
	if width > 0 {
		if p.pos+width > len(p.src) {
			return 0, p.errorf("incomplete escape \\" + string(r))
		}
		v, err := strconv.ParseUint(p.src[p.pos:p.pos+width], 16, 32)
		if err != nil || v > utf8.MaxRune {
			return 0, p.errorf("incomplete escape \\" + string(r))
		}
		p.pos += width
		return rune(v), nil
	}
	if r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
		return 0, p.errorf("bad escape \\" + string(r))
	}
	return r, nil
}
