package matchers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/banpipe/banpipe/matchers/dfa"
)

// The addresses of forged lines, from blocks that belong to nobody (RFC 5737, RFC 3849).
const (
	realHost    = "192.0.2.1"
	forgedHost  = "198.51.100.66"
	sampleTries = 60
)

// ForgeableRules lists the failregexes that blame whomever an attacker names. For each one lines are made
// up that it matches; into each part that a remote party may have written (a user's name, whatever .*
// stands for) an address is put in the way in which the rule expects one; and where the jail then blames
// that address the rule is listed, with the line. It says nothing about a rule for which no line could be
// made up. It takes some milliseconds per rule.
func (p *Program) ForgeableRules() []Note {
	var notes []Note
	for _, v := range p.views {
		for _, j := range slices.Concat(v.jails, v.buffered) {
			f := forger{matcher: p.NewMatcher(), jail: j, Rand: rand.New(rand.NewPCG(1, 1))}
			for _, r := range j.fail {
				if line := f.fool(r); line != "" {
					text := fmt.Sprintf("a forged line fools it: %q counts against %s", line, forgedHost)
					notes = append(notes, j.note(r.line, fmt.Sprintf("failregex %d", r.index+1), text))
				}
			}
		}
	}
	return notes
}

// A forger makes up lines for the rules of one jail.
type forger struct {
	*rand.Rand
	matcher *Matcher
	jail    *jail
	plain   bool // leave out what may be left out
}

// A sample is a line that was made up.
type sample struct {
	text   []byte
	fields []field
	groups map[int][]byte // what captures stand for, by their number
}

// A field is a part of a sample that a remote party may have written.
type field struct {
	start, end int
	set        runeSet // what it may hold; nil for anything
}

// fool returns a line on which the jail blames the forged address; "" if none was found.
func (f *forger) fool(r *rule) string {
	for i := range sampleTries {
		f.plain = i < sampleTries/2
		s := f.sample(r)
		if s == nil {
			continue
		}
		for _, field := range s.fields {
			for _, payload := range payloads(s.text, field) {
				if field.set != nil && strings.ContainsFunc(payload, func(r rune) bool { return !field.set.has(r) }) {
					continue
				}
				line := slices.Concat(s.text[:field.start], []byte(payload), s.text[field.end:])
				if f.blames(line, nil) == forgedHost {
					return string(line)
				}
			}
		}
	}
	return ""
}

// payloads are what to put into a field: an address as common logs have it, and what follows the field in
// the line itself, with another address in it.
func payloads(text []byte, at field) []string {
	value, rest := string(text[at.start:at.end]), string(text[at.end:])
	list := []string{
		"@", " @", " @ ", "[@]", "(@)", "<@>", `"@"`, "x from @", "x from @ port 1 ssh2", "x from @ port 1 ssh2: ", "x from @: ",
		"x, client: @, server: x", "x SRC=@ ", "x rhost=@ ", "x rip=@, ", "x [@]: ", "x (@) ", "x host @ ",
	}
	for i := range list {
		list[i] = strings.ReplaceAll(list[i], "@", forgedHost)
	}
	forged := strings.ReplaceAll(rest, realHost, forgedHost)
	if _, behind, found := strings.Cut(forged, forgedHost); found {
		short := value + strings.TrimSuffix(forged, behind)
		list = append(list, value+forged, value+forged+":", value+forged+": ", value+forged+" ", short, short+" ")
	}
	whole := strings.ReplaceAll(string(text), realHost, forgedHost)
	return append(list, whole, " "+whole)
}

// blames returns the address that the jail blames for a line, by the rule r if that is not nil. What is
// only noted counts too, since a session will blame it for something else; a login that won does not: its
// user's name is the machine's own.
func (f *forger) blames(line []byte, r *rule) string {
	if bytes.ContainsAny(line, "\n\r") {
		return ""
	}
	f.matcher.join(&dfa.Line{Head: line})
	found := match{jail: f.jail}
	if f.matcher.judge(f.jail, &found) != hit || r != nil && found.rule != r {
		return ""
	}
	host, _ := found.host()
	if !host.IsValid() || len(found.get(groupGained)) > 0 {
		return ""
	}
	return host.String()
}

// sample makes up a line that r matches and that blames the real address; nil if this try gave none.
func (f *forger) sample(r *rule) *sample {
	s := &sample{groups: map[int][]byte{}}
	f.write(s, r.expr, r.expr.root, nil)
	if pref := f.jail.pref; pref != nil {
		outer := &sample{groups: map[int][]byte{}}
		f.write(outer, pref.expr, pref.expr.root, s)
		s = outer
	}
	if f.blames(s.text, r) != realHost {
		return nil
	}
	return s
}

// write adds a text that n matches. Look-arounds are left to chance.
func (f *forger) write(s *sample, e *expr, n *node, content *sample) {
	switch n.op {
	case opClass:
		s.text = utf8.AppendRune(s.text, f.rune(n.set))
	case opConcat:
		for _, sub := range n.subs {
			f.write(s, e, sub, content)
		}
	case opAlt:
		f.write(s, e, n.subs[f.IntN(len(n.subs))], content)
	case opAtomic:
		f.write(s, e, n.subs[0], content)
	case opCond:
		branch := 1
		if s.groups[n.group] != nil {
			branch = 0
		}
		f.write(s, e, n.subs[branch], content)
	case opBackref:
		s.text = append(s.text, s.groups[n.group]...)
	case opRepeat:
		f.repeat(s, e, n, content)
	case opCapture:
		f.capture(s, e, n, content)
	}
}

func (f *forger) repeat(s *sample, e *expr, n *node, content *sample) {
	count := n.min + f.IntN(2)*f.IntN(4)
	if f.plain {
		count = n.min
	}
	if n.max >= 0 {
		count = min(count, n.max)
	}
	start := len(s.text)
	for range count {
		f.write(s, e, n.subs[0], content)
	}
	body := n.subs[0]
	if parts := row(body); len(parts) > 0 && parts[0].op == opLook {
		body = parts[len(parts)-1] // a tempered dot
	}
	if body.op == opClass && body.set.has('a') && body.set.has('.') && n.max != 1 {
		s.fields = append(s.fields, field{start, len(s.text), body.set})
	}
}

func (f *forger) capture(s *sample, e *expr, n *node, content *sample) {
	start := len(s.text)
	switch name := e.names[n.group]; {
	case name == groupIP4:
		s.text = append(s.text, realHost...)
	case name == groupIP6:
		s.text = append(s.text, "2001:db8::1"...)
	case name == groupContent && content != nil:
		for _, c := range content.fields {
			s.fields = append(s.fields, field{c.start + start, c.end + start, c.set})
		}
		s.text = append(s.text, content.text...)
	default:
		f.write(s, e, n.subs[0], content)
		if strings.Contains(name, groupUser) && !strings.HasPrefix(name, "cond_") && n.contains(isOp(opRepeat)) {
			s.fields = append(s.fields, field{start, len(s.text), writable(n)})
		}
	}
	s.groups[n.group] = append([]byte{}, s.text[start:]...)
}

// writable is what a remote party may put where the capture n stands; nil for anything. A rule's \S or \w
// keeps nothing out of a name, but where a class leaves out a delimiter and little else, as [^:] does, that
// is taken for what the writer of the log makes sure of.
func writable(n *node) runeSet {
	var set runeSet
	n.contains(func(n *node) bool {
		if n.op == opClass && n.set.has('a') && n.set.has('.') {
			set = set.union(n.set)
		}
		return false
	})
	const delimiters = 2
	kept := set.union(spaceSet).negate()
	if len(kept) == 0 || len(kept) > 2*delimiters || kept[0] != kept[1] {
		return nil
	}
	return set.union(spaceSet)
}

// rune picks one of a set, the simplest that there is as a rule.
func (f *forger) rune(set runeSet) rune {
	for _, r := range "xa1 ." {
		if set.has(r) && f.IntN(8) > 0 {
			return r
		}
	}
	for range 8 {
		if r := rune('!' + f.IntN('~'-'!')); set.has(r) {
			return r
		}
	}
	return set[0]
}
