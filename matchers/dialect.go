package matchers

import "fmt"

// The dialect of filters is that of Python's re module, since fail2ban is written in it. A regex is
// parsed as Python would (dialect_parse.go), what Go's linear engine lacks is rewritten where that can be
// done exactly (rewrite.go), and the result is printed for the engine that will run it
// (dialect_print.go).

// An op says what a node matches.
type op uint8

const (
	opEmpty      op = iota // the empty string
	opFail                 // nothing at all
	opClass                // one rune of set
	opConcat               // subs, one after the other
	opAlt                  // the first of subs that lets the rest match
	opRepeat               // subs[0], min to max times
	opCapture              // subs[0], remembered as group
	opAtomic               // (?>...): subs[0] without going back into it
	opBegin                // ^ and \A: the start of the text
	opBeginLine            // ^ under (?m)
	opEnd                  // $: the end of the text, or before a newline that ends it
	opEndLine              // $ under (?m)
	opEndText              // \Z: the end of the text
	opBoundary             // \b
	opNoBoundary           // \B
	opLook                 // look-around: subs[0] matches here, or does not, or has just matched
	opBackref              // what group has matched, once more
	opCond                 // subs[0] if group took part in the match, else subs[1]
)

// A node is a piece of a regex. Nodes are never changed once they are parsed: a rewrite makes new ones
// and may use the old ones in several places.
type node struct {
	op    op
	set   runeSet // opClass
	subs  []*node
	min   int // opRepeat
	max   int // opRepeat; -1 is no limit
	lazy  bool
	group int  // opCapture, opBackref, opCond: counted from 1
	not   bool // opLook: (?! and (?<!
	back  bool // opLook: (?<= and (?<!
	fold  bool // opBackref under (?i)
}

// An expr is a parsed regex.
type expr struct {
	source string
	root   *node
	names  []string // of the groups, "" for one without a name; names[0] is the whole match
}

// A syntaxError says what is wrong in a regex, and at which byte.
type syntaxError struct {
	at   int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.at) }

// The nodes that rewrites make. concat and alt drop what has no effect, so that their results stay small.

func class(set runeSet) *node {
	if len(set) == 0 {
		return &node{op: opFail}
	}
	return &node{op: opClass, set: set}
}

func empty() *node { return &node{op: opEmpty} }
func fail() *node  { return &node{op: opFail} }

func concat(nodes ...*node) *node {
	var subs []*node
	for _, n := range nodes {
		switch n.op {
		case opEmpty:
		case opFail:
			return n
		case opConcat:
			subs = append(subs, n.subs...)
		default:
			subs = append(subs, n)
		}
	}
	switch len(subs) {
	case 0:
		return empty()
	case 1:
		return subs[0]
	}
	return &node{op: opConcat, subs: subs}
}

func alt(nodes ...*node) *node {
	var subs []*node
	for _, n := range nodes {
		switch n.op {
		case opFail:
		case opAlt:
			subs = append(subs, n.subs...)
		default:
			subs = append(subs, n)
		}
	}
	switch len(subs) {
	case 0:
		return fail()
	case 1:
		return subs[0]
	}
	return &node{op: opAlt, subs: subs}
}

// with is n with other subs.
func (n *node) with(subs ...*node) *node {
	c := *n
	c.subs = subs
	switch n.op {
	case opConcat:
		return concat(subs...)
	case opAlt:
		return alt(subs...)
	}
	return &c
}

// contains reports whether n or a node in it is one that is sought.
func (n *node) contains(sought func(*node) bool) bool {
	if sought(n) {
		return true
	}
	for _, s := range n.subs {
		if s.contains(sought) {
			return true
		}
	}
	return false
}

// size counts the nodes of n, as often as they would be printed; it stops at limit.
func (n *node) size(limit int) int {
	total := 1
	for _, s := range n.subs {
		if total >= limit {
			return total
		}
		total += s.size(limit - total)
	}
	return total
}

// each is n with f applied to its subs.
func (n *node) each(f func(*node) *node) *node {
	changed, _ := n.eachErr(func(sub *node) (*node, error) { return f(sub), nil })
	return changed
}

func (n *node) eachErr(f func(*node) (*node, error)) (*node, error) {
	if len(n.subs) == 0 {
		return n, nil
	}
	subs := make([]*node, len(n.subs))
	for i, s := range n.subs {
		var err error
		if subs[i], err = f(s); err != nil {
			return nil, err
		}
	}
	return n.with(subs...), nil
}

func isOp(o op) func(*node) bool { return func(n *node) bool { return n.op == o } }
