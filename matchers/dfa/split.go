package dfa

import (
	"regexp"
	"slices"
)

// The states of rules that may begin anywhere and have .* in them multiply: foo.*bar with nine others like
// it has one for each choice of what was seen so far. Apart they add up. Whether they ever multiply is up to the
// lines, and each part costs a pass over them, so all rules begin together:
//
//	a part that thrashes     ─►  those that may multiply apart from the others, else two halves
//	a rule that thrashes     ─►  package regexp, line by line
//	more than 64 parts       ─►  package regexp for all rules of the last one
//
// A split stays: the same lines will come again. The lines that were on their way start again in both halves.

// byKind tells the rules whose states multiply from the others.
func (s *Set) byKind(rules []int) (tame, multiply []int) {
	for _, r := range rules {
		if s.wild[r] {
			multiply = append(multiply, r)
		} else {
			tame = append(tame, r)
		}
	}
	return tame, multiply
}

func (s *Scanner) newPart(n *nfa, credit int) *part {
	p := &part{of: s, cache: newCache(n, s.seed), credit: credit, most: credit}
	for i := range p.lanes {
		p.lanes[i].line = none
	}
	return p
}

// split puts two parts in the place of part i, or none.
func (s *Scanner) split(i int) {
	p := s.parts[i]
	s.stats.add(p)
	rules := p.cache.nfa.rules
	if len(rules) == 1 || len(s.parts) >= maxParts {
		for _, r := range rules {
			s.alone = append(s.alone, alone{r, regexp.MustCompile(s.set.sources[r])})
		}
		s.parts = slices.Delete(s.parts, i, i+1)
		return
	}
	s.stats.Splits++
	left, right := s.set.byKind(rules)
	if len(left) == 0 || len(right) == 0 {
		left, right = rules[:len(rules)/2], rules[len(rules)/2:]
	}
	var halves [2]*part
	for h, half := range [...][]int{left, right} {
		halves[h] = s.newPart(s.set.part(half), max(p.most/2, min(p.most, minCredit)))
		halves[h].work = work{lines: p.work.lines, next: p.work.next, again: slices.Clone(p.work.again)}
	}
	s.parts = slices.Replace(s.parts, i, i+1, halves[:]...)
}

// alone is a rule that package regexp runs.
type alone struct {
	rule int
	re   *regexp.Regexp
}

// scanAlone runs the rules that have left the automata.
func (s *Scanner) scanAlone(lines []Line) {
	if len(s.alone) == 0 {
		return
	}
	for i := range lines {
		s.text = lines[i].join(s.text[:0])
		for _, a := range s.alone {
			if a.re.Match(s.text) {
				s.hits.add(i, int32(a.rule))
			}
		}
	}
}

// join appends a line in one piece, with what is behind it.
func (l *Line) join(to []byte) []byte {
	to = append(append(to, l.Head...), l.Tail...)
	if l.Cut {
		return append(to, "\uFFFD"...)
	}
	return append(to, '\n')
}
