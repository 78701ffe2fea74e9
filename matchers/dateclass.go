package matchers

import "strconv"

func (p *dateParser) escape(at int) (*dateNode, error) {
	if !p.more() {
		return nil, p.errorf(at, "nothing behind the backslash")
	}
	c := p.text[p.pos]
	p.pos++
	assert := func(a dateAssert) (*dateNode, error) {
		return &dateNode{op: dateNodeAssert, assert: a, at: at}, nil
	}
	switch c {
	case 'b':
		return assert(assertBoundary)
	case 'B':
		return assert(assertNoBoundary)
	case 'A':
		return assert(assertStart)
	case 'Z', 'z':
		return assert(assertEnd)
	}
	if set, ok := classSet(c); ok {
		return &dateNode{op: dateNodeSet, set: set, at: at}, nil
	}
	c, err := p.escapedByte(c, at)
	return p.literal(c, at), err
}

// escapedByte is the byte that a backslash and c stand for.
func (p *dateParser) escapedByte(c byte, at int) (byte, error) {
	switch c {
	case 't':
		return '\t', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 'f':
		return '\f', nil
	case 'v':
		return '\v', nil
	case 'a':
		return '\a', nil
	case 'x':
		if p.pos+2 <= len(p.text) {
			if n, err := strconv.ParseUint(p.text[p.pos:p.pos+2], 16, 8); err == nil {
				p.pos += 2
				return byte(n), nil
			}
		}
		return 0, p.errorf(at, `\x needs two hexadecimal digits`)
	}
	if isWord(c) {
		return 0, p.errorf(at, `\%c is not known in a date pattern`, c)
	}
	return c, nil
}

// class reads a character class behind its bracket.
func (p *dateParser) class(at int) (set byteSet, err error) {
	negate := p.accept("^")
	for first := true; ; first = false {
		if !p.more() {
			return set, p.errorf(at, "the class [ is not closed")
		}
		if !first && p.accept("]") {
			break
		}
		lo, whole, err := p.classMember()
		if err != nil {
			return set, err
		}
		if whole != nil {
			set.union(*whole)
			continue
		}
		hi := lo
		if p.peek("-") && !p.peek("-]") && p.pos+1 < len(p.text) {
			p.pos++
			if hi, whole, err = p.classMember(); err != nil {
				return set, err
			}
			if whole != nil || hi < lo {
				return set, p.errorf(p.pos, "a range in [ ends before it begins")
			}
		}
		set.addRange(lo, hi)
	}
	if p.fold {
		set = set.fold()
	}
	if negate {
		set = set.negate()
	}
	return set, nil
}

// classMember reads one byte or one class escape.
func (p *dateParser) classMember() (c byte, set *byteSet, err error) {
	at := p.pos
	c = p.text[p.pos]
	p.pos++
	if c == '%' && p.accept("%") {
		return c, nil, nil
	}
	if c != '\\' {
		return c, nil, nil
	}
	if !p.more() {
		return 0, nil, p.errorf(at, "nothing behind the backslash")
	}
	c = p.text[p.pos]
	p.pos++
	if s, ok := classSet(c); ok {
		return 0, &s, nil
	}
	if c == 'b' {
		return '\b', nil, nil
	}
	c, err = p.escapedByte(c, at)
	return c, nil, err
}
