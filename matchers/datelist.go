package matchers

import (
	"fmt"
	"regexp"
	"strings"
)

// A dateList collects templates and the groups that they form.
type dateList struct {
	all    []dateTemplate
	groups []dateGroup
	known  map[string]bool
}

// add appends the templates that are not there yet, as one group; fast makes its fast twin.
func (l *dateList) add(ts []dateTemplate, fast func(from int) *dateFast) {
	g := dateGroup{from: len(l.all)}
	for _, t := range ts {
		if key := fmt.Sprint(t.text, t.start, t.boundFrom, t.bound); !l.known[key] {
			l.known[key] = true
			t.family = g.from*int(kindCount+1) + int(t.kind)
			l.all = append(l.all, t)
		}
	}
	g.to = len(l.all)
	if g.to-g.from == len(ts) { // a group with gaps has no fast twin
		g.fast = fast(g.from)
	}
	l.groups = append(l.groups, g)
}

// pattern adds what one alternative of a datepattern stands for: the words {DEFAULT}, {DATE} and {^LN-BEG} are many.
func (l *dateList) pattern(p string) {
	word := p
	if !strings.Contains(p, "%") {
		word = strings.ToUpper(p)
	}
	switch {
	case word == "{DEFAULT}", word == lineStart:
		ts := allDefaults(word == lineStart)
		l.add(ts, func(from int) *dateFast { return fastDefaults(from, ts) })
	case word == "{NONE}":
		l.add([]dateTemplate{newTemplate(unbound+"^()", p)}, func(int) *dateFast { return nil })
	case dateWord.MatchString(p) && !escaped(p, dateWord):
		ts := dateTemplates(p)
		l.add(ts, func(from int) *dateFast { return fastPrefix(p, from, ts) })
	default:
		t := newTemplate(p, p)
		l.add([]dateTemplate{t}, func(from int) *dateFast { return fastSingle(p, from, t) })
	}
}

// expandTemplates lists what a datepattern's alternatives stand for.
func expandTemplates(patterns []string) *dateList {
	l := &dateList{known: map[string]bool{}}
	for _, p := range patterns {
		if p = strings.TrimSpace(p); p != "" {
			l.pattern(p)
		}
	}
	if len(l.all) == 0 {
		l.pattern("{DEFAULT}")
	}
	return l
}

// allDefaults lists the default templates: those at the line's start first, which nothing inside a line can precede,
// then, unless anchored, the others.
func allDefaults(anchored bool) (list []dateTemplate) {
	put := func(k int, text string, free bool) {
		t := newTemplate(text, text)
		t.kind, t.free = dateKind(k), free
		list = append(list, t)
	}
	for k, d := range defaultTemplates() {
		if !startKinds.has(dateKind(k)) {
			put(k, lineStart+d, false)
		} else if anchored {
			put(k, d, false)
		}
	}
	if anchored {
		return list
	}
	for k, d := range defaultTemplates() {
		put(k, d, !startKinds.has(dateKind(k)))
	}
	return list
}

// dateTemplates puts each default template in the place of {DATE}. EPOCH and TAI64N take part only where {DATE}
// is the whole pattern, as in fail2ban.
func dateTemplates(p string) (list []dateTemplate) {
	for k, d := range defaultTemplates() {
		d = strings.TrimPrefix(strings.TrimPrefix(d, unbound), lineStart)
		text := dateWord.ReplaceAllLiteralString(p, d)
		if (d == "EPOCH" || d == "TAI64N") && text != d && text != "^"+d && text != lineStart+d {
			continue
		}
		t := newTemplate(text, p)
		t.kind = dateKind(k)
		list = append(list, t)
	}
	return list
}

// escaped says that the word is meant literally: a backslash stands before it.
func escaped(p string, word *regexp.Regexp) bool {
	i := word.FindStringIndex(p)[0]
	return i > 0 && p[i-1] == '\\'
}
