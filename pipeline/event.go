package pipeline

import (
	"encoding/binary"
	"net/netip"
	"slices"
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
// number of addresses. Hits of one address are chained, the latest first, since under attack there are thousands of bans a
// second. It belongs to the end of the line.
type samples struct {
	ring  []sample
	added uint32              // the hits so far: the number of the latest
	heads [samplesKept]uint32 // by a hash of the address: the number of its latest hit, 0 if there is none
}

type sample struct {
	jail string
	addr netip.Addr
	line []byte // reused
	next uint32 // the number of the hit before it with the same hash
}

func (s *samples) add(r *Record) {
	if s.ring == nil {
		s.ring = make([]sample, samplesKept)
	}
	if s.added++; s.added == 0 { // the numbers begin anew: nothing is found of what was before
		s.heads, s.added = [samplesKept]uint32{}, 1
		clear(s.ring)
	}
	e, h := s.at(s.added), sampleHash(r.Addr)
	e.jail, e.addr, e.next = r.Jail, r.Addr, s.heads[h]
	e.line = append(e.line[:0], r.Line[:min(len(r.Line), sampleMaxBytes)]...)
	s.heads[h] = s.added
}

func (s *samples) at(number uint32) *sample { return &s.ring[number%samplesKept] }

// has reports whether the ring still holds a hit.
func (s *samples) has(number uint32) bool { return number > 0 && s.added-number < samplesKept }

func sampleHash(addr netip.Addr) uint64 {
	b := addr.As16()
	return (binary.LittleEndian.Uint64(b[:]) ^ binary.LittleEndian.Uint64(b[8:])) * 0x9e3779b97f4a7c15 >> 53 // to 2048
}

// of returns the last lines of an address in a jail, oldest first.
func (s *samples) of(jail string, p netip.Prefix) (lines []string) {
	number, single := s.added, p.IsSingleIP()
	if single {
		number = s.heads[sampleHash(p.Addr())]
	}
	for s.has(number) && len(lines) < samplesPerBan {
		e := s.at(number)
		if e.jail == jail && e.addr.IsValid() && p.Contains(e.addr) {
			lines = append(lines, string(e.line))
		}
		if number--; single {
			number = e.next
		}
	}
	slices.Reverse(lines)
	return lines
}
