package matchers

import "strings"

// group reads what follows an opening bracket, up to the closing one.
func (p *dateParser) group(at int) (*dateNode, error) {
	switch {
	case p.accept("?:"):
		return p.closed(at)
	case p.accept("?P<"), p.peek("?<") && !p.peek("?<=") && !p.peek("?<!") && p.accept("?<"):
		return p.named(at)
	case p.accept("?P="):
		name, ok := p.until(")")
		if !ok {
			return nil, p.errorf(at, "the bracket ( is not closed")
		}
		return &dateNode{op: dateNodeRef, name: name, at: at}, nil
	case p.accept("?="):
		return p.lookAround(at, false, false)
	case p.accept("?!"):
		return p.lookAround(at, false, true)
	case p.accept("?<="):
		return p.lookAround(at, true, false)
	case p.accept("?<!"):
		return p.lookAround(at, true, true)
	case p.accept("?#"):
		if _, ok := p.until(")"); !ok {
			return nil, p.errorf(at, "the bracket ( is not closed")
		}
		return nil, nil
	case p.accept("?"):
		return p.flags(at)
	}
	g := &dateNode{op: dateNodeGroup, slot: slotCount, at: at}
	p.groups = append(p.groups, g)
	sub, err := p.closed(at)
	g.sub = []*dateNode{sub}
	return g, err
}

// closed reads alternatives and their closing bracket.
func (p *dateParser) closed(at int) (*dateNode, error) {
	n, err := p.alternatives()
	if err == nil && !p.accept(")") {
		err = p.errorf(at, "the bracket ( is not closed")
	}
	return n, err
}

func (p *dateParser) until(end string) (string, bool) {
	word, _, ok := strings.Cut(p.text[p.pos:], end)
	if ok {
		p.pos += len(word) + len(end)
	}
	return word, ok
}

// named reads (?P<name>…); a name that is a strptime letter makes the group that part of the date.
func (p *dateParser) named(at int) (*dateNode, error) {
	name, ok := p.until(">")
	if !ok || name == "" {
		return nil, p.errorf(at, "the name of a group is not closed")
	}
	g := &dateNode{op: dateNodeGroup, slot: slotCount, name: name, at: at}
	switch {
	case name == "EPOCH":
		g.slot = slotEpoch
	case name == "LEPOCH":
		g.slot = slotLongEpoch
	case name == "TAI64N":
		g.slot = slotTAI
	case len(name) == 1:
		_, g.slot = dateLetterOf(name)
	}
	p.groups = append(p.groups, g)
	sub, err := p.closed(at)
	g.sub = []*dateNode{sub}
	return g, err
}

// flags reads (?i), (?iu) and their like, and (?i:…).
func (p *dateParser) flags(at int) (*dateNode, error) {
	on, fold := true, p.fold
	for p.more() {
		c := p.text[p.pos]
		p.pos++
		switch c {
		case 'i':
			fold = on
		case 'u', 'a', 's', 'm', 'L': // change nothing about the bytes of one line
		case '-':
			on = false
		case ')':
			p.fold = fold
			return nil, nil
		case ':':
			before := p.fold
			p.fold = fold
			n, err := p.closed(at)
			p.fold = before
			return n, err
		default:
			return nil, p.errorf(at, "(?%c is not known in a date pattern", c)
		}
	}
	return nil, p.errorf(at, "the bracket ( is not closed")
}

// maxRefSet is how many bytes a group may choose from that is referred to again.
const maxRefSet = 16

// expandRefs does away with back-references: (?P<s>[-/])X(?P=s) becomes -X-|/X/, one alternative per byte, which is
// the same for a group of single bytes. Others stay, and are refused by the compiler.
func expandRefs(n *dateNode) (*dateNode, error) {
	left := maxProgram
	n = expandRefsIn(n, &left)
	if left < 0 {
		return nil, errDateTooBig
	}
	return n, nil
}

// expandRefsIn is expandRefs for at most left nodes; below 0 it gives up.
func expandRefsIn(n *dateNode, left *int) *dateNode {
	for i, s := range n.sub {
		e := expandRefsIn(s, left)
		n.sub[i] = e
		if n.op != dateNodeCat || e.op != dateNodeGroup || e.name == "" || !refers(n.sub[i+1:], e.name) {
			continue
		}
		set, ok := singleSet(e)
		if !ok || len(set.bytes()) > maxRefSet {
			break
		}
		alt := &dateNode{op: dateNodeAlt, at: e.at}
		for _, c := range set.bytes() {
			alt.sub = append(alt.sub, expandRefsIn(n.with(i, c, left), left))
		}
		n.sub = append(n.sub[:i:i], alt)
		break
	}
	return n
}

// with is the sequence n from its i-th part on, where that group is the byte c and so is every reference to it.
func (n *dateNode) with(i int, c byte, left *int) *dateNode {
	e := n.sub[i]
	one := &dateNode{op: dateNodeSet, set: setOf(string([]byte{c})), at: e.at}
	first := *e
	first.sub = []*dateNode{one}
	row := &dateNode{op: dateNodeCat, sub: []*dateNode{&first}, at: e.at}
	for _, rest := range n.sub[i+1:] {
		row.sub = append(row.sub, substitute(rest, e.name, one, left))
	}
	return row
}

func singleSet(n *dateNode) (byteSet, bool) {
	switch {
	case n.op == dateNodeSet:
		return n.set, true
	case (n.op == dateNodeGroup || n.op == dateNodeCat) && len(n.sub) == 1:
		return singleSet(n.sub[0])
	}
	return byteSet{}, false
}

func refers(nodes []*dateNode, name string) bool {
	for _, n := range nodes {
		if n.op == dateNodeRef && n.name == name || refers(n.sub, name) {
			return true
		}
	}
	return false
}

// substitute copies n with one in the place of every reference to name.
func substitute(n *dateNode, name string, one *dateNode, left *int) *dateNode {
	if *left--; *left < 0 || n.op == dateNodeRef && n.name == name {
		return one
	}
	c := *n
	c.sub = make([]*dateNode, len(n.sub))
	for i, s := range n.sub {
		c.sub[i] = substitute(s, name, one, left)
	}
	return &c
}
