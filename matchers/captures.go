package matchers

import (
	"slices"

	"github.com/banpipe/banpipe/matchers/dfa"
)

// captures are the tagged automata of the rules that have matched, for one Matcher. They find only the groups
// that somebody asks for: who is to blame, what `distinct` counts, and what Session joins lines by. A rule
// that makes states on and on is left to regexp.
type captures struct {
	caches []*dfa.CaptureCache // by regex.number; nil until its first match
	lost   []bool              // by regex.number: those that no automaton runs
	spans  []int
}

// maxCaptures is what the automata of a Matcher may take together, in bytes. Beyond that all start anew.
const maxCaptures = 8 << 20

// capture finds the groups of a regex and leaves them in m.spans; sure says that the regex is known to match.
// ok is false where regexp must do it.
func (m *Matcher) capture(r *regex, text []byte, sure bool) (found, ok bool) {
	if m.bits == nil {
		return false, false
	}
	if r.slow != nil {
		m.slow.backtracked++
		return false, false
	}
	cache := m.cache(r)
	if cache == nil {
		m.slow.confirmed++
		return false, false
	}
	spans, found, thrashes := cache.Find(text, nil, nil, sure, m.captures.spans[:0])
	if m.captures.spans = spans; thrashes {
		m.slow.confirmed++
		m.captures.lost[r.number], m.captures.caches[r.number] = true, nil
		m.leave(r, "has too many states for its lines: Go's regexp finds its groups")
		return false, false
	}
	if found {
		m.spans = r.ofSource(spans, m.spans[:0])
	}
	return found, true
}

// cache is what runs r; nil if no automaton does.
func (m *Matcher) cache(r *regex) *dfa.CaptureCache {
	c := &m.captures
	if c.caches == nil {
		c.caches, c.lost = make([]*dfa.CaptureCache, m.program.regexes), make([]bool, m.program.regexes)
	}
	if c.caches[r.number] == nil && !c.lost[r.number] {
		automaton := r.captures()
		if automaton == nil {
			c.lost[r.number] = true
			m.leave(r, "is too large for an automaton: Go's regexp finds its groups")
			return nil
		}
		c.caches[r.number] = automaton.NewCache()
	}
	return c.caches[r.number]
}

// bound keeps the captures within their limit.
func (m *Matcher) bound() {
	size := 0
	for _, c := range m.captures.caches {
		if c != nil {
			size += c.Stats().Bytes
		}
	}
	if size > maxCaptures {
		clear(m.captures.caches)
		m.slow.flushes++
	}
}

// ofSource appends the spans of the source's groups, made of those of the linear form's.
func (r *regex) ofSource(spans, into []int) []int {
	base := len(into)
	for range 2 * len(r.names) {
		into = append(into, -1)
	}
	for i, group := range r.groups {
		if spans[2*i] >= 0 {
			copy(into[base+2*group:], spans[2*i:2*i+2])
		}
	}
	return into
}

// wanted is which groups of the linear form of r somebody asks for.
func (j *jail) wanted(r *regex) []int {
	names := []string{groupIP4, groupIP6, groupDNS, groupID, groupContent, j.distinct}
	if j.hasSessions() {
		names = append(names, groupSession, groupUser, groupNoFail, groupForget, groupGained, groupOnce)
	} else {
		names = append(names, groupNoFail, groupGained)
	}
	for _, a := range r.alts {
		if slices.Contains(names, a.to) {
			names = append(names, a.from)
		}
	}
	groups := []int{}
	for i, of := range r.groups {
		if name := r.names[of]; name != "" && slices.Contains(names, name) {
			groups = append(groups, i)
		}
	}
	return groups
}

// hasSessions reports whether a filter joins lines of one connection.
func (j *jail) hasSessions() bool {
	return j.pref != nil && j.pref.has(groupSession) || slices.ContainsFunc(j.fail, func(r *rule) bool { return r.has(groupSession) })
}
