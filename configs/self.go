package configs

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// How often a machine looks: at once when the kernel says that an address or a route has changed, else every
// selfAge, since nobody tells of a new /etc/resolv.conf. On a router with a million routes, which change all
// the time, reading takes no more than a twentieth of a core. The kernel itself is asked once in selfPause: in a backlog
// there are a thousand offences in that time.
const (
	selfAge   = 10 * time.Second
	selfPause = time.Millisecond
	selfShare = 20
)

// A machine knows the one that it runs on: its addresses, default gateways and resolvers, and the networks of its containers, in the
// network namespace of the thread that asks first. It may be used by several goroutines. What cannot be found out is
// left out: a machine without IPv6 has no IPv6 routes to read.
type machine struct {
	mu      sync.Mutex
	notices *notices // nil where the kernel tells nothing
	own     []netip.Prefix
	bridges []pipeline.Proxy
	stale   bool          // the kernel says that something has changed since
	asked   time.Time     // when it was last looked at
	took    time.Duration // and how long that took
	heard   time.Time     // when the kernel was last asked whether something has changed
}

// Own returns a func for pipeline.Decide.Own: this machine's addresses, its default gateways and its resolvers. The
// answer is the same slice while nothing has changed, and 10 s old at most.
func Own() func() []netip.Prefix { return newMachine().ownNow }

func newMachine() *machine { return &machine{notices: openNotices()} }

func (m *machine) ownNow() []netip.Prefix {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.look()
	return m.own
}

// bridgesNow is for pipeline.Decide.Proxies.
func (m *machine) bridgesNow() []pipeline.Proxy {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.look()
	return m.bridges
}

// look brings m up to date, if it is time to.
func (m *machine) look() {
	start := time.Now()
	if start.Sub(m.heard) >= selfPause {
		m.heard, m.stale = start, m.notices.any() || m.stale
	}
	due := selfShare * m.took
	if !m.stale {
		due = max(due, selfAge)
	}
	if !m.asked.IsZero() && start.Sub(m.asked) < due {
		return
	}
	own := slices.Concat(interfaces(), routes("route", gateways4), routes("ipv6_route", gateways6), resolvers(resolvFiles))
	slices.SortFunc(own, netip.Prefix.Compare)
	if own = slices.Compact(own); !slices.Equal(own, m.own) {
		m.own = own
	}
	bridges := containerBridges()
	if !slices.EqualFunc(bridges, m.bridges, func(a, b pipeline.Proxy) bool { return a.Prefix == b.Prefix && a.Why == b.Why }) {
		m.bridges = bridges
	}
	m.asked, m.took, m.stale = start, time.Since(start), false
}
