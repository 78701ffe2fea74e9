package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go.uber.org/zap"
)

// Decide turns Hits into bans: it knows who is never banned, how long each jail bans, and which bans are
// live. It is the only place where a ban begins or is lifted, those by hand included.
//
// A ban lasts from the offence that completed it, not from now: a backlog is judged as it happened, and
// a ban that would be over already is not made. A live ban is made longer by the next one of its jail, never shorter.
type Decide struct {
	Jails   map[string]Jail       // by name
	Own     func() []netip.Prefix // this machine's addresses, gateways and resolvers; asked at every batch and ban, so it should remember; nil: none
	Proxies func() []Proxy        // what stands for others, beside each jail's Trusted; asked as often; nil: none
	MaxBans int                   // live bans at most, the earliest end goes first; 0 means 1,000,000
	Now     func() time.Time      // nil means time.Now
	Logger  *zap.Logger           // nil means no logs

	ignore  map[string]*prefixSet // by jail
	trusted map[string]*prefixSet // by jail, of those that trust anybody
	own     []netip.Prefix        // as Own last said
	proxies []Proxy               // as Proxies last said
	spared  spared                // proxies that went unbanned
	live    map[banKey]liveBan
	ends    endHeap
	changed map[banKey]struct{} // since the last Save; nil if there is no store
	pass    passes              // who is let through
	counts  counts              // of live bans, by jail, for other goroutines
	late    late                // offences that went on
	restore bool                // the next batch carries the loaded bans
	orders  []Action            // scratch: the actions that came with the batch
}

// Live is how many bans of jail are live, those of jails that only observe too. It may be called at any time.
func (d *Decide) Live(jail string) int { return d.counts.of(jail) }

// Name implements Stateful.
func (d *Decide) Name() string { return "decide" }

// Process implements Stage.
func (d *Decide) Process(_ context.Context, b *Batch) error {
	d.init()
	now := d.now()
	d.expire(now)
	d.orders = append(d.orders[:0], b.Actions...)
	b.Actions = b.Actions[:0]
	if d.restore {
		d.restore = false
		for k, held := range d.live {
			a := held.action(k)
			a.Restored = true
			b.Actions = append(b.Actions, a)
		}
		b.Actions = d.pass.restored(b.Actions, now)
	}
	d.follow(b, now)
	for _, a := range d.orders {
		d.order(b, a, now)
	}
	for i := range b.Records {
		if r := &b.Records[i]; r.Kind == Hit {
			d.judge(b, r, now)
		}
	}
	return nil
}

func (d *Decide) init() {
	if d.live != nil {
		return
	}
	d.live = make(map[banKey]liveBan)
	d.counts.start()
	d.ignore = make(map[string]*prefixSet, len(d.Jails))
	for name, j := range d.Jails {
		d.ignore[name] = newPrefixSet(j.Ignore)
	}
	d.trusted = make(map[string]*prefixSet)
	for name, j := range d.Jails {
		if len(j.Trusted) > 0 {
			d.trusted[name] = newPrefixSet(j.Trusted)
		}
	}
	d.moved()
	if d.Logger == nil {
		d.Logger = zap.NewNop()
	}
}

func (d *Decide) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

// judge bans the address of a hit that completed its jail's maxretry.
func (d *Decide) judge(b *Batch, r *Record, now time.Time) {
	j, ok := d.Jails[r.Jail]
	if !ok || r.Hits < j.maxRetry() {
		return
	}
	a := Action{
		Op: Ban, Jail: r.Jail, Ports: j.Ports, Hits: r.Hits, Observe: j.Observe,
		Prefix: netip.PrefixFrom(r.Addr, r.Addr.BitLen()),
		Reason: fmt.Sprintf("%d hits in %v", r.Hits, j.findTime()),
	}
	if j.banTime() > 0 {
		a.Until = r.Time.Add(j.banTime()).Truncate(time.Microsecond) // as it is saved
	}
	old, held := d.live[banKey{a.Jail, a.Prefix}]
	if held && !d.pass.paused(now) {
		d.late.note(a, old, r.Time)
	}
	if over(a, now) || held && !outlasts(a.Until, old.until) {
		return
	}
	if err := d.refuse(a, now); err != nil {
		d.Logger.Debug("not banned", addrField(a.Prefix), zap.String("jail", a.Jail), zap.Int("hits", a.Hits), zap.Error(err))
		if why := (*proxyError)(nil); errors.As(err, &why) {
			d.spared.note(d.Logger, a, why, now)
		}
		return
	}
	a.Since = now
	d.ban(b, a)
}

// order carries out what did not come from a log: an action by hand, or a ban taken over from a back end.
func (d *Decide) order(b *Batch, a Action, now time.Time) {
	a.Prefix = unmapped(a.Prefix)
	switch {
	case a.Op == Unban:
		d.unban(b, a)
	case a.Op != Ban:
		d.passOrder(b, a, now)
	case !a.Prefix.IsValid():
		b.Refuse(refused(a, errors.New("ban: no valid address")))
	case over(a, now):
		b.Refuse(refused(a, fmt.Errorf("ban %v: its end, %v, is past", a.Prefix, a.Until)))
	default:
		if err := d.refuse(a, now); err != nil {
			b.Refuse(refused(a, fmt.Errorf("ban %v: %w", a.Prefix, err)))
			return
		}
		if !a.Restored {
			a.Since = now
		}
		d.ban(b, a)
	}
}

// refused says which action it was.
func refused(a Action, why error) error { return &RefusedError{Actions: []Action{a}, Err: why} }

// refuse says why a prefix must not be banned: it is, or contains, an address that never is.
func (d *Decide) refuse(a Action, now time.Time) error {
	if p, ok := special.overlap(a.Prefix); ok && p.Addr().IsLoopback() {
		return &proxyError{p, whyLoopback}
	} else if ok {
		return fmt.Errorf("%v is never banned (link-local, multicast or unspecified)", p)
	}
	if err := d.pass.why(a.Prefix, now); err != nil {
		return err
	}
	if a.Forced {
		return nil
	}
	if err := d.trusts(a); err != nil { // before ignoreip, which says nothing of what the log should name
		return err
	}
	if set := d.ignore[a.Jail]; set != nil {
		if p, ok := set.overlap(a.Prefix); ok {
			return fmt.Errorf("%v is in ignoreip", p)
		}
	} else if p, ok := d.ignoredByAny(a.Prefix); ok {
		return fmt.Errorf("%v is in ignoreip", p)
	}
	return d.proxy(a)
}

// ignoredByAny is for bans that belong to no jail of the configuration: what one jail spares, no hand bans.
func (d *Decide) ignoredByAny(p netip.Prefix) (netip.Prefix, bool) {
	for _, set := range d.ignore {
		if q, ok := set.overlap(p); ok {
			return q, true
		}
	}
	return netip.Prefix{}, false
}
