package dfa

import (
	"regexp/syntax"
	"slices"
	"unicode"
)

// Rules of one filter begin alike, and nearly all begin with the host. What several rules begin with is in
// the automaton once, so they are laid down as a tree before it is built:
//
//	^<HOST> a$        \A ─ <HOST> ─ ' ' ─┬─ a ─ \z   rule 0
//	^<HOST> b$                           └─ b ─ \z   rule 1
//	c               c                                rule 2
//
// There are two roots: rules below the anchored one can match only from the start of a line on, those below
// the floating one anywhere.

// A branch is a piece of a regex, and what may follow it.
type branch struct {
	piece *syntax.Regexp // nil at a root
	kids  []*branch
	ends  []int // rules that end behind piece
}

// add lays down a rule.
func (b *branch) add(re *syntax.Regexp, rule int) {
	for _, piece := range pieces(nil, re) {
		b = b.kid(piece)
	}
	b.ends = append(b.ends, rule)
}

func (b *branch) kid(piece *syntax.Regexp) *branch {
	for _, k := range b.kids {
		if k.piece.Equal(piece) {
			return k
		}
	}
	k := &branch{piece: piece}
	b.kids = append(b.kids, k)
	return k
}

// only is the one rule that b leads to; none if there are several.
func (b *branch) only() int {
	rule := none
	for _, r := range b.ends {
		if rule != none {
			return none
		}
		rule = r
	}
	for _, k := range b.kids {
		r := k.only()
		if r == none || rule != none {
			return none
		}
		rule = r
	}
	return rule
}

// parse reads a regex as package regexp does.
func parse(expr string) (*syntax.Regexp, error) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return plain(re.Simplify()), nil
}

// plain drops the groups, since a set asks only whether a rule matches, and writes (?i) out as classes.
func plain(re *syntax.Regexp) *syntax.Regexp {
	switch {
	case re.Op == syntax.OpCapture:
		return plain(re.Sub[0])
	case re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase != 0:
		row := &syntax.Regexp{Op: syntax.OpConcat}
		for _, r := range re.Rune {
			row.Sub = append(row.Sub, &syntax.Regexp{Op: syntax.OpCharClass, Rune: folded(r)})
		}
		return row
	}
	c := *re
	c.Sub = nil
	for _, s := range re.Sub {
		c.Sub = append(c.Sub, plain(s))
	}
	return &c
}

// folded is a class of the runes that differ from r by case only.
func folded(r rune) []rune {
	pairs := []rune{r, r}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		pairs = append(pairs, f, f)
	}
	return pairs
}

// pieces takes a regex apart into what stands in a row; literals into runes.
func pieces(into []*syntax.Regexp, re *syntax.Regexp) []*syntax.Regexp {
	switch {
	case re.Op == syntax.OpConcat:
		for _, s := range re.Sub {
			into = pieces(into, s)
		}
		return into
	case re.Op == syntax.OpEmptyMatch:
		return into
	case re.Op == syntax.OpLiteral && len(re.Rune) > 1:
		for _, r := range re.Rune {
			into = append(into, &syntax.Regexp{Op: syntax.OpLiteral, Rune: []rune{r}})
		}
		return into
	}
	return append(into, re)
}

// anchored reports whether re can match only from the start of a text on.
func anchored(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpNoMatch:
		return true
	case syntax.OpCapture, syntax.OpPlus:
		return anchored(re.Sub[0])
	case syntax.OpConcat:
		return slices.ContainsFunc(re.Sub, anchored)
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(s *syntax.Regexp) bool { return !anchored(s) })
	}
	return false
}

// wild reports whether re has a repetition of nearly anything in it: `foo .*bar`. Where such a rule may begin
// anywhere, each of its words multiplies the states of the automaton.
func wild(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpStar, syntax.OpPlus:
		return wide(re.Sub[0]) || wild(re.Sub[0])
	}
	return slices.ContainsFunc(re.Sub, wild)
}

// wide reports whether re is a class that holds nearly all of ASCII.
func wide(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpCharClass:
		const nearlyAll = 90
		n := 0
		for i := 0; i < len(re.Rune); i += 2 {
			n += max(0, int(min(re.Rune[i+1], 0x7f))-int(re.Rune[i])+1)
		}
		return n >= nearlyAll
	}
	return false
}
