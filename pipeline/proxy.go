package pipeline

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A Proxy is an address or a network that stands for others: where a log names it, somebody else is to blame, whom
// the log does not name.
type Proxy struct {
	Prefix netip.Prefix
	Jails  []string // that never ban it; nil: all
	Why    string   // for people: "is in the network of the bridge docker0"

	Self    bool // it is a part of this machine: a jail with BanSelf may ban it
	Learned bool // it was found by watching: a later run believes in it until it has seen for itself, for a day
}

// shields reports whether jail must not ban p for the proxy's sake. A jail of no configuration, as that of a ban by
// hand, spares what any jail spares.
func (x Proxy) shields(jail string, known bool, p netip.Prefix) bool {
	return x.Prefix.Overlaps(p) && (x.Jails == nil || !known || slices.Contains(x.Jails, jail))
}

// A proxyError is why something that stands for others is not banned.
type proxyError struct {
	prefix netip.Prefix
	why    string
}

func (e *proxyError) Error() string { return fmt.Sprintf("%v %s", e.prefix, e.why) }

// The reasons that Decide itself has for a proxyError.
const (
	whyLoopback = "is never banned (loopback)"
	whyTrusted  = "is in trusted_proxies"
)

// trusts says that a prefix is, or holds, one of trusted_proxies; nil if it does not.
func (d *Decide) trusts(a Action) error {
	for name, set := range d.trusted {
		if p, ok := set.overlap(a.Prefix); ok && (name == a.Jail || d.jails[a.Jail] == nil) {
			return &proxyError{p, whyTrusted}
		}
	}
	return nil
}

// proxy says that a prefix is, or holds, something that stands for others, or this machine; nil if it does not.
func (d *Decide) proxy(a Action) error {
	j := d.jails[a.Jail]
	banSelf := j != nil && j.BanSelf
	for _, x := range d.proxies {
		if x.shields(a.Jail, j != nil, a.Prefix) && !(x.Self && banSelf) {
			return &proxyError{x.Prefix, x.Why}
		}
	}
	if d.Own != nil && !banSelf {
		for _, p := range d.Own() {
			if p.Overlaps(a.Prefix) {
				return fmt.Errorf("%v is this machine's own address, its gateway or its resolver", p) // a gateway's multicasts are no client's
			}
		}
	}
	return nil
}

// Spares says why an address would not be banned by a jail, however often it offends, or nil. Whoever calls it is who calls
// Process.
func (d *Decide) Spares(jail string, addr netip.Addr) error {
	d.init()
	a := Action{Op: Ban, Jail: jail, Prefix: hostPrefix(addr)}
	if j := d.jails[jail]; j != nil {
		a.Ports, a.Observe = j.Ports, j.Observe
	}
	return d.refuse(a, d.now())
}

// follow lifts the bans that hold what has become this machine's own, or a proxy, since the last time.
func (d *Decide) follow(b *Batch, now time.Time) {
	if !d.moved(now) {
		return
	}
	for k, held := range d.live {
		if why := d.refuse(held.action(k), now); why != nil {
			d.Logger.Warn("a ban is lifted", addrField(k.prefix), zap.String("jail", k.jail), zap.NamedError("why", why))
			d.lift(b, k, held)
		}
	}
}

// moved reports whether Own or Proxies say something else than when it was last called.
func (d *Decide) moved(now time.Time) bool {
	var own []netip.Prefix
	var proxies []Proxy
	if d.Own != nil {
		own = d.Own()
	}
	if d.Proxies != nil {
		proxies = d.Proxies()
	}
	proxies = d.learned.merge(proxies, now)
	same := slices.Equal(own, d.own) && slices.EqualFunc(proxies, d.proxies, func(x, y Proxy) bool { return x.Prefix == y.Prefix })
	d.own, d.proxies = own, proxies
	return !same
}

// A Spared is a proxy that has offended often enough for a jail and is not banned: the log names it in place of its
// clients, and those go free.
type Spared struct {
	Jail   string
	Prefix netip.Prefix // what is never banned
	Addr   netip.Addr   // the last one of it
	Why    string       // as Proxy.Why has it
	Count  int64        // how often it had offended often enough, since the start
	Last   time.Time    // when it last had, by the clock
}

// Cure is what makes a log name the clients.
func (s Spared) Cure() string {
	return fmt.Sprintf(`nginx: set_real_ip_from %v; real_ip_header X-Forwarded-For; Apache: RemoteIPInternalProxy %[1]v; uvicorn: --forwarded-allow-ips %[1]v; Docker's own proxy: "userland-proxy": false in daemon.json`, s.Addr)
}

// String is a sentence for people.
func (s Spared) String() string {
	return fmt.Sprintf("jail %s would have banned %v, %d times by now, but %v %s. If the log names a proxy there in place of its clients, those go free; what cures it: %s",
		s.Jail, s.Addr, s.Count, s.Prefix, s.Why, s.Cure())
}

// maxSpared bounds what is remembered: the lists of those who are spared are short, and written by people.
const maxSpared = 32

// spared remembers them.
type spared struct {
	mu    sync.Mutex
	known []Spared
}

// note is called for an address that was not banned, and why.
func (s *spared) note(log *zap.Logger, a Action, why *proxyError, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.known, func(x Spared) bool { return x.Jail == a.Jail && x.Prefix == why.prefix })
	if i < 0 {
		if len(s.known) == maxSpared {
			s.known = slices.DeleteFunc(s.known, func(x Spared) bool { return x.Last.Equal(s.oldest()) })
		}
		x := Spared{Jail: a.Jail, Prefix: why.prefix, Addr: a.Prefix.Addr(), Why: why.why}
		log.Warn("a proxy is not banned for its clients", addrField(a.Prefix), zap.String("jail", a.Jail), zap.Int("hits", a.Hits),
			zap.Error(why), zap.String("cure", x.Cure()))
		i, s.known = len(s.known), append(s.known, x)
	}
	x := &s.known[i]
	x.Addr, x.Why, x.Last = a.Prefix.Addr(), why.why, now
	x.Count++
}

func (s *spared) oldest() time.Time {
	return slices.MinFunc(s.known, func(x, y Spared) int { return x.Last.Compare(y.Last) }).Last
}

// Spared lists the proxies that went unbanned, the latest first. It may be called at any time.
func (d *Decide) Spared() []Spared {
	d.spared.mu.Lock()
	defer d.spared.mu.Unlock()
	all := slices.Clone(d.spared.known)
	slices.SortFunc(all, func(x, y Spared) int {
		return cmp.Or(y.Last.Compare(x.Last), cmp.Compare(x.Jail, y.Jail), x.Prefix.Compare(y.Prefix))
	})
	return all
}
