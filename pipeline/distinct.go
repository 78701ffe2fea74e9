package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"
)

// A table of a jail with Distinct counts values of Record.Key, not hits. In the arena it keeps two stamps for each
// value, first what the value is and then when it was last seen, sorted by the latter:
//
//	id, stamp, id, stamp …
//
// Whatever else looks at the stamps of an entry looks at the last one, its youngest.
const idWidth = 2

// longID marks what stands for a value of more than seven bytes. A shorter one's first byte is its length.
const longID = 1 << 63

// valueID is a value in eight bytes. Up to seven bytes, as every port has, it is the value itself. Of a longer one it
// is 63 bits of SHA-256: two values that fall together take billions of tries, and then spare their
// sender one offence. It is saved, so it must not depend on the process.
func valueID(key []byte) stamp {
	var id [8]byte
	if len(key) < len(id) {
		id[0] = byte(len(key))
		copy(id[1:], key)
		return stamp(binary.BigEndian.Uint64(id[:]))
	}
	sum := sha256.Sum256(key)
	return stamp(binary.BigEndian.Uint64(sum[:]) | longID)
}

// hitDistinct notes that a value was seen and returns what the different ones within findTime of it weigh, and how many
// they are. A value that comes again moves to its new time.
func (t *table) hitDistinct(addr netip.Addr, at time.Time, weight int, key []byte, now time.Time) (hits, values int) {
	s, id := newStamp(at, weight), valueID(key)
	addr16 := t.key(addr)
	i := t.find(addr16)
	if i < 0 {
		if t.maxRetry <= s.weight() {
			return s.weight(), 1
		}
		i = t.insert(addr16, s.micros(), now)
	}
	e := &t.entries[i]
	pairs := t.arena.at(e)
	t.catchUp(pairs, now)
	if old := findID(pairs, id); old >= 0 {
		if pairs[old+1].micros() > s.micros() {
			s = pairs[old+1] // a line out of order says nothing new about its value
		}
		copy(pairs[old:], pairs[old+idWidth:])
		e.n -= idWidth
		pairs = pairs[:e.n]
	}
	at64 := positionID(pairs, s)
	hits, values = t.countIDs(pairs, s, at64)
	if hits >= t.maxRetry {
		t.remove(i)
		return hits, values
	}
	t.keepID(i, id, s, at64)
	t.touch(i, now)
	return hits, values
}

// findID is where a value's pair begins; -1 if there is none. The lists are short: maxretry-1 values.
func findID(pairs []stamp, id stamp) int {
	for i := len(pairs) - idWidth; i >= 0; i -= idWidth {
		if pairs[i] == id {
			return i
		}
	}
	return -1
}

// positionID is where the pair of s belongs: behind those of the same time.
func positionID(pairs []stamp, s stamp) int {
	i := len(pairs)
	for i > 0 && pairs[i-1].micros() > s.micros() {
		i -= idWidth
	}
	return i
}

// countIDs is count for pairs.
func (t *table) countIDs(pairs []stamp, s stamp, at int) (best, n int) {
	first, sum := at, s.weight()
	for first > 0 && s.micros()-pairs[first-1].micros() <= t.findTime {
		first -= idWidth
		sum += pairs[first+1].weight()
	}
	best, n = sum, (at-first)/idWidth+1
	for i := at; i < len(pairs) && pairs[i+1].micros()-s.micros() <= t.findTime; i += idWidth {
		sum += pairs[i+1].weight()
		for first < at && pairs[i+1].micros()-pairs[first+1].micros() > t.findTime {
			sum -= pairs[first+1].weight()
			first += idWidth
		}
		if sum > best {
			best, n = sum, (i-first)/idWidth+2
		}
	}
	return best, n
}

// keepID is keep for pairs: of more than maxRetry-1 values the one that was seen longest ago goes.
func (t *table) keepID(i int, id, s stamp, at int) {
	e := &t.entries[i]
	n := int(e.n)
	if n/idWidth+1 > t.maxRetry-1 {
		if at == 0 {
			return
		}
		pairs := t.arena.at(e)
		copy(pairs, pairs[idWidth:at])
		pairs[at-2], pairs[at-1] = id, s
		return
	}
	for n+idWidth > int(room(e.class)) {
		t.arena.grow(e)
	}
	e.n += idWidth
	pairs := t.arena.at(e)
	copy(pairs[at+idWidth:], pairs[at:n])
	pairs[at], pairs[at+1] = id, s
}

// In what is saved, pairs stand behind a zero byte, which no list of stamps begins with: a jail whose distinct was
// set or taken away in between starts anew.

func appendPairs(v []byte, pairs []stamp) []byte {
	v = append(v, 0)
	last := stamp(0)
	for i := 0; i < len(pairs); i += idWidth {
		v = binary.BigEndian.AppendUint64(v, uint64(pairs[i]))
		v = binary.AppendUvarint(v, uint64(pairs[i+1]-last))
		last = pairs[i+1]
	}
	return v
}

// readPairs reads what appendPairs wrote, less the zero byte.
func readPairs(v []byte) ([]stamp, bool) {
	var pairs []stamp
	last := stamp(0)
	for len(v) > 0 {
		if len(v) < 8 {
			return nil, false
		}
		id := stamp(binary.BigEndian.Uint64(v))
		d, n := binary.Uvarint(v[8:])
		if n <= 0 {
			return nil, false
		}
		last += stamp(d)
		pairs = append(pairs, id, last)
		v = v[8+n:]
	}
	return pairs, true
}
