package dfa

import (
	"regexp/syntax"
	"unicode"
)

// An nfa is the rules of a set as one nondeterministic automaton, built from its end to its start: each
// instruction is made when what follows it is there.
//
//	a|b    ─►  split ─┬─► class a ─┬─►           a*   ─► split ─┬─► class a ─► (back)
//	                  └─► class b ─┘                            └─►
//
// A class consumes one symbol of the alphabet; a split, a condition (^ $ \b ...) and a match consume none.
type nfa struct {
	insts    []inst
	classes  []bitset // which symbols each class holds
	alphabet *alphabet
	anchored int32 // where rules begin that can only match at the start; none if there are none
	floating int32 // where the others begin, at every symbol; none if there are none
	rules    []int // the rules of the set that are in it
}

// An inst is an instruction.
type inst struct {
	op    instOp
	cond  syntax.EmptyOp // instCond
	arg   int32          // instClass: which; instMatch: the rule; instSplit: the other way on
	out   int32
	owner int32 // the only rule that this can lead to; none if there are several
}

type instOp uint8

const (
	instFail  instOp = iota // leads nowhere
	instClass               // a symbol of class arg, then out
	instCond                // out, if cond holds here
	instSplit               // out and arg
	instMatch               // rule arg matches
)

// none is no instruction, no rule.
const none = -1

// newNFA builds the automaton of exprs, which are the given rules of a set.
func newNFA(exprs []*syntax.Regexp, rules []int) *nfa {
	var anchor, float branch
	for i, re := range exprs {
		if anchored(re) {
			anchor.add(re, rules[i])
		} else {
			float.add(re, rules[i])
		}
	}
	b := builder{known: map[string]int32{}}
	n := &nfa{rules: rules, anchored: b.root(&anchor), floating: b.root(&float)}
	n.insts = b.insts
	n.alphabet, n.classes = newAlphabet(b.classes)
	return n
}

// A builder makes the instructions.
type builder struct {
	insts   []inst
	classes [][]rune
	known   map[string]int32 // classes by their runes
	key     []byte
	owner   int32 // of what is made now
}

func (b *builder) root(t *branch) int32 {
	if len(t.kids)+len(t.ends) == 0 {
		return none
	}
	return b.branch(t)
}

// branch makes a branch of the tree and all that follows it.
func (b *builder) branch(t *branch) int32 {
	next := int32(none)
	for i := len(t.kids) - 1; i >= 0; i-- {
		next = b.either(b.branch(t.kids[i]), next)
	}
	for _, r := range t.ends {
		b.owner = int32(r)
		next = b.either(b.add(inst{op: instMatch, arg: int32(r)}), next)
	}
	if t.piece == nil {
		return next
	}
	b.owner = int32(t.only())
	return b.piece(t.piece, next)
}

func (b *builder) add(i inst) int32 {
	i.owner = b.owner
	b.insts = append(b.insts, i)
	return int32(len(b.insts) - 1)
}

// either is the way to x and to y.
func (b *builder) either(x, y int32) int32 {
	if y == none {
		return x
	}
	if b.owner = b.insts[x].owner; b.owner != b.insts[y].owner {
		b.owner = none
	}
	return b.add(inst{op: instSplit, out: x, arg: y})
}

// piece makes re, with next behind it.
func (b *builder) piece(re *syntax.Regexp, next int32) int32 {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return next
	case syntax.OpNoMatch:
		return b.add(inst{op: instFail})
	case syntax.OpLiteral:
		for i := len(re.Rune) - 1; i >= 0; i-- {
			next = b.class([]rune{re.Rune[i], re.Rune[i]}, next)
		}
		return next
	case syntax.OpCharClass:
		return b.class(re.Rune, next)
	case syntax.OpAnyChar:
		return b.class([]rune{0, unicode.MaxRune}, next)
	case syntax.OpAnyCharNotNL:
		return b.class([]rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}, next)
	case syntax.OpConcat:
		for i := len(re.Sub) - 1; i >= 0; i-- {
			next = b.piece(re.Sub[i], next)
		}
		return next
	case syntax.OpAlternate:
		way := b.piece(re.Sub[len(re.Sub)-1], next)
		for i := len(re.Sub) - 2; i >= 0; i-- {
			way = b.add(inst{op: instSplit, out: b.piece(re.Sub[i], next), arg: way})
		}
		return way
	case syntax.OpQuest:
		return b.add(inst{op: instSplit, out: b.piece(re.Sub[0], next), arg: next})
	case syntax.OpStar, syntax.OpPlus:
		loop := b.add(inst{op: instSplit, arg: next})
		body := b.piece(re.Sub[0], loop)
		b.insts[loop].out = body
		if re.Op == syntax.OpPlus {
			return body
		}
		return loop
	}
	return b.add(inst{op: instCond, cond: condition(re.Op), out: next})
}

func (b *builder) class(runes []rune, next int32) int32 {
	b.key = b.key[:0]
	for _, r := range runes {
		b.key = append(b.key, byte(r), byte(r>>8), byte(r>>16))
	}
	c, ok := b.known[string(b.key)]
	if !ok {
		c = int32(len(b.classes))
		b.known[string(b.key)] = c
		b.classes = append(b.classes, runes)
	}
	return b.add(inst{op: instClass, arg: c, out: next})
}

// condition is what an assertion asks for.
func condition(op syntax.Op) syntax.EmptyOp {
	switch op {
	case syntax.OpBeginLine:
		return syntax.EmptyBeginLine
	case syntax.OpEndLine:
		return syntax.EmptyEndLine
	case syntax.OpBeginText:
		return syntax.EmptyBeginText
	case syntax.OpEndText:
		return syntax.EmptyEndText
	case syntax.OpWordBoundary:
		return syntax.EmptyWordBoundary
	case syntax.OpNoWordBoundary:
		return syntax.EmptyNoWordBoundary
	}
	panic("unknown operator " + op.String()) // Simplify leaves no other
}
