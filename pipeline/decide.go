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
//
// What is banned is the address with its network, as Jail.Network has it, and with its neighbours if Jail.Aggregate says
// so; but no prefix ever holds an address that is never banned: then it is the address alone.
//
// A jail that comes to more than Jail.MaxBansPerMinute bans, by the time of the offences, stops with a Hold: for ten minutes by
// the clock, then for twice as long each time until an hour has been calm, for a day at most. Resume, Release and a new start end it.
// Where a jail has ProtectLogins and has seen a Login, no ban closes its ports for that address, or for the network that it is
// counted with, within LoginAge, unless it is Forced.
type Decide struct {
	Jails        map[string]Jail       // by name
	Own          func() []netip.Prefix // this machine's addresses, gateways and resolvers; asked at every batch and ban, so it should remember; nil: none
	Proxies      func() []Proxy        // what stands for others, beside each jail's Trusted; asked at every batch; nil: none
	MaxBans      int                   // live bans at most, the earliest end goes first; 0 means 1,000,000
	Memory       time.Duration         // how long after its last ban an offender counts as one; 0 means 90 days
	MaxOffenders int                   // that are remembered, some 200 bytes each, where a jail has an Escalation; 0 means 200,000
	Notice       time.Duration         // how long before a jail that would ban more than ten addresses for lines from before its first start does, once it has said so; 0: it bans at once
	Now          func() time.Time      // nil means time.Now
	Logger       *zap.Logger           // nil means no logs

	jails    map[string]*Jail      // those of Jails: they are large
	ignore   map[string]*prefixSet // by jail
	trusted  map[string]*prefixSet // by jail, of those that trust anybody
	own      []netip.Prefix        // as Own last said
	proxies  []Proxy               // as Proxies said at the last batch, and those of learned
	learned  learned               // proxies that were found by watching
	spared   spared                // proxies that went unbanned
	first    firstStart            // what is held back
	live     map[banKey]liveBan
	widths   widths // of live
	ends     endHeap
	changed  map[banKey]struct{} // since the last Save; nil if there is no store
	pass     passes              // who is let through
	logins   logins              // who has logged in
	past     offenders           // who was banned before
	pasts    bool                // all jails have a past, since one counts those of all
	crowds   neighbours
	breakers map[string]*breaker // by jail
	repeats  recidives
	counts   counts   // of live bans, by jail, for other goroutines
	late     late     // offences that went on
	restore  bool     // the next batch carries the loaded bans
	orders   []Action // scratch: the actions that came with the batch
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
	d.past.expire(now)
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
	d.closeBreakers(b, "", false, now)
	d.first.arrive(b)
	d.begin(b, now)
	for _, a := range d.orders {
		d.order(b, a, now)
	}
	for i := 0; i < len(b.Records); i++ { // judge adds to them
		switch r := &b.Records[i]; r.Kind {
		case Hit:
			d.judge(b, r, now)
		case Login:
			d.login(b, r, now)
		}
	}
	return nil
}

func (d *Decide) init() {
	if d.live != nil {
		return
	}
	d.live, d.crowds, d.breakers = make(map[banKey]liveBan), make(neighbours), make(map[string]*breaker)
	d.past.memory, d.past.most = orDefault(d.Memory, 90*24*time.Hour), orDefault(d.MaxOffenders, 200_000)
	d.counts.start()
	d.ignore, d.jails = make(map[string]*prefixSet, len(d.Jails)), make(map[string]*Jail, len(d.Jails))
	for name, j := range d.Jails {
		d.ignore[name], d.jails[name] = newPrefixSet(j.Ignore), &j
		d.pasts = d.pasts || j.Escalation != nil && j.Escalation.OverallJails
	}
	d.trusted = make(map[string]*prefixSet)
	for name, j := range d.Jails {
		if len(j.Trusted) > 0 {
			d.trusted[name] = newPrefixSet(j.Trusted)
		}
	}
	d.first.began = d.now()
	d.moved(d.first.began)
	d.repeats.init(d)
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
	j := d.jails[r.Jail]
	if j == nil || r.Hits < j.maxRetry() || d.holdBack(b, j, r, now) {
		return
	}
	a := Action{Op: Ban, Jail: r.Jail, Ports: j.Ports, Hits: orDefault(r.Offences, r.Hits), Observe: j.Observe, Reason: j.reason(r)}
	if d.covered(b, a, j, r, now) {
		return
	}
	if err := d.widen(&a, j, r.Addr, now); err != nil {
		d.unbanned(a, err, now)
		return
	}
	k := banKey{a.Jail, a.Prefix}
	if old, held := d.live[k]; held { // that of a crowd
		d.prolong(b, a, j, old, r, now)
		return
	}
	count := d.past.before(k, d.jails, j.overall())
	a.Until = j.end(r.Time, count)
	if over(a, now) || d.tripped(b, j, a, r.Time, now) {
		return
	}
	a.Since = now
	d.ban(b, a)
	if j.Escalation != nil {
		d.past.note(k, count+1, a.Until)
	} else if d.pasts {
		d.past.note(k, 1, a.Until) // as fail2ban has it
	}
	if !j.CountsBans {
		d.repeats.count(b, *r, a.Observe, now)
	}
}

// covered reports whether a live ban of the jail keeps an offender out for long enough, and makes his own longer. One of a wider
// network is not made longer for him alone: who knows why it is there.
func (d *Decide) covered(b *Batch, a Action, j *Jail, r *Record, now time.Time) bool {
	own := j.Network(r.Addr).Bits()
	for p := range d.widths.around(hostPrefix(r.Addr)) {
		old, held := d.live[banKey{r.Jail, p}]
		if held && (p.Bits() >= own || !outlasts(j.end(r.Time, 0), old.until)) {
			a.Prefix = p
			d.prolong(b, a, j, old, r, now)
			return true
		}
	}
	return false
}

// prolong makes a live ban longer that did not keep its offender from going on.
func (d *Decide) prolong(b *Batch, a Action, j *Jail, old liveBan, r *Record, now time.Time) {
	if !d.pass.paused(now) {
		d.late.note(r, old)
	}
	count := max(0, d.past.before(banKey{a.Jail, a.Prefix}, d.jails, false)-1) // as when it began
	if a.Until = j.end(r.Time, count); over(a, now) || !outlasts(a.Until, old.until) {
		return
	}
	if err := d.refuse(a, now); err != nil {
		d.unbanned(a, err, now)
		return
	}
	a.Since = now
	d.ban(b, a)
}

// unbanned says why somebody is not banned.
func (d *Decide) unbanned(a Action, why error, now time.Time) {
	say := d.Logger.Debug
	if login := (*LoginError)(nil); errors.As(why, &login) {
		say = d.Logger.Info
	}
	say("not banned", addrField(a.Prefix), zap.String("jail", a.Jail), zap.Int("hits", a.Hits), zap.Error(why))
	if proxy := (*proxyError)(nil); errors.As(why, &proxy) {
		d.spared.note(d.Logger, a, proxy, now)
	}
}

// widen sets a's prefix to the widest one that may be banned for an address: its own, its network's or that of many
// neighbours. The reason says what stood in the way of a wider one. The error says why the address itself is not banned.
func (d *Decide) widen(a *Action, j *Jail, addr netip.Addr, now time.Time) error {
	a.Prefix = hostPrefix(addr)
	if err := d.refuse(*a, now); err != nil {
		return err
	}
	try := func(p netip.Prefix, reason string) {
		wider := *a
		wider.Prefix = p
		if err := d.refuse(wider, now); err != nil {
			a.Reason += fmt.Sprintf("; not all of %v: %v", p, err)
			return
		}
		a.Prefix, a.Reason = p, a.Reason+reason
	}
	if network := j.Network(addr); network != a.Prefix {
		try(network, "")
	}
	if crowd, ok := j.Aggregate.of(a.Prefix); ok {
		if n := d.crowds[banKey{a.Jail, crowd}] + 1; n >= j.Aggregate.After {
			try(crowd, fmt.Sprintf(", as are %d in %v", n, crowd))
		}
	}
	return nil
}

// order carries out what did not come from a log: an action by hand, or a ban taken over from a back end.
func (d *Decide) order(b *Batch, a Action, now time.Time) {
	a.Prefix = unmapped(a.Prefix)
	a.Until = a.Until.Truncate(time.Microsecond) // as it is saved: by the clock, which goes on while the machine sleeps
	d.repeats.window.unban(&a)
	switch {
	case a.Op == Unban:
		d.unban(b, a)
	case a.Op == Release:
		d.closeBreakers(b, a.Jail, true, now)
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
	if err := d.pass.why(a, now); err != nil {
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
	if err := d.proxy(a); err != nil {
		return err
	}
	if j := d.jails[a.Jail]; j == nil || j.ProtectLogins {
		return d.logins.why(a.Prefix, a.Ports, d.jails, now)
	}
	return nil
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

// Tracked is how many addresses the window of a jail with CountsBans remembers. It may be called at any time.
func (d *Decide) Tracked(jail string) int { return d.repeats.window.Tracked(jail) }
