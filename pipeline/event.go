package pipeline

import (
	"net/netip"
	"time"
)

// An Event is one line of the history: a ban or an unban that happened in this run, with the lines that led to it.
type Event struct {
	Time   time.Time // by the clock, when it was decided
	Action Action
	Lines  []string // hostile bytes, oldest first; at most 5 of 256 bytes each; none for an action by hand
}

// How much of what led to a ban is kept for people.
const (
	samplesKept    = 2048 // hits that the ring remembers, of all jails and addresses
	samplesPerBan  = 5
	sampleMaxBytes = 256
)

// samples remembers the last hits of all jails in one ring, so that their memory is bounded whatever the
// number of addresses. It belongs to the end of the line.
type samples struct {
	ring []sample
	next int
}

type sample struct {
	jail string
	addr netip.Addr
	line []byte // reused
}

func (s *samples) add(r *Record) {
	if s.ring == nil {
		s.ring = make([]sample, samplesKept)
	}
	e := &s.ring[s.next]
	s.next = (s.next + 1) % len(s.ring)
	e.jail, e.addr = r.Jail, r.Addr
	e.line = append(e.line[:0], r.Line[:min(len(r.Line), sampleMaxBytes)]...)
}

// of returns the last lines of an address in a jail, oldest first. It walks the ring: bans are rare.
func (s *samples) of(jail string, p netip.Prefix) (lines []string) {
	for i := range s.ring {
		e := &s.ring[(s.next+i)%len(s.ring)]
		if e.jail == jail && e.addr.IsValid() && p.Contains(e.addr) {
			lines = append(lines, string(e.line))
		}
	}
	if n := len(lines) - samplesPerBan; n > 0 {
		lines = lines[n:]
	}
	return lines
}
