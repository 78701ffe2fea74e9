package matchers

import (
	"fmt"
	"strconv"
	"strings"
)

// A dateNode is a datepattern taken apart: the part of Python's regex language that date patterns are written in,
// and the strptime letters.
type dateNode struct {
	op       dateNodeOp
	set      byteSet     // dateNodeSet
	letter   dateLetter  // dateNodeLetter
	slot     dateSlot    // dateNodeLetter, dateNodeGroup; slotCount: none
	cut      bool        // what it takes is cut out of the line
	fold     bool        // dateNodeLetter
	name     string      // dateNodeGroup, dateNodeRef: "" if it has none
	min, max int         // dateNodeRepeat; max -1: no limit
	lazy     bool        // dateNodeRepeat
	assert   dateAssert  // dateNodeAssert
	look     *lookAround // dateNodeLook
	sub      []*dateNode
	at       int // its place in the pattern
}

type dateNodeOp uint8

const (
	dateNodeCat dateNodeOp = iota
	dateNodeAlt
	dateNodeSet // one byte
	dateNodeNonWord
	dateNodeLetter
	dateNodeGroup // a group that is captured or named
	dateNodeRepeat
	dateNodeRef
	dateNodeAssert
	dateNodeLook
)

// A dateAssert is a condition on a place.
type dateAssert uint8

const (
	assertStart    dateAssert = iota // ^
	assertEnd                        // $
	assertBoundary                   // \b
	assertNoBoundary
	assertOutside // not inside a word
)

func (a dateAssert) holds(line []byte, pos int) bool {
	switch a {
	case assertStart:
		return pos == 0
	case assertEnd:
		return pos == len(line)
	case assertBoundary:
		return wordBefore(line, pos) != wordAt(line, pos)
	case assertNoBoundary:
		return wordBefore(line, pos) == wordAt(line, pos)
	}
	return !inWord(line, pos)
}

// maxDateRepeat bounds {m,n}, and with it the size of what a pattern compiles to.
const maxDateRepeat = 64

// A dateParser reads one pattern.
type dateParser struct {
	text   string
	pos    int
	fold   bool
	depth  int
	groups []*dateNode // that capture, in the order of their brackets: letters are groups too
}

func (p *dateParser) errorf(at int, format string, args ...any) error {
	return fmt.Errorf("byte %d: %s", at+1, fmt.Sprintf(format, args...))
}

func (p *dateParser) more() bool { return p.pos < len(p.text) }

func (p *dateParser) peek(s string) bool { return strings.HasPrefix(p.text[p.pos:], s) }

func (p *dateParser) accept(s string) bool {
	if p.peek(s) {
		p.pos += len(s)
		return true
	}
	return false
}

// alternatives reads up to a closing bracket or the end.
func (p *dateParser) alternatives() (*dateNode, error) {
	if p.depth++; p.depth > 50 {
		return nil, p.errorf(p.pos, "brackets nested more than 50 deep")
	}
	defer func() { p.depth-- }()
	alt := &dateNode{op: dateNodeAlt, at: p.pos}
	for {
		n, err := p.sequence()
		if err != nil {
			return nil, err
		}
		alt.sub = append(alt.sub, n)
		if !p.accept("|") {
			break
		}
	}
	if len(alt.sub) == 1 {
		return alt.sub[0], nil
	}
	return alt, nil
}

func (p *dateParser) sequence() (*dateNode, error) {
	cat := &dateNode{op: dateNodeCat, at: p.pos}
	for p.more() && !p.peek("|") && !p.peek(")") {
		n, err := p.atom()
		if err != nil {
			return nil, err
		}
		if n == nil {
			continue
		}
		if n, err = p.repeats(n); err != nil {
			return nil, err
		}
		cat.sub = append(cat.sub, n)
	}
	return cat, nil
}

// repeats reads the quantifier behind n, if there is one.
func (p *dateParser) repeats(n *dateNode) (*dateNode, error) {
	at, min, max := p.pos, 0, -1
	switch {
	case p.accept("*"):
	case p.accept("+"):
		min = 1
	case p.accept("?"):
		max = 1
	case p.peek("{"):
		var ok bool
		if min, max, ok = p.bounds(); !ok {
			return n, nil
		}
	default:
		return n, nil
	}
	if min > maxDateRepeat || max > maxDateRepeat || max >= 0 && min > max {
		return nil, p.errorf(at, "%s repeats more than %d times, or less than not at all", p.text[at:p.pos], maxDateRepeat)
	}
	r := &dateNode{op: dateNodeRepeat, min: min, max: max, sub: []*dateNode{n}, at: at}
	r.lazy = p.accept("?")
	if p.peek("*") || p.peek("+") {
		return nil, p.errorf(p.pos, "%q repeats what is repeated already", p.text[p.pos:p.pos+1])
	}
	return r, nil
}

// bounds reads {n}, {n,}, {,n} or {m,n}; anything else in braces is text.
func (p *dateParser) bounds() (min, max int, ok bool) {
	end := strings.IndexByte(p.text[p.pos:], '}')
	if end < 0 {
		return 0, 0, false
	}
	lo, hi, two := strings.Cut(p.text[p.pos+1:p.pos+end], ",")
	number := func(s string, empty int) int {
		if s == "" && two {
			return empty
		}
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			ok = false
		}
		return int(n)
	}
	ok = lo != "" || hi != ""
	min, max = number(lo, 0), number(hi, -1)
	if !two {
		ok = lo != ""
		min = number(lo, 0)
		max = min
	}
	if ok {
		p.pos += end + 1
	}
	return min, max, ok
}

// atom reads one thing that can be repeated; nil for what stands for nothing.
func (p *dateParser) atom() (*dateNode, error) {
	at := p.pos
	c := p.text[p.pos]
	p.pos++
	switch c {
	case '(':
		return p.group(at)
	case '[':
		set, err := p.class(at)
		return &dateNode{op: dateNodeSet, set: set, at: at}, err
	case '.':
		return &dateNode{op: dateNodeSet, set: setOf("\n").negate(), at: at}, nil
	case '^':
		return &dateNode{op: dateNodeAssert, assert: assertStart, at: at}, nil
	case '$':
		return &dateNode{op: dateNodeAssert, assert: assertEnd, at: at}, nil
	case '*', '+', '?':
		return nil, p.errorf(at, "%q repeats nothing", string(c))
	case '\\':
		return p.escape(at)
	case '%':
		return p.percent(at)
	}
	return p.literal(c, at), nil
}

func (p *dateParser) literal(c byte, at int) *dateNode {
	set := setOf(string([]byte{c}))
	if p.fold {
		set = set.fold()
	}
	return &dateNode{op: dateNodeSet, set: set, at: at}
}

// percent reads a strptime letter; %% is a percent sign.
func (p *dateParser) percent(at int) (*dateNode, error) {
	rest := p.text[p.pos:]
	n := min(1, len(rest))
	if strings.HasPrefix(rest, "Ex") {
		n = min(3, len(rest))
	}
	word := rest[:n]
	p.pos += n
	switch word {
	case "%":
		return p.literal('%', at), nil
	case "c":
		return p.expand("%a\\s+%b\\s+%d\\s+%H:%M:%S\\s+%Y", at)
	case "x":
		return p.expand("%m/%d/%y", at)
	case "X":
		return p.expand("%H:%M:%S", at)
	}
	letter, slot := dateLetterOf(word)
	if letter == letterNone {
		return nil, p.errorf(at, "unknown date letter %q (a percent sign is written %%%%)", "%"+word)
	}
	node := &dateNode{op: dateNodeLetter, letter: letter, slot: slot, fold: p.fold, at: at}
	p.groups = append(p.groups, node)
	return node, nil
}

// expand reads text in place of a letter that stands for several.
func (p *dateParser) expand(text string, at int) (*dateNode, error) {
	q := dateParser{text: text, fold: p.fold}
	n, err := q.alternatives()
	p.groups = append(p.groups, q.groups...)
	return n, err
}
