package pipeline

import (
	"maps"
	"net/netip"
	"sync/atomic"
	"time"
)

// counts are numbers by jail that one goroutine changes and others read.
type counts struct {
	mine   map[string]*atomic.Int64 // of the goroutine that changes them
	shared atomic.Pointer[map[string]*atomic.Int64]
}

func (c *counts) start() { c.mine = make(map[string]*atomic.Int64) }

// get makes what is not there yet. Jails are few and never go, so the map is copied when one is new.
func (c *counts) get(jail string) *atomic.Int64 {
	n := c.mine[jail]
	if n == nil {
		n = new(atomic.Int64)
		c.mine[jail] = n
		shared := maps.Clone(c.mine)
		c.shared.Store(&shared)
	}
	return n
}

func (c *counts) add(jail string, n int64) { c.get(jail).Add(n) }

// seen is what all is, for other goroutines.
func (c *counts) seen() map[string]*atomic.Int64 {
	if shared := c.shared.Load(); shared != nil {
		return *shared
	}
	return nil
}

// all are the jails that ever had one, for the goroutine that changes them.
func (c *counts) all() map[string]*atomic.Int64 { return c.mine }

func (c *counts) of(jail string) int {
	if shared := c.shared.Load(); shared != nil {
		if n := (*shared)[jail]; n != nil {
			return int(n.Load())
		}
	}
	return 0
}

// lateAfter is how long hits may go on after a ban: connections that are open, lines that were under way.
const lateAfter = time.Minute

// A LateHit is an address that goes on offending although it is banned: its packets do not come from it, but from a
// proxy or a CDN in front, or by a way that the back end does not cover.
type LateHit struct {
	Jail  string
	Addr  netip.Addr
	Since time.Time // when it was banned
	Last  time.Time // when it last completed its jail's maxretry again, by the line's date
	Count int64     // how often that happened, with all addresses, since the start
}

// late remembers the latest of them.
type late struct {
	count  int64
	latest atomic.Pointer[LateHit]
}

// note is called for offences that would lead to a ban which is there already.
func (l *late) note(r *Record, held liveBan) {
	if held.observe || held.since == 0 || r.Time.Unix()-held.since < int64(lateAfter/time.Second) {
		return
	}
	l.count++
	l.latest.Store(&LateHit{r.Jail, r.Addr, time.Unix(held.since, 0), r.Time, l.count})
}

// Late is the latest such address; nil if there was none. It may be called at any time.
func (d *Decide) Late() *LateHit { return d.late.latest.Load() }
