package matchers

import (
	"bytes"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A Matcher runs a Program: one per goroutine. This one tries the rules one after the other with Go's
// regexp, in linear time, and is the reference for whatever is faster.
type Matcher struct {
	program *Program
	text    []byte // the line as the rules see it
	content []byte // what prefregex has left of it
	spans   []int
	groups  []group
	found   match

	gaveUp int                               // times that the slow path has, since somebody set it to 0
	timed  func(r *rule, took time.Duration) // nil: nobody wants to know
}

// NewMatcher makes a Matcher for p.
func (p *Program) NewMatcher() *Matcher { return &Matcher{program: p} }

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
	for i := range lines {
		m.join(&lines[i])
		for _, j := range v.jails {
			if m.found = (match{of: &lines[i], jail: j}); m.judge(j, &m.found) == hit {
				report(&m.found)
			}
		}
	}
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

// An outcome is what a filter makes of a line.
type outcome uint8

const (
	miss outcome = iota
	hit
	ignored // a failregex and an ignoreregex match
)

// judge goes through the steps of fail2ban for one line and jail: ignoreregex on the whole line if there
// are few of them, prefregex, failregex in order, and ignoreregex on what they have seen.
func (m *Matcher) judge(j *jail, found *match) outcome {
	if j.ignoresFirst() && m.any(j.ignore, m.text) {
		return ignored
	}
	m.groups = m.groups[:0]
	content, shift, ok := m.prefix(j)
	if !ok {
		return miss
	}
	if found.rule = m.first(j.fail, content); found.rule == nil {
		return miss
	}
	m.keep(found.rule.regex, shift, len(content))
	found.text, found.groups = m.text, m.groups
	if m.any(j.ignore, content) {
		return ignored
	}
	return hit
}

// ignoresFirst reports whether ignoreregex is run on whole lines before anything else: only where there
// are fewer of them than of failregex.
func (j *jail) ignoresFirst() bool { return len(j.ignore) > 0 && len(j.ignore) < len(j.fail)-2 }

// prefix runs prefregex, remembers its groups, and returns what failregex is to see, with the place in
// the text where it begins.
func (m *Matcher) prefix(j *jail) (content []byte, shift int, ok bool) {
	if j.pref == nil {
		return m.text, 0, true
	}
	if !m.find(j.pref, m.text) {
		return nil, 0, false
	}
	m.keep(j.pref, 0, len(m.text))
	for i, g := range m.groups {
		if g.name != groupContent {
			continue
		}
		m.groups = append(m.groups[:i], m.groups[i+1:]...)
		if g.start == g.end {
			break
		}
		if g.end >= len(m.text)-1 { // it ends where the line does, with its newline or, cut off, without
			return m.text[g.start:], g.start, true
		}
		m.content = append(append(m.content[:0], m.text[g.start:g.end]...), '\n')
		return m.content, g.start, true
	}
	return m.text, 0, true
}

// first returns the first rule that matches, and leaves its groups in m.spans; nil if none does.
func (m *Matcher) first(rules []*rule, text []byte) *rule {
	for _, r := range rules {
		var start time.Time
		if m.timed != nil {
			start = time.Now()
		}
		matched := m.find(r.regex, text)
		if m.timed != nil {
			m.timed(r, time.Since(start))
		}
		if matched {
			return r
		}
	}
	return nil
}

// find runs one regex and leaves its groups in m.spans.
func (m *Matcher) find(r *regex, text []byte) bool {
	var found, gaveUp bool
	if m.spans, found, gaveUp = r.find(text, m.spans[:0]); gaveUp {
		m.gaveUp++
	}
	return found
}

func (m *Matcher) any(rules []*rule, text []byte) bool { return m.first(rules, text) != nil }
