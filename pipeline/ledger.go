package pipeline

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A target is what a back end has one entry for.
type target struct {
	op      Op     // Ban, Allow or Pause
	ports   string // PortsString
	prefix  netip.Prefix
	observe bool
}

func targetOf(a Action) target {
	return target{a.Op.begin(), PortsString(a.Ports), a.Prefix, a.Observe}
}

// A ledger knows which jail holds which target until when, and who is let through. All outboxes read the same one: what each
// sends is worked out from it at the moment of sending, so that a burst leaves as its result.
type ledger struct {
	mu      sync.Mutex
	now     func() time.Time
	held    map[target][]Action // one Ban per jail
	others  map[target]struct{} // those of held that are no bans: few
	widths  widths              // of bans
	ports   map[string]struct{} // that targets ever had: as many as the jails have
	sweepAt int                 // size at which ended bans are next looked for
}

func newLedger(now func() time.Time) *ledger {
	return &ledger{now: now, held: make(map[target][]Action), others: make(map[target]struct{}), ports: make(map[string]struct{}), sweepAt: 1024}
}

// put books an action. One that ends something, without a jail, ends it for all. It reports whether there was anything to
// end, or a is no end.
func (l *ledger) put(a Action) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := targetOf(a)
	before := len(l.held[t])
	holds := slices.DeleteFunc(l.held[t], func(h Action) bool {
		return h.Jail == a.Jail || a.Op.Ends() && a.Jail == ""
	})
	ended := len(holds) < before
	if !a.Op.Ends() {
		holds = append(holds, a)
	}
	l.set(t, holds)
	l.sweep()
	return ended || !a.Op.Ends()
}

func (l *ledger) set(t target, holds []Action) {
	if len(holds) == 0 {
		delete(l.held, t)
		delete(l.others, t)
		return
	}
	l.held[t] = holds
	l.ports[t.ports] = struct{}{}
	if t.op == Ban {
		l.widths.add(t.prefix)
	} else {
		l.others[t] = struct{}{}
	}
}

// sweep drops what has ended, whenever the ledger has doubled since the last time: O(1) a put.
func (l *ledger) sweep() {
	if len(l.held) < l.sweepAt {
		return
	}
	now := l.now()
	for t, holds := range l.held {
		l.set(t, slices.DeleteFunc(holds, func(a Action) bool { return over(a, now) }))
	}
	l.sweepAt = max(1024, 2*len(l.held))
}

// result is what a sink that serves these jails should hold for t: the Ban with the latest end, or
// false if nobody holds it any more.
func (l *ledger) result(t target, serves func(jail string) bool) (Action, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return longest(l.held[t], serves, l.now())
}

// live lists what such a sink should hold now.
func (l *ledger) live(serves func(jail string) bool, wants func(target) bool) []Action {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var live []Action
	for t, holds := range l.held {
		if a, ok := longest(holds, serves, now); ok && wants(t) {
			live = append(live, a)
		}
	}
	return live
}

// step is how many targets are looked at under one lock by who walks them all: some tens of microseconds.
const step = 256

// all yields what is in force. The lock is let go of now and then; a Go map may be changed while it is walked.
func (l *ledger) all(yield func(Action) bool) {
	now := l.now()
	some := make([]Action, 0, step)
	flush := func() bool {
		for _, a := range some {
			if !yield(a) {
				return false
			}
		}
		some = some[:0]
		return true
	}
	l.mu.Lock()
	for _, holds := range l.held {
		for _, a := range holds {
			if !over(a, now) {
				some = append(some, a)
			}
		}
		if len(some) >= step {
			l.mu.Unlock()
			if !flush() {
				return
			}
			l.mu.Lock()
		}
	}
	l.mu.Unlock()
	flush()
}

// holding is what is in force for p: bans of exactly it, on whatever ports, bans of networks it lies in, and what
// lets it through.
func (l *ledger) holding(p netip.Prefix) (all []Action) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	add := func(t target) {
		for _, a := range l.held[t] {
			if !over(a, now) {
				all = append(all, a)
			}
		}
	}
	for q := range l.widths.around(p) {
		for ports := range l.ports {
			add(target{Ban, ports, q, false})
			add(target{Ban, ports, q, true})
		}
	}
	for t := range l.others {
		if t.op == Pause || t.op == Allow && t.prefix.Bits() <= p.Bits() && t.prefix.Contains(p.Addr()) {
			add(t)
		}
	}
	return all
}

// paused says until when everybody passes; zero: nobody does.
func (l *ledger) paused() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.held[target{op: Pause}] {
		if !over(a, l.now()) {
			return a.Until
		}
	}
	return time.Time{}
}

// holds are the jails whose breaker has tripped.
func (l *ledger) holds() (all []Action) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t := range l.others {
		if t.op == Hold {
			all = append(all, l.held[t]...)
		}
	}
	return all
}

// passes says until when everybody passes, and how many addresses do anyway.
func (l *ledger) passes() (paused time.Time, allowed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for t := range l.others {
		for _, a := range l.held[t] {
			switch {
			case over(a, now):
			case t.op == Pause:
				paused = a.Until
			case t.op == Allow:
				allowed++
			}
		}
	}
	return paused, allowed
}

func longest(holds []Action, serves func(string) bool, now time.Time) (best Action, ok bool) {
	for _, a := range holds {
		if over(a, now) || !serves(a.Jail) {
			continue
		}
		if !ok || outlasts(a.Until, best.Until) {
			best, ok = a, true
		}
	}
	return best, ok
}

// over reports whether the ban has ended.
func over(a Action, now time.Time) bool { return !a.Until.IsZero() && !a.Until.After(now) }

// outlasts reports whether a ban until a ends later than one until b; the zero time never comes.
func outlasts(a, b time.Time) bool {
	return !b.IsZero() && (a.IsZero() || a.After(b))
}
