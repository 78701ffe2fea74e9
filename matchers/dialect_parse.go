package matchers

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a regex. fail2ban's longest, with all its tags replaced, has some 6,000 bytes.
const (
	maxRegex  = 64 << 10 // bytes
	maxNested = 200      // groups in one another
	maxRepeat = 1000     // Go's regexp takes no more
)

// The flags of Python's re that change what a pattern means. (?L), (?a) and (?u) are read and have no
// effect: logs are bytes that are read as UTF-8.
type pyFlags struct{ ignoreCase, multiline, dotAll, verbose bool }

// parsePython parses a regex of Python's re module, with the flags that it was compiled with.
func parsePython(source string, flags pyFlags) (*expr, error) {
	if len(source) > maxRegex {
		return nil, &syntaxError{maxRegex, "a regex of " + strconv.Itoa(len(source)) + " bytes is too long"}
	}
	p := &pyParser{src: source, flags: flags, names: []string{""}}
	root, err := p.parse()
	if err == nil && p.global != flags {
		// (?i) in the middle holds for the whole pattern (Python up to 3.10; later ones refuse it).
		p = &pyParser{src: source, flags: p.global, names: []string{""}}
		root, err = p.parse()
	}
	if err != nil {
		return nil, err
	}
	return &expr{source: source, root: root, names: p.names}, nil
}

type pyParser struct {
	src    string
	pos    int
	flags  pyFlags // in force here
	global pyFlags // set by (?i) and the like
	names  []string
	closed []bool // by group: its parenthesis is closed, so that it may be referred to
	depth  int
}

func (p *pyParser) parse() (*node, error) {
	p.global = p.flags
	p.closed = append(p.closed, false)
	n, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if p.pos < len(p.src) {
		return nil, p.errorf("unbalanced parenthesis")
	}
	return n, nil
}

func (p *pyParser) errorf(what string) error { return &syntaxError{p.pos, what} }

func (p *pyParser) peek(s string) bool { return strings.HasPrefix(p.src[p.pos:], s) }

func (p *pyParser) accept(s string) bool {
	if p.peek(s) {
		p.pos += len(s)
		return true
	}
	return false
}

func (p *pyParser) rune() rune {
	r, n := utf8.DecodeRuneInString(p.src[p.pos:])
	p.pos += n
	return r
}

// until returns what stands before the next end, and passes it.
func (p *pyParser) until(end, what string) (string, error) {
	s, _, found := strings.Cut(p.src[p.pos:], end)
	if !found {
		return "", p.errorf("missing " + end + " behind " + what)
	}
	p.pos += len(s) + len(end)
	return s, nil
}

func (p *pyParser) alternatives() (*node, error) {
	if p.depth++; p.depth > maxNested {
		return nil, p.errorf("groups nested too deeply")
	}
	defer func() { p.depth-- }()
	var branches []*node
	for {
		n, err := p.sequence()
		if err != nil {
			return nil, err
		}
		branches = append(branches, n)
		if !p.accept("|") {
			break
		}
	}
	if len(branches) == 1 {
		return branches[0], nil
	}
	return &node{op: opAlt, subs: branches}, nil
}

func (p *pyParser) sequence() (*node, error) {
	var parts []*node
	for p.pos < len(p.src) && !p.peek("|") && !p.peek(")") {
		if p.flags.verbose && p.skipBlank() {
			continue
		}
		n, err := p.item()
		if err != nil {
			return nil, err
		}
		if n == nil {
			continue // a comment or flags
		}
		if n, err = p.repeats(n); err != nil {
			return nil, err
		}
		parts = append(parts, n)
	}
	switch len(parts) {
	case 0:
		return empty(), nil
	case 1:
		return parts[0], nil
	}
	return &node{op: opConcat, subs: parts}, nil
}

// skipBlank passes the blanks and comments that (?x) allows.
func (p *pyParser) skipBlank() bool {
	if strings.IndexByte(" \t\n\r\v\f", p.src[p.pos]) >= 0 {
		p.pos++
		return true
	}
	if p.src[p.pos] != '#' {
		return false
	}
	if end := strings.IndexByte(p.src[p.pos:], '\n'); end >= 0 {
		p.pos += end + 1
	} else {
		p.pos = len(p.src)
	}
	return true
}

func (p *pyParser) item() (*node, error) {
	start := p.pos
	switch r := p.rune(); r {
	case '^':
		if p.flags.multiline {
			return &node{op: opBeginLine}, nil
		}
		return &node{op: opBegin}, nil
	case '$':
		if p.flags.multiline {
			return &node{op: opEndLine}, nil
		}
		return &node{op: opEnd}, nil
	case '.':
		if p.flags.dotAll {
			return class(anySet), nil
		}
		return class(dotSet), nil
	case '[':
		return p.class()
	case '(':
		return p.group()
	case '\\':
		return p.escape()
	case '*', '+', '?':
		p.pos = start
		return nil, p.errorf("nothing to repeat")
	default:
		return p.literal(r), nil
	}
}

func (p *pyParser) literal(r rune) *node {
	set := runeSet{r, r}
	if p.flags.ignoreCase {
		set = set.fold()
	}
	return class(set)
}

// repeats reads the quantifier behind n, if there is one.
func (p *pyParser) repeats(n *node) (*node, error) {
	at := p.pos
	lo, hi, found, err := p.quantifier()
	if err != nil || !found {
		return n, err
	}
	if n.op == opBegin || n.op == opBeginLine {
		p.pos = at
		return nil, p.errorf("nothing to repeat")
	}
	rep := &node{op: opRepeat, subs: []*node{n}, min: lo, max: hi}
	if p.accept("?") {
		rep.lazy = true
	} else if p.accept("+") {
		rep = &node{op: opAtomic, subs: []*node{rep}} // a*+ is (?>a*)
	}
	if _, _, again, _ := p.quantifier(); again {
		p.pos = at
		return nil, p.errorf("multiple repeat")
	}
	return rep, nil
}

// quantifier reads * + ? and {n,m}. Python takes {,m} for {0,m}; braces with anything else in them are
// literal text.
func (p *pyParser) quantifier() (lo, hi int, found bool, err error) {
	if p.flags.verbose {
		for p.pos < len(p.src) && p.skipBlank() {
		}
	}
	if p.pos == len(p.src) {
		return 0, 0, false, nil
	}
	switch p.src[p.pos] {
	case '*':
		p.pos++
		return 0, -1, true, nil
	case '+':
		p.pos++
		return 1, -1, true, nil
	case '?':
		p.pos++
		return 0, 1, true, nil
	case '{':
	default:
		return 0, 0, false, nil
	}
	body, _, closed := strings.Cut(p.src[p.pos+1:], "}")
	min, max, comma := strings.Cut(body, ",")
	if !closed || body == "" || !digits(min) || !digits(max) {
		return 0, 0, false, nil
	}
	if lo, err = p.count(min, 0); err != nil {
		return 0, 0, false, err
	}
	hi = lo
	if comma {
		if hi, err = p.count(max, -1); err != nil {
			return 0, 0, false, err
		}
	}
	if hi >= 0 && hi < lo {
		return 0, 0, false, p.errorf("min repeat greater than max repeat")
	}
	p.pos += len(body) + 2
	return lo, hi, true, nil
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func (p *pyParser) count(s string, none int) (int, error) {
	if s == "" {
		return none, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > maxRepeat {
		return 0, p.errorf("a repeat of more than " + strconv.Itoa(maxRepeat))
	}
	return n, nil
}
