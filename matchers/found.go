package matchers

import (
	"net/netip"

	"github.com/banpipe/banpipe/pipeline"
)

// A group is a named group of a match; start and end count in the text of the match.
type group struct {
	name       string
	start, end int
}

// A match is a line that a rule of a jail has matched. It is good only during the call that gets it.
type match struct {
	of     *text
	jail   *jail
	rule   *rule
	text   []byte
	groups []group // those that took part; none twice
}

// fill writes what the match says into the record of its line: it is a hit, or a note for Session. b keeps
// what is no part of the line. It returns false where whoever is to blame is no address.
func (m *match) fill(r *pipeline.Record, b *pipeline.Batch) bool {
	addr, named := m.host()
	id := m.get(groupSession)
	name := m.name(addr)
	if named && !addr.IsValid() && name == nil || !named && id == nil {
		return false
	}
	r.Kind, r.Jail, r.Addr, r.Weight = pipeline.Hit, m.jail.name, addr, m.rule.weight
	if m.jail.distinct != "" {
		r.Key = b.Hold(m.get(m.jail.distinct))
	}
	e := m.event(id, addr)
	switch {
	case e.gained && addr.IsValid():
		r.Kind = pipeline.Login
	case !e.counts():
		r.Kind = pipeline.Note
	}
	var space [2*maxID + maxUser + maxNameText]byte
	mark := space[:0]
	if name != nil {
		mark = appendBytes(append(mark, nameMark), name)
		r.Kind = pipeline.Note
	}
	if id != nil {
		mark = e.append(mark)
	}
	if r.Session = nil; len(mark) > 0 {
		r.Session = b.Hold(mark)
	}
	return name == nil || id != nil || !e.noFail && !e.gained
}

// name is the host's name that is to be looked up; nil if there is an address, or if names are no hosts.
func (m *match) name(addr netip.Addr) []byte {
	if addr.IsValid() || m.jail.filter.UseDNS != "yes" && m.jail.filter.UseDNS != "warn" {
		return nil
	}
	if name := m.get(groupDNS); isHostName(name) {
		return name
	}
	return nil
}

// get is the text of a group; nil if it took no part.
func (m *match) get(name string) []byte {
	for _, g := range m.groups {
		if g.name == name {
			return m.text[g.start:g.end:g.end]
		}
	}
	return nil
}

// keep adds the named groups of m.spans, which count in size bytes from shift on, to m.groups. A group of
// failregex replaces one of prefregex, even if it took no part; <F-ALT_X> stands in for <F-X> where that
// is empty.
func (m *Matcher) keep(r *regex, shift, size int) {
	first := len(m.groups)
	for i, name := range r.names {
		if name == "" {
			continue
		}
		if start, end := m.spans[2*i], m.spans[2*i+1]; start >= 0 {
			end = min(end, size-1) // not the newline
			m.groups = append(m.groups, group{name, min(start, end) + shift, end + shift})
		}
		first -= m.drop(name, first)
	}
	for _, a := range r.alts {
		from := m.index(a.from, first)
		if from < 0 || m.groups[from].start == m.groups[from].end {
			continue
		}
		if to := m.index(a.to, first); to < 0 {
			m.groups = append(m.groups, group{a.to, m.groups[from].start, m.groups[from].end})
		} else if m.groups[to].start == m.groups[to].end {
			m.groups[to] = group{a.to, m.groups[from].start, m.groups[from].end}
		}
	}
}

// index finds a group behind the first ones; -1 if there is none of that name.
func (m *Matcher) index(name string, first int) int {
	for i := first; i < len(m.groups); i++ {
		if m.groups[i].name == name {
			return i
		}
	}
	return -1
}

// drop removes a group from among the first n, and says how many it has removed.
func (m *Matcher) drop(name string, n int) int {
	if i := m.index(name, 0); i >= 0 && i < n {
		m.groups = append(m.groups[:i], m.groups[i+1:]...)
		return 1
	}
	return 0
}
