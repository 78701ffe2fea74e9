package matchers

import (
	"slices"
	"strconv"
	"strings"
)

// group reads what stands behind an opening parenthesis, up to the closing one. It returns nil for a
// comment and for flags.
func (p *pyParser) group() (*node, error) {
	if !p.accept("?") {
		return p.capture("")
	}
	switch {
	case p.accept("P<"):
		name, err := p.until(">", "a group name")
		if err != nil {
			return nil, err
		}
		if !isName(name) {
			return nil, p.errorf("bad group name " + strconv.Quote(name))
		}
		if slices.Contains(p.names, name) {
			return nil, p.errorf("group name " + name + " is used twice")
		}
		return p.capture(name)
	case p.accept("P="):
		name, err := p.until(")", "a group name")
		if err != nil {
			return nil, err
		}
		return p.backref(name)
	case p.accept("#"):
		_, err := p.until(")", "a comment")
		return nil, err
	case p.accept(":"):
		return p.body(&node{op: opConcat})
	case p.accept(">"):
		return p.body(&node{op: opAtomic})
	case p.accept("="):
		return p.body(&node{op: opLook})
	case p.accept("!"):
		return p.body(&node{op: opLook, not: true})
	case p.accept("<="):
		return p.body(&node{op: opLook, back: true})
	case p.accept("<!"):
		return p.body(&node{op: opLook, back: true, not: true})
	case p.accept("("):
		return p.conditional()
	}
	return p.flagGroup()
}

func (p *pyParser) capture(name string) (*node, error) {
	n := &node{op: opCapture, group: len(p.names)}
	p.names = append(p.names, name)
	p.closed = append(p.closed, false)
	n, err := p.body(n)
	if err == nil {
		p.closed[n.group] = true
	}
	return n, err
}

// body reads the inside of a group into n, and the parenthesis that closes it.
func (p *pyParser) body(n *node) (*node, error) {
	saved := p.flags
	sub, err := p.alternatives()
	if err != nil {
		return nil, err
	}
	if !p.accept(")") {
		return nil, p.errorf("missing )")
	}
	p.flags = saved
	if n.op == opConcat {
		return sub, nil
	}
	n.subs = []*node{sub}
	return n, nil
}

// flagGroup reads (?i), which holds for the whole pattern, and (?i:...) or (?-i:...).
func (p *pyParser) flagGroup() (*node, error) {
	saved, on := p.flags, true
	for p.pos < len(p.src) {
		switch r := p.rune(); r {
		case '-':
			on = false
		case 'i':
			p.flags.ignoreCase = on
		case 'm':
			p.flags.multiline = on
		case 's':
			p.flags.dotAll = on
		case 'x':
			p.flags.verbose = on
		case 'a', 'u', 'L':
		case ')':
			if !on {
				return nil, p.errorf("missing : behind flags that are turned off")
			}
			p.global = p.flags
			return nil, nil
		case ':':
			n, err := p.body(&node{op: opConcat})
			p.flags = saved
			return n, err
		default:
			return nil, p.errorf("unknown extension (?" + string(r))
		}
	}
	return nil, p.errorf("missing )")
}

// conditional reads (?(1)yes|no) and (?(name)yes|no).
func (p *pyParser) conditional() (*node, error) {
	name, err := p.until(")", "the group of a condition")
	if err != nil {
		return nil, err
	}
	group, err := p.groupIndex(name)
	if err != nil {
		return nil, err
	}
	n, err := p.body(&node{op: opCond, group: group})
	if err != nil {
		return nil, err
	}
	yes, no := n.subs[0], empty()
	if yes.op == opAlt {
		if len(yes.subs) > 2 {
			return nil, p.errorf("conditional with more than two branches")
		}
		yes, no = yes.subs[0], yes.subs[1]
	}
	n.subs = []*node{yes, no}
	return n, nil
}

func (p *pyParser) backref(name string) (*node, error) {
	group, err := p.groupIndex(name)
	if err != nil {
		return nil, err
	}
	if !p.closed[group] {
		return nil, p.errorf("reference to a group that is still open: " + name)
	}
	return &node{op: opBackref, group: group, fold: p.flags.ignoreCase}, nil
}

func (p *pyParser) groupIndex(name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		if n > 0 && n < len(p.names) {
			return n, nil
		}
	} else if n := slices.Index(p.names, name); n > 0 {
		return n, nil
	}
	return 0, p.errorf("no such group: " + name)
}

func isName(s string) bool {
	first := strings.ToLower(s)
	return s != "" && strings.Trim(first, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" && (s[0] < '0' || s[0] > '9')
}
