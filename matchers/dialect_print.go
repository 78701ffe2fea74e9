package matchers

import (
	"fmt"
	"strconv"
	"strings"
)

// printGo writes n for Go's regexp. Groups are not named, since a rewrite may have repeated them: groups
// says which group of the source each one stands for.
func printGo(n *node) (source string, groups []int) {
	p := printer{groups: []int{0}}
	p.print(n)
	return p.b.String(), p.groups
}

// printNet writes n for regexp2. Its groups are numbered as those of the source.
func printNet(n *node) string {
	p := printer{net: true}
	p.print(n)
	return p.b.String()
}

type printer struct {
	b      strings.Builder
	net    bool
	groups []int
}

func (p *printer) print(n *node) {
	switch n.op {
	case opEmpty:
		p.b.WriteString("(?:)")
	case opFail:
		p.b.WriteString(runeSet(nil).String())
	case opClass:
		p.b.WriteString(n.set.String())
	case opConcat:
		for _, s := range n.subs {
			p.part(s)
		}
	case opAlt:
		for i, s := range n.subs {
			if i > 0 {
				p.b.WriteByte('|')
			}
			p.print(s)
		}
	case opRepeat:
		p.repeat(n)
	case opCapture:
		if p.net {
			fmt.Fprintf(&p.b, "(?<%d>", n.group)
		} else {
			p.groups = append(p.groups, n.group)
			p.b.WriteByte('(')
		}
		p.print(n.subs[0])
		p.b.WriteByte(')')
	case opAtomic:
		p.wrap("(?>", n.subs[0])
	case opLook:
		p.wrap("(?"+map[bool]string{true: "<"}[n.back]+map[bool]string{true: "!", false: "="}[n.not], n.subs[0])
	case opBackref:
		if n.fold {
			fmt.Fprintf(&p.b, `(?i:\k<%d>)`, n.group)
		} else {
			fmt.Fprintf(&p.b, `\k<%d>`, n.group)
		}
	case opCond:
		fmt.Fprintf(&p.b, "(?(%d)", n.group)
		p.grouped(n.subs[0])
		p.b.WriteByte('|')
		p.grouped(n.subs[1])
		p.b.WriteByte(')')
	default:
		p.b.WriteString(p.assertion(n.op))
	}
}

// assertion writes what matches no rune. Python's $ also stands before a newline that ends the text: for
// Go that newline is matched, which is the same as nothing can follow it.
func (p *printer) assertion(o op) string {
	switch o {
	case opBegin:
		return `\A`
	case opBeginLine:
		return `(?m:^)`
	case opEndLine:
		return `(?m:$)`
	case opEndText:
		return `\z`
	case opBoundary:
		return `\b`
	case opNoBoundary:
		return `\B`
	}
	if p.net {
		return `(?=\n?\z)`
	}
	return `(?:\n?\z)`
}

func (p *printer) repeat(n *node) {
	p.grouped(n.subs[0])
	switch {
	case n.min == 0 && n.max == -1:
		p.b.WriteByte('*')
	case n.min == 1 && n.max == -1:
		p.b.WriteByte('+')
	case n.min == 0 && n.max == 1:
		p.b.WriteByte('?')
	case n.max == -1:
		p.b.WriteString("{" + strconv.Itoa(n.min) + ",}")
	default:
		p.b.WriteString("{" + strconv.Itoa(n.min) + "," + strconv.Itoa(n.max) + "}")
	}
	if n.lazy {
		p.b.WriteByte('?')
	}
}

// part writes n as one of several in a row, grouped as what is to be repeated.
func (p *printer) part(n *node) {
	if n.op == opAlt {
		p.wrap("(?:", n)
		return
	}
	p.print(n)
}

func (p *printer) grouped(n *node) {
	if n.op == opClass || n.op == opCapture {
		p.print(n)
		return
	}
	p.wrap("(?:", n)
}

func (p *printer) wrap(open string, n *node) {
	p.b.WriteString(open)
	p.print(n)
	p.b.WriteByte(')')
}
