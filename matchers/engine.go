package matchers

import (
	"bytes"
	"time"

	"github.com/banpipe/banpipe/matchers/dfa"
	"github.com/banpipe/banpipe/pipeline"
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

	scanners []*dfa.Scanner // by view; nil until its first line
	lines    []dfa.Line
	selected *selected // of the jail that judges
	bits     []uint64  // of the line: the rules in the view's set that fit; nil if no set has seen it
	captures captures

	reference bool                              // try rule after rule with regexp: what the others are held to
	slow      slowCounts                        // since somebody set it to 0
	timed     func(r *rule, took time.Duration) // nil: nobody wants to know
}

// NewMatcher makes a Matcher for p.
func (p *Program) NewMatcher() *Matcher {
	return &Matcher{program: p, selected: &selected{}, scanners: make([]*dfa.Scanner, len(p.views))}
}

// A text is a line as the rules of a view see it: without its date, so in two pieces.
type text struct {
	line       int // index of the record
	date       pipeline.Span
	head, tail []byte
	cut        bool // the end of the line is missing
	json       bool // head is made of JSON, whose date is a field's
}

// match judges lines for all jails of a view. It calls report for each line and jail that a failregex
// matches and no ignoreregex does, jail by jail for each line.
func (m *Matcher) match(v *view, lines []text, report func(*match)) {
	if m.reference {
		m.matchAll(v, lines, report)
		return
	}
	rules, s := v.selection(), m.scanner(v)
	m.lines = m.lines[:0]
	for i := range lines {
		m.lines = append(m.lines, lines[i].pieces())
	}
	before := s.Stats()
	s.Scan(m.lines)
	m.slow.scanned(before, s.Stats())
	for i := range lines {
		if !s.Hit(i) {
			continue
		}
		m.join(&lines[i])
		m.bits = s.Rules(i)
		rules.each(m.bits, func(jail int) {
			m.selected = &rules.jails[jail]
			m.report(v.jails[jail], &lines[i], report)
		})
	}
	m.bits = nil
	clear(m.lines)
	m.bound()
}

// matchAll is match without a set.
func (m *Matcher) matchAll(v *view, lines []text, report func(*match)) {
	for i := range lines {
		m.join(&lines[i])
		for _, j := range v.jails {
			m.report(j, &lines[i], report)
		}
	}
}

func (m *Matcher) report(j *jail, of *text, report func(*match)) {
	if m.found = (match{of: of, jail: j}); m.judge(j, &m.found) == hit {
		report(&m.found)
	}
}

// scanner is what runs the set of a view.
func (m *Matcher) scanner(v *view) *dfa.Scanner {
	if m.scanners[v.index] == nil {
		m.scanners[v.index] = v.selection().set.NewScanner()
	}
	return m.scanners[v.index]
}

// join puts the pieces of a line together. The newline behind it is what fail2ban's rules see too; where
// the end of the line was lost there is none, so that $ does not match.
func (m *Matcher) join(t *text) {
	m.text = append(append(m.text[:0], t.head...), t.tail...)
	m.text = bytes.TrimRight(m.text, "\r\n")
	if t.cut {
		m.text = append(m.text, "\uFFFD"...)
	} else {
		m.text = append(m.text, '\n')
	}
}
