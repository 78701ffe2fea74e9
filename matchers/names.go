package matchers

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

var _ pipeline.Stateful = (*Names)(nil)

// Limits of Names.
const (
	maxLookups  = 16               // at a time
	maxWaiting  = 1000             // hits that wait for a name; the oldest goes first
	maxNames    = 10_000           // names that are remembered
	lookupTime  = 5 * time.Second  // for one name
	nameTime    = 10 * time.Minute // a name is remembered
	noNameTime  = time.Minute      // and one that could not be found
	maxNameText = 253              // bytes, RFC 1035, section 2.3.4
)

// nameMark is what Match leaves in Record.Session for a hit whose host is a name; name and session's own
// mark follow.
const nameMark = 0x40

// Names turns host names into addresses, for filters with usedns = "yes". It stands between Match and
// Session, in one instance. A hit whose name is not known yet leaves the batch and comes back, for each of
// the name's addresses, with one of the next batches: no lookup holds up a line. What waits is bounded and
// part of the checkpoint.
//
// A name in a log is the word of whoever answers for the address that it stands for. That is why no is the
// default, and why a name counts only if its address names it in turn.
type Names struct {
	// Lookup finds the addresses of a name; nil is LookupConfirmed. It is called by several goroutines.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	Now    func() time.Time // nil is time.Now
	Counts *Counts          // nil counts nothing

	known   map[string]*knownName
	queue   []string // names to look up, in their order
	running int
	found   chan foundName
	waiting []waitingHit
	next    uint64 // key of the next waiting hit
	gone    []uint64
}

// A knownName is a name that was looked up, or is being.
type knownName struct {
	addrs []netip.Addr
	until time.Time // zero while it is being looked up
}

type foundName struct {
	name  string
	addrs []netip.Addr
	err   error
}

// A waitingHit is a record whose name is being looked up; all its bytes are its own.
type waitingHit struct {
	key   uint64
	name  string
	saved bool
	pipeline.Record
}

// Name is the owner of what Names saves.
func (n *Names) Name() string { return "names" }

// Process takes out the hits that have to wait and puts in those that have waited.
func (n *Names) Process(ctx context.Context, b *pipeline.Batch) error {
	n.collect()
	lines := len(b.Records)
	out := false
	for i := range lines {
		r := &b.Records[i]
		if len(r.Session) == 0 || r.Session[0] != nameMark {
			continue
		}
		name, rest, err := cutBytes(r.Session[1:])
		if err != nil {
			return fmt.Errorf("names: jail %s: %w", r.Jail, err)
		}
		hit := *r
		hit.Session = rest
		if !n.emit(b, string(name), &hit) {
			n.wait(string(name), &hit)
		}
		b.Records[i].Kind, out = pipeline.Raw, true
	}
	kept := n.waiting[:0]
	for i := range n.waiting {
		if w := &n.waiting[i]; n.emit(b, w.name, &w.Record) {
			n.forget(w)
		} else {
			n.ask(w.name)
			kept = append(kept, *w)
		}
	}
	clear(n.waiting[len(kept):])
	n.waiting = kept
	if out {
		b.Keep(func(r *pipeline.Record) bool { return r.Kind != pipeline.Raw })
	}
	n.start(ctx)
	return nil
}

// emit adds a record for each address of a name; false if the name is not known yet.
func (n *Names) emit(b *pipeline.Batch, name string, hit *pipeline.Record) bool {
	k := n.known[name]
	if k == nil || k.until.IsZero() {
		return false
	}
	if len(k.addrs) == 0 && n.Counts != nil {
		n.Counts.NoHost.Add(1)
	}
	for _, addr := range k.addrs {
		r := *hit
		r.Kind, r.Addr = pipeline.Hit, addr
		if len(r.Session) > 0 {
			e, err := readEvent(r.Session)
			if err != nil {
				continue
			}
			if e.addr = addr; !e.counts() {
				r.Kind = pipeline.Note
			}
			r.Session = b.Hold(e.append(nil))
		}
		r.Line, r.Key = b.Hold(r.Line), b.Hold(r.Key)
		b.Records = append(b.Records, r)
	}
	return true
}

// wait keeps a hit until its name is known.
func (n *Names) wait(name string, hit *pipeline.Record) {
	if len(n.waiting) == maxWaiting {
		n.forget(&n.waiting[0])
		n.waiting = append(n.waiting[:0], n.waiting[1:]...)
		if n.Counts != nil {
			n.Counts.NoHost.Add(1)
		}
	}
	w := waitingHit{key: n.next, name: name, Record: *hit}
	n.next++
	w.Line, w.Key, w.Session = append([]byte{}, hit.Line...), append([]byte(nil), hit.Key...), append([]byte(nil), hit.Session...)
	w.Fields = nil
	n.waiting = append(n.waiting, w)
	n.ask(name)
}

func (n *Names) ask(name string) {
	if n.known == nil {
		n.known = map[string]*knownName{}
	}
	if n.known[name] != nil {
		return
	}
	if len(n.queue) == maxWaiting {
		delete(n.known, n.queue[0]) // asked for again if a hit still waits for it
		n.queue = n.queue[1:]
	}
	n.known[name] = &knownName{}
	n.queue = append(n.queue, name)
}

func (n *Names) forget(w *waitingHit) {
	if w.saved {
		n.gone = append(n.gone, w.key)
	}
}

// start begins lookups, as many as may run. They end by themselves.
func (n *Names) start(ctx context.Context) {
	if n.found == nil {
		n.found = make(chan foundName, maxLookups)
	}
	lookup := n.Lookup
	if lookup == nil {
		lookup = LookupConfirmed
	}
	for n.running < maxLookups && len(n.queue) > 0 {
		name := n.queue[0]
		n.queue = n.queue[1:]
		n.running++
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTime)
			defer cancel()
			addrs, err := lookup(ctx, name)
			n.found <- foundName{name, addrs, err} // there is room for all that run
		}()
	}
}

// collect takes the answers that are there, and drops names that have become old.
func (n *Names) collect() {
	now := time.Now()
	if n.Now != nil {
		now = n.Now()
	}
	for n.running > 0 {
		select {
		case f := <-n.found:
			n.running--
			k := &knownName{until: now.Add(noNameTime)}
			if f.err == nil && len(f.addrs) > 0 {
				k.addrs, k.until = f.addrs, now.Add(nameTime)
			}
			n.known[f.name] = k
			continue
		default:
		}
		break
	}
	for name, k := range n.known {
		if !k.until.IsZero() && (k.until.Before(now) || len(n.known) > maxNames) {
			delete(n.known, name)
		}
	}
}

// Save hands over the hits that wait: key, then jail, name, line, key, session, time, weight.
func (n *Names) Save(full bool, put func(key, value []byte)) {
	key := func(k uint64) []byte { return binary.BigEndian.AppendUint64(nil, k) }
	for _, k := range n.gone {
		if !full {
			put(key(k), nil)
		}
	}
	n.gone = n.gone[:0]
	for i := range n.waiting {
		w := &n.waiting[i]
		if w.saved && !full {
			continue
		}
		w.saved = true
		at, _ := w.Time.MarshalBinary()
		value := binary.AppendUvarint(nil, uint64(w.Weight))
		for _, field := range [][]byte{at, []byte(w.Jail), []byte(w.name), w.Line, w.Key, w.Record.Session} {
			value = appendBytes(value, field)
		}
		put(key(w.key), value)
	}
}

// Load takes hits back and looks their names up anew.
func (n *Names) Load(saved iter.Seq2[[]byte, []byte]) error {
	for key, value := range saved {
		weight, size := binary.Uvarint(value)
		if len(key) != 8 || size <= 0 {
			return fmt.Errorf("saved hit %q is damaged", key)
		}
		rest := value[size:]
		var fields [6][]byte
		for i := range fields {
			var err error
			if fields[i], rest, err = cutBytes(rest); err != nil {
				return fmt.Errorf("saved hit %q is damaged", key)
			}
			fields[i] = append([]byte{}, fields[i]...)
		}
		w := waitingHit{key: binary.BigEndian.Uint64(key), name: string(fields[2]), saved: true}
		if err := w.Time.UnmarshalBinary(fields[0]); err != nil {
			return fmt.Errorf("saved hit %q is damaged", key)
		}
		w.Weight, w.Jail, w.Line, w.Key, w.Record.Session = int(weight), string(fields[1]), fields[3], fields[4], fields[5]
		n.waiting = append(n.waiting, w)
		n.next = max(n.next, w.key+1)
		n.ask(w.name)
	}
	return nil
}
