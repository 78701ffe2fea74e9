package matchers

import "time"

// The steps of fail2ban for one line and jail. They are the same however the rules are run: the reference
// tries each one with Go's regexp; behind a set only those are tried that it has selected (selection.go), and
// their groups come from a tagged automaton (captures.go).

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
	if j.ignoresFirst() && m.any(j.ignore, &m.selected.whole, m.text) {
		return ignored
	}
	m.groups = m.groups[:0]
	content, shift, ok := m.prefix(j)
	if !ok {
		return miss
	}
	if found.rule = m.first(j.fail, &m.selected.fail, content); found.rule == nil {
		return miss
	}
	m.keep(found.rule.regex, shift, len(content))
	found.text, found.groups = m.text, m.groups
	if m.any(j.ignore, &m.selected.ignore, content) {
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
	if !m.find(j.pref, m.text, false) {
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
func (m *Matcher) first(rules []*rule, of *choice, text []byte) *rule {
	for i := of.next(m.bits, 0, len(rules)); i < len(rules); i = of.next(m.bits, i+1, len(rules)) {
		r := rules[i]
		var start time.Time
		if m.timed != nil {
			start = time.Now()
		}
		matched := m.find(r.regex, text, of.sure)
		if m.timed != nil {
			m.timed(r, time.Since(start))
		}
		if matched {
			return r
		}
	}
	return nil
}

func (m *Matcher) any(rules []*rule, of *choice, text []byte) bool {
	return m.first(rules, of, text) != nil
}

// find runs one regex and leaves its groups in m.spans; sure says that its linear form is known to match.
func (m *Matcher) find(r *regex, text []byte, sure bool) bool {
	if found, ok := m.capture(r, text, sure); ok {
		return found
	}
	var found, gaveUp bool
	if m.spans, found, gaveUp = r.find(text, m.spans[:0]); gaveUp {
		m.slow.gaveUp++
	}
	return found
}
