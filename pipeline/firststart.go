package pipeline

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// What a first start may do without a word, and how long it gathers before it says how much it would do.
const (
	firstFew    = 10 // addresses of one jail
	firstGather = 5 * time.Second
	firstMost   = 100_000 // that are held back, of one jail; the others are banned at once
)

// A firstStart holds back what a log that is read for the first time would ban for lines from before: a jail that would ban more than
// ten addresses for them says so, and bans them Decide.Notice later. Whoever offends anew meanwhile is banned at once. What
// is held back is saved: after a crash, a stop or a reload the jail says so again.
type firstStart struct {
	began   time.Time       // offences before that are from before
	since   time.Time       // when the first one was held back
	reading map[string]bool // sources that have not been at their end yet
	jails   map[string]*firstJail
	changed map[string][]byte
	pending atomic.Pointer[[]Pending]
}

// A firstJail is what is held back of one jail.
type firstJail struct {
	held map[netip.Addr]Record // the latest offence that led to a ban, without its line
	due  time.Time             // when they are banned; zero: it was not said yet
	done bool                  // it has been said, and done
}

// Pending is what a jail will ban for lines from before the first start, and when.
type Pending struct {
	Jail  string
	Addrs int
	At    time.Time
}

// String is a sentence for people.
func (p Pending) String() string {
	return fmt.Sprintf("jail %s will ban %d addresses at %s for lines from before its first start: enforce = false in it and banpipe reload until then only reports them",
		p.Jail, p.Addrs, p.At.Local().Format(time.RFC3339))
}

// Pending lists what is held back and has been said. It may be called at any time.
func (d *Decide) Pending() []Pending {
	if all := d.first.pending.Load(); all != nil {
		return *all
	}
	return nil
}

// arrive notes where b comes from.
func (f *firstStart) arrive(b *Batch) {
	switch {
	case b.Backlog && f.reading == nil:
		f.reading = map[string]bool{b.Source: true}
	case b.Backlog:
		f.reading[b.Source] = true
	default:
		delete(f.reading, b.Source)
	}
}

// holdBack reports whether an offence that leads to a ban waits.
func (d *Decide) holdBack(b *Batch, j *Jail, r *Record, now time.Time) bool {
	f := &d.first
	if d.Notice <= 0 || !b.Backlog || j.Observe || !r.Time.Before(f.began) {
		return false
	}
	k := f.jail(r.Jail)
	last, known := k.held[r.Addr]
	if k.done || !known && len(k.held) >= firstMost {
		return false
	}
	if known && !r.Time.After(last.Time) {
		return true // the later one decides how long
	}
	if f.since.IsZero() {
		f.since = now
	}
	f.keep(k, Record{Kind: Hit, Jail: r.Jail, Addr: r.Addr, Time: r.Time, Hits: r.Hits, Offences: r.Offences})
	return true
}

func (f *firstStart) jail(name string) *firstJail {
	k := f.jails[name]
	if k == nil {
		if f.jails == nil {
			f.jails = make(map[string]*firstJail)
		}
		k = &firstJail{held: make(map[netip.Addr]Record)}
		f.jails[name] = k
	}
	return k
}

func (f *firstStart) keep(k *firstJail, r Record) {
	k.held[r.Addr] = r
	v := binary.AppendVarint(nil, r.Time.UnixMicro())
	v = binary.AppendUvarint(v, uint64(r.Hits))
	f.note(firstKey(r.Jail, r.Addr), binary.AppendUvarint(v, uint64(r.Offences)))
}

// begin says what is about to happen, and lets happen what is due.
func (d *Decide) begin(b *Batch, now time.Time) {
	f := &d.first
	if f.since.IsZero() || len(f.reading) > 0 && now.Sub(f.since) < firstGather {
		return
	}
	f.since = time.Time{}
	for name, k := range f.jails {
		n := len(k.held)
		if n > firstFew && k.due.IsZero() && !d.jails[name].Observe {
			k.due = now.Add(d.Notice)
			d.Logger.Warn("a jail is about to ban for lines from before its first start", zap.String("jail", name), zap.Int("addrs", n),
				zap.Duration("in", d.Notice), zap.String("stop", "enforce = false in the jail, then banpipe reload: it only reports them"))
		}
		if k.due.After(now) {
			f.since = now // there is more to do
			continue
		}
		d.beginJail(b, name, k, now)
	}
	f.publish()
}

// beginJail judges what was held back of a jail, oldest first.
func (d *Decide) beginJail(b *Batch, name string, k *firstJail, now time.Time) {
	k.done = k.done || !k.due.IsZero()
	held := make([]Record, 0, len(k.held))
	for addr, r := range k.held {
		d.first.note(firstKey(name, addr), nil)
		held = append(held, r)
	}
	clear(k.held)
	slices.SortFunc(held, func(x, y Record) int { return cmp.Or(x.Time.Compare(y.Time), x.Addr.Compare(y.Addr)) })
	for i := range held {
		d.judge(b, &held[i], now)
	}
}

// forget drops what is held back of a prefix, of jail or of all.
func (f *firstStart) forget(jail string, p netip.Prefix) {
	for name, k := range f.jails {
		for addr := range k.held {
			if (jail == "" || jail == name) && p.Contains(addr) {
				delete(k.held, addr)
				f.note(firstKey(name, addr), nil)
			}
		}
	}
}

func (f *firstStart) publish() {
	var all []Pending
	for name, k := range f.jails {
		if len(k.held) > 0 && !k.due.IsZero() {
			all = append(all, Pending{name, len(k.held), k.due})
		}
	}
	slices.SortFunc(all, func(x, y Pending) int { return cmp.Compare(x.Jail, y.Jail) })
	f.pending.Store(&all)
}

// firstPrefix begins the keys in the state; then come the jail, a zero byte and the 16 bytes of the address. The value is
// the time (unix µs), the hits and the offences.
const firstPrefix = "\x00first\x00"

func firstKey(jail string, a netip.Addr) string {
	k := addrKey(a)
	return firstPrefix + jail + "\x00" + string(k[:])
}

func (f *firstStart) note(key string, value []byte) {
	if f.changed == nil {
		f.changed = make(map[string][]byte)
	}
	f.changed[key] = value
}

func (f *firstStart) save(full bool, put func(key, value []byte)) {
	if full {
		for _, k := range f.jails {
			for _, r := range k.held {
				f.keep(k, r)
			}
		}
	}
	for k, v := range f.changed {
		if v != nil || !full {
			put([]byte(k), v)
		}
	}
	clear(f.changed)
}

// load takes a key if it is one of ours. What jails that are gone, or that only observe now, had to ban is dropped.
func (d *Decide) loadFirst(key, v []byte, now time.Time) (ours bool, err error) {
	rest, ours := bytes.CutPrefix(key, []byte(firstPrefix))
	if !ours {
		return false, nil
	}
	cut := len(rest) - 17
	at, n := binary.Varint(v)
	hits, m := binary.Uvarint(v[max(n, 0):])
	offences, o := binary.Uvarint(v[max(n, 0)+max(m, 0):])
	if cut < 0 || rest[cut] != 0 || n <= 0 || m <= 0 || o <= 0 {
		return true, fmt.Errorf("held back %q: %w", rest, errDamaged)
	}
	addr := netip.AddrFrom16([16]byte(rest[cut+1:])).Unmap()
	f, name := &d.first, string(rest[:cut])
	if d.jails[name] == nil {
		f.note(string(key), nil)
		return true, nil
	}
	f.jail(name).held[addr] = Record{Kind: Hit, Jail: name, Addr: addr, Time: time.UnixMicro(at), Hits: int(hits), Offences: int(offences)}
	f.since = now
	return true, nil
}
