package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"
)

// Window counts offences per jail and address in a sliding window over event time: a Hit's Hits becomes
// MaxRetry or more if, and only if, it completes MaxRetry offences (by weight) of its address that lie within
// FindTime of one another, both ends included; the count then starts anew. This is exact, where fail2ban
// estimates a rate. Lines out of order count where they belong, as far back as the youngest MaxRetry-1 offences
// of their address reach. Those that lie a minute and more ahead, since the clock was set back, count as of now: they would hide what
// follows. A record whose jail it does not know is left alone. A Forget, and an Unban by hand,
// clear what is counted.
//
// In a jail with Distinct it counts different values of Record.Key in place of hits, each with the weight of its
// latest hit. Of every value it keeps the latest time, so this is exact for lines in order; of a value that comes
// again out of order only the later time counts.
//
// Addresses that share the first Prefix4 or Prefix6 bits are one offender, except in a network that holds an address of
// Jail.Ignore or of Own: there each is counted by itself.
//
// Memory is bounded: MaxTracked addresses per jail, the MaxRetry-1 youngest offences of each (some 80 bytes
// an address at MaxRetry 5; with Distinct twice the offences' part). Where a jail is full, an address whose offences lie more than FindTime back goes
// first, then the longest untouched of those with one offence, then the longest untouched.
type Window struct {
	Jails map[string]Jail       // by name
	Own   func() []netip.Prefix // what Decide.Own is; asked once a batch where networks are counted, so it should remember
	Now   func() time.Time      // when an address was last touched; nil means time.Now

	tables map[string]*table
	own    []netip.Prefix // what Own last said
	arena  arena
	counts counts
	gone   [][]byte // saved keys of jails that are no longer there
}

// Name implements Stateful.
func (w *Window) Name() string { return "window" }

// Process implements Stage.
func (w *Window) Process(_ context.Context, b *Batch) error {
	w.init()
	for i := range b.Actions {
		w.unban(&b.Actions[i])
	}
	if len(b.Records) == 0 {
		return nil
	}
	now := w.now()
	w.spare()
	for i := range b.Records {
		r := &b.Records[i]
		t := w.tables[r.Jail]
		if t == nil {
			continue
		}
		switch {
		case r.Kind == Hit && t.distinct:
			r.Hits, r.Offences = t.hitDistinct(r.Addr, r.Time, max(r.Weight, 1), r.Key, now)
		case r.Kind == Hit:
			r.Hits, r.Offences = t.hit(r.Addr, r.Time, max(r.Weight, 1), now)
		case r.Kind == Forget:
			t.forget(r.Addr)
		default:
			continue
		}
		t.publish()
	}
	return nil
}

func (w *Window) now() time.Time {
	if w.Now != nil {
		return w.Now()
	}
	return time.Now()
}

func (w *Window) init() {
	if w.tables != nil {
		return
	}
	w.tables = make(map[string]*table, len(w.Jails))
	w.counts.start()
	for name, j := range w.Jails {
		w.tables[name] = newTable(j, &w.arena)
		w.tables[name].tracked = w.counts.get(name)
		if t := w.tables[name]; t.wide() {
			t.spare(nil)
		}
	}
}

// spare tells the tables when the addresses of this machine have changed.
func (w *Window) spare() {
	if w.Own == nil {
		return
	}
	own := w.Own()
	if slices.Equal(own, w.own) {
		return
	}
	w.own = slices.Clone(own)
	for _, t := range w.tables {
		if t.wide() {
			t.spare(own)
		}
	}
}

// unban forgets what an address that is let in again had done: its next mistake is its first.
func (w *Window) unban(a *Action) {
	if a.Op != Unban && a.Op != Allow || !a.Prefix.IsValid() {
		return
	}
	for name, t := range w.tables {
		if a.Jail == "" || a.Jail == name || a.Op == Allow {
			t.forgetPrefix(unmapped(a.Prefix))
			t.publish()
		}
	}
}

// Tracked is how many addresses the window of jail remembers. It may be called at any time.
func (w *Window) Tracked(jail string) int { return w.counts.of(jail) }

// Save implements Stateful: key is the jail, a zero byte and the 16 bytes of the address; value is the
// offences as uvarints, oldest first: the first one's stamp, then differences; see appendPairs for Distinct.
func (w *Window) Save(full bool, put func(key, value []byte)) {
	w.init()
	for _, k := range w.gone {
		put(k, nil)
	}
	w.gone = nil
	var k, v []byte
	for name, t := range w.tables {
		k = append(append(k[:0], name...), 0)
		n := len(k)
		for addr, stamps := range t.changed(full) {
			k = append(k[:n], addr[:]...)
			if stamps == nil {
				put(k, nil)
				continue
			}
			if t.distinct {
				v = appendPairs(v[:0], stamps)
			} else {
				v = appendStamps(v[:0], stamps)
			}
			put(k, v)
		}
	}
}

// Load implements Stateful. Windows of jails that are no longer there are dropped.
func (w *Window) Load(saved iter.Seq2[[]byte, []byte]) error {
	w.init()
	w.spare()
	now := w.now()
	for k, v := range saved {
		if err := w.load(k, v, now); err != nil {
			return err
		}
	}
	return nil
}

func (w *Window) load(k, v []byte, now time.Time) error {
	cut := len(k) - 17
	if cut < 0 || k[cut] != 0 {
		return fmt.Errorf("window key %q is damaged", k)
	}
	stamps, distinct, err := readOffences(v)
	if err != nil {
		return fmt.Errorf("window of %q: %w", k, err)
	}
	t := w.tables[string(k[:cut])]
	if t == nil || t.distinct != distinct || !t.load([16]byte(k[cut+1:]), stamps, now) {
		w.gone = append(w.gone, bytes.Clone(k))
		return nil
	}
	t.publish()
	return nil
}

// readOffences reads what Save wrote of an address.
func readOffences(v []byte) (stamps []stamp, distinct bool, err error) {
	if len(v) == 0 || v[0] != 0 {
		stamps, err = readStamps(v)
		return stamps, false, err
	}
	stamps, ok := readPairs(v[1:])
	if !ok {
		return nil, true, fmt.Errorf("damaged value %x", v)
	}
	return stamps, true, nil
}

func appendStamps(v []byte, stamps []stamp) []byte {
	last := stamp(0)
	for _, s := range stamps {
		v = binary.AppendUvarint(v, uint64(s-last))
		last = s
	}
	return v
}

func readStamps(v []byte) ([]stamp, error) {
	var stamps []stamp
	last := stamp(0)
	for len(v) > 0 {
		d, n := binary.Uvarint(v)
		if n <= 0 {
			return nil, fmt.Errorf("damaged value %x", v)
		}
		last += stamp(d)
		stamps = append(stamps, last)
		v = v[n:]
	}
	return stamps, nil
}

// addrKey is an address as the tables and the state have it: a v4 address is mapped into v6.
func addrKey(a netip.Addr) [16]byte { return a.As16() }
