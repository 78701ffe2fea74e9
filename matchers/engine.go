package matchers

import (
	"slices"
	"time"

	"github.com/banpipe/banpipe/matchers/dfa"
)

// A Matcher runs a Program: one per goroutine, with caches of its own.
//
//	lines ── Scanner ──► which failregexes fit       selection.go, package dfa
//	         judge   ──► which one decides           judge.go
//	         capture ──► who is to blame             captures.go
type Matcher struct {
	program *Program
	text    []byte // the line as the rules see it
	content []byte // what prefregex has left of it
	spans   []int
	groups  []group
	found   match

	scanners []*dfa.Scanner // by reading; nil until its first line
	selected *selected      // of the jail that judges
	bits     []uint64       // of the line: the rules in the reading's set that fit; nil if no set has seen it
	captures captures

	reference bool                              // try rule after rule with regexp: what the others are held to
	slow      slowCounts                        // since somebody set it to 0
	left      []Note                            // rules that are on the slow path since then
	timed     func(r *rule, took time.Duration) // nil: nobody wants to know
}

// NewMatcher makes a Matcher for p.
func (p *Program) NewMatcher() *Matcher {
	return &Matcher{program: p, selected: &selected{}, scanners: make([]*dfa.Scanner, len(p.readings))}
}

// match judges lines for all jails of a reading. It calls report for each line and jail that a failregex
// matches and no ignoreregex does, jail by jail for each line.
func (m *Matcher) match(rd *reading, t *texts, report func(*match)) {
	if m.reference {
		m.matchAll(rd, t, report)
		return
	}
	if len(t.lines) == 0 {
		return
	}
	rules, s := rd.selection(), m.scanner(rd)
	before := s.Stats()
	s.Scan(t.lines)
	m.scanned(rules, s, before)
	hits := false
	for i := range t.lines {
		if !s.Hit(i) {
			continue
		}
		hits = true
		m.join(&t.lines[i])
		m.bits = s.Rules(i)
		rules.each(m.bits, func(jail int) {
			if j := rd.jails[jail]; rd.serves(j, &t.of[i]) {
				m.selected = &rules.jails[jail]
				m.report(j, &t.of[i], report)
			}
		})
	}
	m.bits = nil
	if hits {
		m.bound()
	}
}

// scanned counts what a scanner has done since before.
func (m *Matcher) scanned(rules *selection, s *dfa.Scanner, before dfa.Stats) {
	after := s.Stats()
	m.slow.flushes += after.Flushes - before.Flushes
	m.slow.splits += after.Splits - before.Splits
	if after.Alone > before.Alone {
		for _, i := range s.Alone()[before.Alone:] {
			m.leave(rules.regexes[i], "has left the set of rules, for which it has too many states: Go's regexp runs it on every line")
		}
	}
}

// leave remembers that a regex runs on the slow path from now on.
func (m *Matcher) leave(r *regex, text string) {
	if n := r.jail.noteOn(r, text); !slices.Contains(m.left, n) {
		m.left = append(m.left, n)
	}
}

// matchAll is match without a set.
func (m *Matcher) matchAll(rd *reading, t *texts, report func(*match)) {
	for i := range t.lines {
		m.join(&t.lines[i])
		for _, j := range rd.jails {
			if rd.serves(j, &t.of[i]) {
				m.report(j, &t.of[i], report)
			}
		}
	}
}

func (m *Matcher) report(j *jail, of *text, report func(*match)) {
	if m.found = (match{of: of, jail: j}); m.judge(j, &m.found) == hit {
		report(&m.found)
	}
}

// scanner is what runs the set of a reading.
func (m *Matcher) scanner(rd *reading) *dfa.Scanner {
	if m.scanners[rd.index] == nil {
		m.scanners[rd.index] = rd.selection().set.NewScanner()
	}
	return m.scanners[rd.index]
}

// join puts the pieces of a line together. The newline behind it is what fail2ban's rules see too; where
// the end of the line was lost there is none, so that $ does not match.
func (m *Matcher) join(l *dfa.Line) {
	m.text = append(append(m.text[:0], l.Head...), l.Tail...)
	m.text = trimNewline(m.text)
	if l.Cut {
		m.text = append(m.text, "\uFFFD"...)
	} else {
		m.text = append(m.text, '\n')
	}
}
