package pipeline

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A judge is the slow twin of Decide's protections: lists, walked one by one.
type judge struct {
	*court
	*rand.Rand
	everybody []netip.Addr
	allowed   map[netip.Addr]time.Time // until
	logins    []loginSeen
	held      map[string]bool // jails whose breaker is open
	proxies   []Proxy
}

type loginSeen struct {
	jail string
	addr netip.Addr
	at   time.Time
}

// spares says why jail must not ban an address on these ports; "" if it may. By hand networks may hold whom Allow lets
// through. A login spares the address itself, and may spare its network.
func (q *judge) spares(jail string, ports []PortRange, a netip.Addr, wideByHand, network bool) string {
	j, known := q.jails[jail]
	in := func(all []prefix) bool { return slices.ContainsFunc(all, func(p prefix) bool { return p.Contains(a) }) }
	if in(q.own) && !j.BanSelf {
		return "own"
	}
	for name, other := range q.jails {
		if name == jail || !known {
			if in(other.Ignore) {
				return "ignored"
			}
			if in(other.Trusted) {
				return "trusted"
			}
		}
	}
	for _, x := range q.proxies {
		if x.Prefix.Contains(a) {
			return "proxy"
		}
	}
	if until, ok := q.allowed[a]; ok && !wideByHand && until.After(q.now) {
		return "allowed"
	}
	for _, l := range q.logins {
		by := q.jails[l.jail]
		if (l.addr == a || network && by.Network(l.addr).Contains(a)) && by.ProtectLogins && (!known || j.ProtectLogins) && q.now.Sub(l.at) < LoginAge && portsOverlap(ports, by.Ports) {
			return "login"
		}
	}
	return ""
}

// everybody are all addresses of the streams.
func everybody() (all []netip.Addr) {
	for i := range 2 {
		for k := range 12 {
			all = append(all, netip.AddrFrom4([4]byte{10, 0, byte(i), byte(k)}))
		}
		for k := range 3 {
			for n := range 3 {
				all = append(all, netip.MustParseAddr(fmt.Sprintf("2001:db8:%d:%d::%d", i, k, n+1)))
			}
		}
	}
	return all
}

// policies are jails with every rule; a reload takes others with the same names.
func (q *judge) policies() map[string]Jail {
	r := q.Rand
	some := func() (out []prefix) {
		for range r.IntN(3) {
			a := q.one()
			p, _ := a.Prefix([]int{a.BitLen(), a.BitLen() - 2}[r.IntN(2)])
			out = append(out, p)
		}
		return out
	}
	jails := map[string]Jail{}
	for i, ports := range [][]PortRange{{{22, 22}}, {{80, 80}, {443, 443}}, nil} {
		j := Jail{
			MaxRetry: 1 + r.IntN(4), FindTime: time.Hour, BanTime: []time.Duration{time.Minute, time.Hour, -1}[r.IntN(3)], Ports: ports,
			Ignore: some(), Trusted: some(), BanSelf: r.IntN(8) == 0, Observe: r.IntN(8) == 0, ProtectLogins: r.IntN(4) > 0,
			Prefix4: []int{0, 31, 29}[r.IntN(3)], Prefix6: []int{128, 64, 64, 56}[r.IntN(4)],
			MaxBansPerMinute: []int{0, 5}[r.IntN(2)],
		}
		if r.IntN(2) == 0 {
			j.Aggregate = Aggregate{V4: 24, V6: 48, After: 2 + r.IntN(3)}
		}
		if r.IntN(2) == 0 {
			j.Escalation = &Escalation{OverallJails: r.IntN(2) == 0, RndTime: time.Minute}
		}
		jails[[]string{"sshd", "web", "all"}[i]] = j
	}
	recidive := jails["all"]
	recidive.CountsBans, recidive.MaxRetry = true, 2
	jails["recidive"] = recidive
	return jails
}

// FuzzPolicy: whatever comes, no prefix that is banned holds an address that is spared, by any path (a jail, recidive, a
// crowd, by hand, restored, after a reload), and whoever is over the threshold is banned, unless he is spared himself or
// the jail's breaker has tripped.
func FuzzPolicy(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 7))
		q := &judge{Rand: r, everybody: everybody(), allowed: map[netip.Addr]time.Time{}, held: map[string]bool{}}
		q.court = newCourt(t, q.policies())
		for step := range 400 {
			q.now = q.now.Add(time.Duration(r.IntN(30)) * time.Second)
			b := &Batch{}
			if n := r.IntN(100); n < 80 {
				q.lines(b, n < 75)
			} else if n < 91 {
				q.orders(b, n-80)
			} else {
				q.changes(n - 91)
			}
			q.send(b)
			for _, a := range b.Actions {
				if a.Op.begin() == Hold {
					q.held[a.Jail] = a.Op == Hold
				}
			}
			q.check(t, step, b)
		}
	})
}

var logJails = []string{"sshd", "web", "all"}

func (q *judge) one() netip.Addr { return q.everybody[q.IntN(len(q.everybody))] }

// lines are offences, or a login.
func (q *judge) lines(b *Batch, offences bool) {
	if !offences {
		l := loginSeen{logJails[q.IntN(3)], q.one(), q.now.Add(-time.Duration(q.IntN(9*24)) * time.Hour)}
		q.logins = append(q.logins, l)
		b.Records = append(b.Records, Record{Kind: Login, Jail: l.jail, Addr: l.addr, Time: l.at})
		return
	}
	for range 1 + q.IntN(5) {
		at := q.now.Add(-time.Duration(q.IntN(60)) * time.Second)
		b.Records = append(b.Records, Record{Kind: Hit, Jail: logJails[q.IntN(3)], Addr: q.one(), Time: at})
	}
}

// orders are what people do by hand.
func (q *judge) orders(b *Batch, n int) {
	a := q.one()
	order := Action{Op: Resume}
	switch {
	case n < 5:
		p, _ := a.Prefix([]int{a.BitLen(), a.BitLen() - 3, a.BitLen() / 2}[q.IntN(3)])
		jail := append([]string{Manual}, logJails...)[q.IntN(4)]
		order = Action{Op: Ban, Prefix: p, Jail: jail, Ports: q.jails[jail].Ports, Until: q.now.Add(time.Hour)}
	case n < 7:
		order = Action{Op: Unban, Prefix: hostPrefix(a)}
	case n < 9:
		order = Action{Op: Allow, Prefix: hostPrefix(a), Until: q.now.Add(time.Hour)}
		q.allowed[a] = order.Until
	case n < 10:
		order = Action{Op: Disallow, Prefix: hostPrefix(a)}
		delete(q.allowed, a)
	}
	b.Actions = append(b.Actions, order)
}

// changes are what happens to the machine: other addresses, a new start, another configuration, time.
func (q *judge) changes(n int) {
	switch {
	case n < 3:
		q.own = []prefix{hostPrefix(q.one()), hostPrefix(q.one())}
		q.proxies = []Proxy{{Prefix: hostPrefix(q.one())}}
		q.decide.Proxies = func() []Proxy { return q.proxies }
	case n < 6:
		q.restart()
	case n < 7:
		// Logins are forgotten with the jails that saw them, for the twin would have to know how each had counted.
		q.jails, q.logins = q.policies(), nil
		q.decide.logins.changed, q.decide.logins.seen = nil, nil
		maps.DeleteFunc(q.saved["decide"], func(k string, _ []byte) bool { return strings.HasPrefix(k, loginPrefix) })
		q.restart()
	default:
		q.now = q.now.Add(20 * time.Minute)
	}
}

func (q *judge) restart() {
	q.save(q.IntN(2) == 0)
	q.held = map[string]bool{}
	proxies := q.decide.Proxies
	q.start()
	q.decide.Proxies = proxies
}

// check compares what is banned with what may be, and with what must.
func (q *judge) check(t *testing.T, step int, b *Batch) {
	t.Helper()
	for k, held := range q.decide.live {
		for _, a := range q.everybody {
			if !k.prefix.Contains(a) {
				continue
			}
			if why := q.spares(k.jail, held.ports, a, k.jail == Manual && !k.prefix.IsSingleIP(), false); why != "" {
				t.Fatalf("step %d: %v is banned by %s, and %v in it is %s (%s)", step, k.prefix, k.jail, a, why, held.reason)
			}
		}
	}
	for i := range b.Records {
		r := &b.Records[i]
		j := q.jails[r.Jail]
		if r.Kind != Hit || r.Hits < j.MaxRetry || q.held[r.Jail] || j.BanTime > 0 && !r.Time.Add(j.BanTime).After(q.now) {
			continue
		}
		banned := false
		for k := range q.decide.live {
			banned = banned || k.jail == r.Jail && k.prefix.Contains(r.Addr)
		}
		if why := q.spares(r.Jail, j.Ports, r.Addr, false, true); !banned && why == "" {
			t.Fatalf("step %d: %v has %d hits in %s and is not banned", step, r.Addr, r.Hits, r.Jail)
		}
	}
}
