package pipeline

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A target is what a back end has one entry for.
type target struct {
	ports   string // PortsString
	prefix  netip.Prefix
	observe bool
}

func targetOf(a Action) target { return target{PortsString(a.Ports), a.Prefix, a.Observe} }

// A ledger knows which jail holds which target until when. All outboxes read the same one: what each
// sends is worked out from it at the moment of sending, so that a burst leaves as its result.
type ledger struct {
	mu      sync.Mutex
	now     func() time.Time
	held    map[target][]Action // one Ban per jail
	sweepAt int                 // size at which ended bans are next looked for
}

func newLedger(now func() time.Time) *ledger {
	return &ledger{now: now, held: make(map[target][]Action), sweepAt: 1024}
}

// put books an action. An Unban without a jail ends the bans of all.
func (l *ledger) put(a Action) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := targetOf(a)
	holds := slices.DeleteFunc(l.held[t], func(h Action) bool {
		return h.Jail == a.Jail || a.Op == Unban && a.Jail == ""
	})
	if a.Op == Ban {
		holds = append(holds, a)
	}
	if len(holds) == 0 {
		delete(l.held, t)
	} else {
		l.held[t] = holds
	}
	l.sweep()
}

// sweep drops what has ended, whenever the ledger has doubled since the last time: O(1) a put.
func (l *ledger) sweep() {
	if len(l.held) < l.sweepAt {
		return
	}
	now := l.now()
	for t, holds := range l.held {
		if holds = slices.DeleteFunc(holds, func(a Action) bool { return over(a, now) }); len(holds) == 0 {
			delete(l.held, t)
		} else {
			l.held[t] = holds
		}
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
func (l *ledger) live(serves func(jail string) bool, observe bool) []Action {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var live []Action
	for t, holds := range l.held {
		if a, ok := longest(holds, serves, now); ok && (observe || !t.observe) {
			live = append(live, a)
		}
	}
	return live
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
