package dfa

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"regexp/syntax"
)

// A Set is rules that are looked for together. It is immutable and may be shared by goroutines; each scans
// with a Scanner of its own.
//
//	NewSet ─► Set ── NewScanner ─► Scanner ── Scan(lines) ─► for each line: which rules match
//	          │                    │
//	          │ sources            │ parts: an automaton each, that makes its states as lines need them;
//	          └ nfa                │ one, unless the states of its rules multiply
//	                               └ alone: rules that package regexp runs, since no automaton pays for them
type Set struct {
	sources []string // as they were given
	wild    []bool   // those whose states may multiply
	nfa     *nfa     // of all of them; nil if there are none
	opt     Options
}

// Options change what a Scanner may use. The zero value is good.
type Options struct {
	Cache int // bytes of states, of all parts of a Scanner together; 0 means 8 MiB

	oneLane bool // no lockstep: the slow twin
	noSplit bool // a part that thrashes stays as it is
	rows    int  // states of a part; 0 means as many as fit in Cache
	credit  int  // work that a part may do at first; 0 means maxCredit
}

// A Line is a text in two pieces, as it is left when its date was cut out. The rules see both as one, with a
// newline behind it; of a line whose end was lost they see U+FFFD there, so that $ does not match.
type Line struct {
	Head, Tail []byte
	Cut        bool
}

// NewSet compiles rules, in the syntax of package regexp. The error names the rule that has none.
func NewSet(rules []string, opt Options) (*Set, error) {
	s := &Set{sources: rules, opt: opt}
	var exprs []*syntax.Regexp
	var all []int
	for i, r := range rules {
		re, err := parse(r)
		if err != nil {
			return nil, fmt.Errorf("rule %d: %w", i, err)
		}
		exprs, all = append(exprs, re), append(all, i)
		s.wild = append(s.wild, !anchored(re) && wild(re))
	}
	if len(rules) > 0 {
		s.nfa = newNFA(exprs, all)
	}
	return s, nil
}

// part builds the automaton of some of the rules. Their trees are not kept: they are larger than it.
func (s *Set) part(rules []int) *nfa {
	var exprs []*syntax.Regexp
	for _, r := range rules {
		re, err := parse(s.sources[r])
		if err != nil {
			panic(err) // NewSet has parsed it
		}
		exprs = append(exprs, re)
	}
	return newNFA(exprs, rules)
}

// A Scanner runs a Set over lines. It is for one goroutine.
type Scanner struct {
	set   *Set
	parts []*part
	alone []alone
	hits  hits
	stats Stats
	seed  uint64
	text  []byte // a line in one piece
}

// Stats is what a Scanner has done.
type Stats struct {
	Steps   int // symbols that were looked at, by each part
	Visits  int // of instructions, to make cells
	Cells   int // of the tables that were made, and most often a state with them
	Flushes int // of a cache that was full
	Splits  int // of a part that thrashed
	Alone   int // rules that have left the automata; package regexp runs them
	Bytes   int // that the states take now
}

// NewScanner makes a Scanner with empty caches.
func (s *Set) NewScanner() *Scanner {
	sc := &Scanner{set: s, hits: hits{words: (len(s.sources) + 63) / 64}, seed: maphash.String(maphash.MakeSeed(), "")}
	if s.nfa != nil {
		sc.parts = append(sc.parts, sc.newPart(s.nfa, cmp.Or(s.opt.credit, maxCredit)))
	}
	return sc
}

// Scan finds the rules that match each of lines: see Hit and Rules. What it has found is good until the next
// call; the lines are not kept.
func (s *Scanner) Scan(lines []Line) {
	s.hits.reset(len(lines))
	for _, p := range s.parts {
		p.work.lines, p.work.next = lines, 0
	}
	for i := 0; i < len(s.parts); {
		if s.parts[i].scan() {
			i++
		} else {
			s.split(i)
		}
	}
	s.scanAlone(lines)
	for _, p := range s.parts {
		p.forget()
	}
}

// Hit reports whether a rule matches line i of the last Scan.
func (s *Scanner) Hit(i int) bool { return s.hits.any[i] }

// Rules is a bit for each rule that matches line i of the last Scan.
func (s *Scanner) Rules(i int) []uint64 { return s.hits.bits[i*s.hits.words : (i+1)*s.hits.words] }

// Stats is what was done so far.
func (s *Scanner) Stats() Stats {
	all := s.stats
	all.Alone, all.Bytes = len(s.alone), s.size()
	for _, p := range s.parts {
		all.add(p)
	}
	return all
}

func (s *Stats) add(p *part) {
	s.Steps += p.stats.Steps
	s.Cells += p.stats.Cells
	s.Flushes += p.stats.Flushes
	s.Visits += p.cache.visits
}

// Alone lists the rules that have left the automata.
func (s *Scanner) Alone() []int {
	var rules []int
	for _, a := range s.alone {
		rules = append(rules, a.rule)
	}
	return rules
}

// hits is a row of bits for each line.
type hits struct {
	words int
	bits  []uint64
	any   []bool
}

func (h *hits) reset(lines int) {
	for i, hit := range h.any {
		if hit {
			clear(h.bits[i*h.words : (i+1)*h.words])
		}
	}
	clear(h.any)
	for len(h.any) < lines {
		h.any = append(h.any, false)
	}
	for len(h.bits) < lines*h.words {
		h.bits = append(h.bits, 0)
	}
}

func (h *hits) add(line int, rule int32) {
	h.any[line] = true
	h.bits[line*h.words+int(rule)/64] |= 1 << (rule % 64)
}
