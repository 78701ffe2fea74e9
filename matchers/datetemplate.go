package matchers

import (
	"regexp"
	"strings"
)

// defaultTemplates are the shapes of date that are looked for where a filter names none: fail2ban's 17, in its order,
// since where two fit at one place the first is taken.
func defaultTemplates() []string {
	const (
		sep    = `(?P<sep>[-/.])`
		again  = `(?P=sep)`
		clock  = `%k:%M:%S`
		micros = `(?:\.%f)?`
		zone   = `(?:\s*%z)?`
		syslog = `(?:%a )?%b %d ` + clock + micros + `(?: %ExY)?`
	)
	return []string{
		// 2005-01-23T21:59:59.981+01:00, 2005/01/23 21:59:59, 2005.01.23  8:59:59,981 Z
		`%ExY` + sep + `%m` + again + `%d(?:T| {1,2})%H:%M:%S(?:[.,]%f)?` + zone,
		// Jan 23 21:59:59, Sun Jan 23 21:59:59.011 2005
		syslog,
		// Sun Jan 23 2005 21:59:59.011
		`(?:%a )?%b %d %ExY ` + clock + micros,
		// 23/01/2005 21:59:59, 23-01-05 21:59:59
		`%d(?P<sep>[-/])%m` + again + `(?:%ExY|%Exy) ` + clock,
		// 31/Oct/2006:09:22:55 -0000, 26-Jul-2007 15:20:52.252
		`%d(?P<sep>[-/])%b` + again + `%ExY[ :]?%H:%M:%S` + micros + `(?: %z)?`,
		// 05/20/2008:01:57:39
		`%m/%d/%ExY:%H:%M:%S`,
		// 01-27-2012 16:22:44.252
		`%m-%d-%ExY ` + clock + micros,
		// 1138049999.123 at the line's start, in [ ] there, or in audit(1138049999.123:987)
		`EPOCH`,
		// 21:59:59 at the line's start
		`{^LN-BEG}%H:%M:%S`,
		// <09/16/08@05:03:30> at the line's start
		`^<%m/%d/%Exy@%H:%M:%S>`,
		// 130322 11:46:11
		`%Exy%Exm%Exd {1,2}%H:%M:%S`,
		// Jan 23, 2005 9:59:59 PM
		`%b %d, %ExY %I:%M:%S %p`,
		// Apr-27-13 02:33:06 at the line's start
		`^%b-%d-%Exy ` + clock,
		// 20050123T215959, 20050123 215959.123Z
		`%ExY%Exm%Exd(?:T| {1,2})%ExH%ExM%ExS(?:[.,]%f)?` + zone,
		// PDT Apr 16 21:05:29
		`(?:%Z )?` + syslog,
		// +00:00 Jan 23 21:59:59.011 2005
		`(?:%z )?` + syslog,
		// @4000000041f4104f00000000
		`TAI64N`,
	}
}

const (
	lineStart = "{^LN-BEG}"
	unbound   = "{UNB}"
)

// The parts that stand for numbers of seconds: EPOCH with an optional fraction, LEPOCH also in milliseconds and
// microseconds. The names of their groups are read by the parser of this package only.
const (
	epochPart     = `(?P<EPOCH>\d{10,11}\b(?:\.\d{3,6})?)`
	longEpochPart = `(?P<LEPOCH>\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?)`
	taiPart       = `(?P<TAI64N>@[0-9a-f]{24})`
)

// epochAnywhere is EPOCH without more: at the line's start, behind a [ there, or in audit( ).
func epochAnywhere(part string) string {
	return `**(?:^|(?<=^\[)|(?<=\baudit\())` + part
}

var (
	epochWord = regexp.MustCompile(`(?i)\{(L?)EPOCH\}`)
	dateWord  = regexp.MustCompile(`(?i)\{DATE\}`)
	flagWord  = regexp.MustCompile(`^\(\?[aiLmsux]+\)`)
	letters   = regexp.MustCompile(`%[aAbBpc]`)
)

// A dateTemplate is one alternative of a datepattern before it is compiled: the text without its anchors' words.
type dateTemplate struct {
	text             string // as it is compiled
	name             string // as the user wrote it
	start            bool   // {^LN-BEG}: at the line's start, behind at most two characters that are no words'
	boundFrom, bound bool   // it may not begin, or end, inside a word

	kind   dateKind // the default template that it is or holds; kindCount: none
	free   bool     // of two forms of a default template the one that is found anywhere
	family int      // forms of one template, and nothing else, have the same
}

// newTemplate reads the words that stand before and around a pattern: {UNB}, {^LN-BEG}, ** and the names of the epochs.
func newTemplate(p, name string) dateTemplate {
	t := dateTemplate{name: name, boundFrom: true, bound: true, kind: kindCount}
	if rest, ok := strings.CutPrefix(p, unbound); ok {
		p, t.boundFrom, t.bound = rest, false, false
	} else if rest, ok := strings.CutPrefix(p, lineStart); ok {
		p, t.start = rest, true
	}
	p = numberTemplate(p, &t)
	t.text = epochWord.ReplaceAllStringFunc(p, func(w string) string {
		if strings.EqualFold(w, "{EPOCH}") {
			return epochPart
		}
		return longEpochPart
	})
	if t.text != p { // all of it is cut out, whatever brackets there are
		t.text = "(" + t.text + ")"
	}
	flags := flagWord.FindString(t.text)
	t.text = t.text[len(flags):]
	t.trimStars()
	t.text = flags + t.text
	return t
}

// numberTemplate replaces a pattern that is just EPOCH, LEPOCH or TAI64N.
func numberTemplate(p string, t *dateTemplate) string {
	anchor := ""
	if rest, ok := strings.CutPrefix(p, "^"); ok {
		p, anchor = rest, "^"
	}
	part := ""
	switch strings.ToUpper(p) {
	case "EPOCH":
		part = epochPart
	case "LEPOCH":
		part = longEpochPart
	case "TAI64N":
		part = taiPart
	default:
		return anchor + p
	}
	switch {
	case anchor != "": // fail2ban reads ^EPOCH as {^LN-BEG}EPOCH
		t.start = true
	case part == taiPart && !t.start:
		t.boundFrom = false
	case !t.start:
		return epochAnywhere(part)
	}
	return part
}

// trimStars takes the ** off the ends, and the bounds with them; anchors of the line bound by themselves.
func (t *dateTemplate) trimStars() {
	lead := strings.TrimLeft(t.text, "(")
	switch {
	case strings.HasPrefix(lead, "**"):
		t.text = t.text[:len(t.text)-len(lead)] + lead[2:]
		t.boundFrom, t.start = false, false
	case strings.HasPrefix(lead, "^"), strings.HasPrefix(lead, "?:^"):
		t.boundFrom, t.start = false, false
	}
	tail := strings.TrimRight(t.text, ")")
	body := tail
	if body, _ = strings.CutSuffix(tail, "**"); body != tail && !strings.HasSuffix(body, `\`) {
		t.text = body + t.text[len(tail):]
		t.bound = false
		return
	}
	for _, end := range []string{"$", `\b`, `\s`} {
		if b, ok := strings.CutSuffix(tail, end); ok && !strings.HasSuffix(b, `\`) {
			t.bound = false
		}
	}
}

// compile makes the template's program.
func (t dateTemplate) compile() (*dateProgram, error) {
	p := dateParser{text: t.text, fold: letters.MatchString(strings.ReplaceAll(t.text, "%%", ""))}
	n, err := p.alternatives()
	if err == nil && p.more() {
		err = p.errorf(p.pos, "the bracket ) was not opened")
	}
	if err != nil {
		return nil, err
	}
	n = p.whole(n)
	if n, err = expandRefs(n); err != nil {
		return nil, err
	}
	cat := &dateNode{op: dateNodeCat}
	switch {
	case t.start:
		skip := &dateNode{op: dateNodeRepeat, max: 2, sub: []*dateNode{{op: dateNodeNonWord}}}
		cat.sub = append(cat.sub, &dateNode{op: dateNodeAssert, assert: assertStart}, skip)
	case t.boundFrom:
		cat.sub = append(cat.sub, &dateNode{op: dateNodeAssert, assert: assertOutside})
	}
	cat.sub = append(cat.sub, n)
	if t.bound {
		cat.sub = append(cat.sub, &dateNode{op: dateNodeAssert, assert: assertOutside})
	}
	return compileDate(cat)
}

// whole makes the first group the one that is cut out; if the pattern has no plain bracket, that is all of it but its anchors.
func (p *dateParser) whole(n *dateNode) *dateNode {
	for _, g := range p.groups {
		if g.op == dateNodeGroup && g.name == "" {
			p.groups[0].cut = true
			return n
		}
	}
	cat := &dateNode{op: dateNodeCat, sub: []*dateNode{n}}
	if n.op == dateNodeCat {
		*cat = *n
	}
	from, to := 0, len(cat.sub)
	if to > 0 && cat.sub[0].op == dateNodeAssert && cat.sub[0].assert == assertStart {
		from = 1
	}
	if to > from && cat.sub[to-1].op == dateNodeAssert && cat.sub[to-1].assert == assertEnd {
		to--
	}
	inner := &dateNode{
		op: dateNodeGroup, slot: slotCount, cut: true,
		sub: []*dateNode{{op: dateNodeCat, sub: append([]*dateNode(nil), cat.sub[from:to]...)}},
	}
	cat.sub = append(append(append([]*dateNode(nil), cat.sub[:from]...), inner), cat.sub[to:]...)
	return cat
}
