package pipeline

import (
	"hash/maphash"
	"iter"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// A stamp is one offence: microseconds since 1970 in the upper 52 bits (until 2112), its weight in the lower 12.
// Stamps sort by time.
type stamp int64

const (
	weightBits = 12
	maxWeight  = 1<<weightBits - 1
)

func newStamp(t time.Time, weight int) stamp {
	return stamp(t.UnixMicro())<<weightBits | stamp(min(weight, maxWeight))
}

func (s stamp) micros() int64 { return int64(s >> weightBits) }
func (s stamp) weight() int   { return int(s & maxWeight) }

// A table is the window of one jail. It holds no pointers, so a million addresses cost the garbage
// collector nothing:
//
//	index (open addressing) ─► entries ─► arena (the stamps of each)
//	                             │
//	                             └─ linked into one of two lists, by when they were last touched
//
// The lists are what makes room in O(1): addresses with one offence, and the others.
type table struct {
	maxRetry, maxTracked int
	findTime             int64 // µs
	distinct             bool  // it counts values: see distinct.go

	bits4, bits6 int                   // of the networks that are counted as one, as lengths of v6 prefixes
	ignore       []netip.Prefix        // Jail.Ignore and Trusted
	apart        map[[16]byte]struct{} // networks of which each address is counted by itself

	seed    maphash.Seed
	index   []uint32 // slots: tag and entry+1; 0 is empty; a power of two, at most 7/8 full
	entries []entry
	free    uint32 // entry+1 of the first free one, linked by next
	used    int
	tracked *atomic.Int64 // used, for other goroutines; nil in tests of a table alone
	arena   *arena
	lists   [2]list // singles, others

	dirty []uint32   // entries to be saved
	gone  [][16]byte // addresses to be deleted from what is saved
}

// An entry is one address. 40 bytes.
type entry struct {
	addr       [16]byte
	slot       uint32 // where its stamps lie in the arena's class
	prev, next uint32 // entry+1 in its list; 0 ends it
	touched    uint32 // unix seconds, by the clock
	n          uint16 // stamps
	class      uint8
	flags      uint8
}

const (
	inUse   uint8 = 1 << iota
	isDirty       // in table.dirty, whether in use or not: so that list is never longer than entries
	isSaved       // the store has this address: so gone is never longer than what the store has
	isMany        // in the second list
)

type list struct{ oldest, youngest uint32 } // entry+1

func newTable(j Jail, a *arena) *table {
	most := math.MaxUint16 // stamps that an entry can have
	if j.Distinct {
		most /= idWidth
	}
	return &table{
		distinct: j.Distinct, maxRetry: min(j.maxRetry(), most), maxTracked: min(j.maxTracked(), maxEntries), findTime: j.findTime().Microseconds(),
		bits4: 96 + orDefault(j.Prefix4, 32), bits6: orDefault(j.Prefix6, 128), ignore: slices.Concat(j.Ignore, j.Trusted),
		seed: maphash.MakeSeed(), index: make([]uint32, 16), arena: a,
	}
}

// publish lets other goroutines see how many addresses there are.
func (t *table) publish() {
	if t.tracked != nil {
		t.tracked.Store(int64(t.used))
	}
}

// hit counts an offence and returns what those within findTime of it weigh, and how many they are.
func (t *table) hit(addr netip.Addr, at time.Time, weight int, now time.Time) (hits, offences int) {
	s := newStamp(at, weight)
	key := t.key(addr)
	i := t.find(key)
	if i < 0 {
		if t.maxRetry <= s.weight() {
			return s.weight(), 1 // nothing to remember
		}
		i = t.insert(key, s.micros(), now)
	}
	e := &t.entries[i]
	stamps := t.arena.at(e)
	t.catchUp(stamps, now)
	at64 := position(stamps, s)
	hits, offences = t.count(stamps, s, at64)
	if hits >= t.maxRetry {
		t.remove(i)
		return hits, offences
	}
	t.keep(i, s, at64)
	t.touch(i, now)
	return hits, offences
}

// catchUp moves offences of a time to come to now: the clock was set back. They would hide those that follow, since the
// youngest are kept.
func (t *table) catchUp(stamps []stamp, now time.Time) {
	if n := len(stamps); n == 0 || stamps[n-1].micros() <= now.Add(time.Minute).UnixMicro() {
		return
	}
	first, width := 0, 1
	if t.distinct {
		first, width = 1, idWidth
	}
	for i := first; i < len(stamps); i += width {
		stamps[i] = min(stamps[i], newStamp(now, stamps[i].weight()))
	}
}

// position is where s belongs among the sorted stamps: behind its equals.
func position(stamps []stamp, s stamp) int {
	i := len(stamps) // nearly always: lines come in order
	for i > 0 && stamps[i-1] > s {
		i--
	}
	return i
}

// count is the largest weight of offences, s among them, that lie within findTime of one another, and their number.
func (t *table) count(stamps []stamp, s stamp, at int) (best, n int) {
	first, sum := at, s.weight()
	for first > 0 && s.micros()-stamps[first-1].micros() <= t.findTime {
		first--
		sum += stamps[first].weight()
	}
	best, n = sum, at-first+1
	// Offences younger than s exist only where lines come out of order: slide the window over them.
	for i := at; i < len(stamps) && stamps[i].micros()-s.micros() <= t.findTime; i++ {
		sum += stamps[i].weight()
		for first < at && stamps[i].micros()-stamps[first].micros() > t.findTime {
			sum -= stamps[first].weight()
			first++
		}
		if sum > best {
			best, n = sum, i-first+2
		}
	}
	return best, n
}

// keep inserts s; of more than maxRetry-1 stamps the oldest goes: whatever a later offence completes
// with it, it completes with the younger ones.
func (t *table) keep(i int, s stamp, at int) {
	e := &t.entries[i]
	n := int(e.n)
	if n+1 > t.maxRetry-1 {
		if at == 0 {
			return
		}
		stamps := t.arena.at(e)
		copy(stamps, stamps[1:at])
		stamps[at-1] = s
		return
	}
	if n == int(room(e.class)) {
		t.arena.grow(e)
	}
	e.n++
	stamps := t.arena.at(e)
	copy(stamps[at+1:], stamps[at:n])
	stamps[at] = s
}

// A slot of the index has an entry+1 in its lower 24 bits and 8 bits of the hash above them, so that passing
// somebody else's slot does not cost a look at his entry: a cache miss.
const (
	slotBits   = 24
	slotMask   = 1<<slotBits - 1
	maxEntries = slotMask - 1
)

func tag(hash uint64) uint32 { return uint32(hash>>56) << slotBits }

func (t *table) find(key [16]byte) int {
	mask := uint64(len(t.index) - 1)
	hash := t.hash(key)
	for h := hash & mask; t.index[h] != 0; h = (h + 1) & mask {
		if t.index[h]&^slotMask != tag(hash) {
			continue
		}
		if i := t.index[h]&slotMask - 1; t.entries[i].addr == key {
			return int(i)
		}
	}
	return -1
}

func (t *table) hash(key [16]byte) uint64 { return maphash.Bytes(t.seed, key[:]) }

// insert makes an entry without stamps for key, and room for it.
func (t *table) insert(key [16]byte, micros int64, now time.Time) int {
	t.expire(micros, now)
	if t.used >= t.maxTracked {
		t.remove(t.victim(micros))
	}
	if (t.used+1)*8 > len(t.index)*7 {
		t.rehash()
	}
	var i uint32
	if t.free != 0 {
		i = t.free - 1
		t.free = t.entries[i].next
	} else {
		i = uint32(len(t.entries))
		t.extend()
	}
	t.entries[i] = entry{addr: key, flags: inUse | t.entries[i].flags&isDirty}
	t.entries[i].slot = t.arena.get(0)
	t.used++
	t.place(i)
	t.link(i)
	return int(i)
}

// extend adds room for one entry.
func (t *table) extend() {
	if len(t.entries) == cap(t.entries) {
		t.entries = slices.Grow(t.entries, 64)
	}
	t.entries = t.entries[:len(t.entries)+1]
}

func (t *table) place(i uint32) {
	mask := uint64(len(t.index) - 1)
	hash := t.hash(t.entries[i].addr)
	h := hash & mask
	for t.index[h] != 0 {
		h = (h + 1) & mask
	}
	t.index[h] = tag(hash) | (i + 1)
}

func (t *table) rehash() {
	t.index = make([]uint32, 2*len(t.index))
	for i := range t.entries {
		if t.entries[i].flags&inUse != 0 {
			t.place(uint32(i))
		}
	}
}

// expire drops up to two addresses that can no longer be part of anything: their offences lie more
// than findTime before the one at micros, and nobody touched them for that long and an hour by the clock. The hour is
// for sources that lag behind one another, as they do when a backlog is read.
func (t *table) expire(micros int64, now time.Time) {
	for l := range t.lists {
		i := t.lists[l].oldest
		if i == 0 {
			continue
		}
		e := &t.entries[i-1]
		idle := now.Unix() - int64(e.touched)
		if t.stale(e, micros) && idle > t.findTime/1e6+3600 {
			t.remove(int(i - 1))
		}
	}
}

func (t *table) stale(e *entry, micros int64) bool {
	stamps := t.arena.at(e)
	return len(stamps) > 0 && micros-stamps[len(stamps)-1].micros() > t.findTime
}

// victim is the entry that makes room for another.
func (t *table) victim(micros int64) int {
	singles, many := t.lists[0].oldest, t.lists[1].oldest
	switch {
	case singles == 0, many != 0 && t.stale(&t.entries[many-1], micros):
		return int(many - 1)
	default:
		return int(singles - 1)
	}
}

// remove forgets an entry, also in what is saved.
func (t *table) remove(i int) {
	e := &t.entries[i]
	if e.flags&isSaved != 0 {
		t.gone = append(t.gone, e.addr)
	}
	t.unindex(e.addr)
	t.unlink(uint32(i))
	t.arena.put(e.class, e.slot)
	*e = entry{next: t.free, flags: e.flags & isDirty}
	t.free = uint32(i) + 1
	t.used--
}

// unindex deletes without tombstones: what stands behind moves up where it may.
func (t *table) unindex(key [16]byte) {
	mask := uint64(len(t.index) - 1)
	h := t.hash(key) & mask
	for t.entries[t.index[h]&slotMask-1].addr != key {
		h = (h + 1) & mask
	}
	for next := (h + 1) & mask; t.index[next] != 0; next = (next + 1) & mask {
		home := t.hash(t.entries[t.index[next]&slotMask-1].addr) & mask
		if (next-home)&mask >= (next-h)&mask {
			t.index[h] = t.index[next]
			h = next
		}
	}
	t.index[h] = 0
}

// touch moves an entry to the young end of the list it belongs to, and notes that it must be saved. The lists
// are in order of seconds: within one an entry stays where it is, which spares the cache its neighbours.
func (t *table) touch(i int, now time.Time) {
	e := &t.entries[i]
	moves := e.n > 1 && e.flags&isMany == 0 && (e.n > idWidth || !t.distinct)
	if second := uint32(now.Unix()); e.touched != second || moves {
		t.unlink(uint32(i))
		e.touched = second
		if moves {
			e.flags |= isMany
		}
		t.link(uint32(i))
	}
	if e.flags&isDirty == 0 {
		e.flags |= isDirty
		t.dirty = append(t.dirty, uint32(i))
	}
}

func (t *table) list(e *entry) *list {
	if e.flags&isMany != 0 {
		return &t.lists[1]
	}
	return &t.lists[0]
}

func (t *table) link(i uint32) {
	e := &t.entries[i]
	l := t.list(e)
	e.prev, e.next = l.youngest, 0
	if l.youngest != 0 {
		t.entries[l.youngest-1].next = i + 1
	} else {
		l.oldest = i + 1
	}
	l.youngest = i + 1
}

func (t *table) unlink(i uint32) {
	e := &t.entries[i]
	l := t.list(e)
	if e.prev != 0 {
		t.entries[e.prev-1].next = e.next
	} else {
		l.oldest = e.next
	}
	if e.next != 0 {
		t.entries[e.next-1].prev = e.prev
	} else {
		l.youngest = e.prev
	}
}

func (t *table) forget(addr netip.Addr) {
	if i := t.find(t.key(addr)); i >= 0 {
		t.remove(i)
	}
}

// forgetPrefix walks the whole table for anything wider than a host: done by hand, seldom.
func (t *table) forgetPrefix(p netip.Prefix) {
	t.forget(p.Addr()) // or the network that p is a part of
	if p.IsSingleIP() {
		return
	}
	for i := range t.entries {
		if e := &t.entries[i]; e.flags&inUse != 0 && p.Contains(netip.AddrFrom16(e.addr).Unmap()) {
			t.remove(i)
		}
	}
}

// changed yields what must be saved, nil stamps for what must be deleted, and counts it as saved.
func (t *table) changed(full bool) iter.Seq2[[16]byte, []stamp] {
	return func(yield func([16]byte, []stamp) bool) {
		if !full {
			for _, addr := range t.gone { // before dirty: it may have come back since
				yield(addr, nil)
			}
		}
		if full {
			t.dirty = t.dirty[:0]
			for i := range t.entries {
				t.dirty = append(t.dirty, uint32(i))
			}
		}
		for _, i := range t.dirty {
			e := &t.entries[i]
			e.flags &^= isDirty
			if e.flags&inUse == 0 {
				continue // removed since
			}
			e.flags |= isSaved
			yield(e.addr, t.arena.at(e))
		}
		t.dirty, t.gone = shrink(t.dirty), shrink(t.gone)
	}
}

// shrink empties a list and lets go of it if one busy moment had made it large.
func shrink[T any](s []T) []T {
	if cap(s) > 64<<10 {
		return nil
	}
	return s[:0]
}

// load puts back one saved address, as if touched now. It reports false for one that is counted as a part of a network
// now: prefix4 or prefix6 has changed.
func (t *table) load(key [16]byte, stamps []stamp, now time.Time) bool {
	if t.key(netip.AddrFrom16(key).Unmap()) != key {
		return false
	}
	keep := t.maxRetry - 1
	if t.distinct {
		keep *= idWidth
	}
	if len(stamps) > keep { // maxretry was lowered
		stamps = stamps[len(stamps)-keep:]
	}
	if len(stamps) == 0 || t.find(key) >= 0 {
		return true
	}
	i := t.insert(key, stamps[len(stamps)-1].micros(), now)
	for at, s := range stamps {
		switch {
		case !t.distinct:
			t.keep(i, s, at)
		case at%idWidth == 1:
			t.keepID(i, stamps[at-1], s, at-1)
		}
	}
	t.touch(i, now)
	e := &t.entries[i]
	e.flags = e.flags&^isDirty | isSaved
	t.dirty = t.dirty[:0]
	return true
}
