package pipeline

import (
	"fmt"
	"net/netip"
	"time"
)

// A Jail says when an address has offended often enough and what follows. Window counts by it, Decide
// judges by it. The zero value of each field stands for fail2ban's default.
type Jail struct {
	MaxRetry   int            // offences within FindTime that lead to a ban; 0 means 5
	FindTime   time.Duration  // 0 means 10 minutes
	BanTime    time.Duration  // 0 means 10 minutes; negative never ends
	Ports      []PortRange    // sorted and apart; nil: all ports
	Ignore     []netip.Prefix // addresses that are never banned (ignoreip)
	Trusted    []netip.Prefix // proxies, which are never banned for what their clients do (trusted_proxies)
	BanSelf    bool           // Decide.Own does not protect from this jail (ignoreself = false)
	Observe    bool           // decide and report, ban nobody (enforce = false)
	Distinct   bool           // MaxRetry different values of Record.Key, not hits, lead to a ban
	MaxTracked int            // addresses that the window remembers at most; 0 means 100,000, and 16 million is the limit
	Prefix4    int            // an IPv4 address is counted and banned together with all that share so many leading bits; 0 means 32
	Prefix6    int            // an IPv6 address; 0 means 128
	Aggregate  Aggregate      // when neighbours are banned together; zero: never
	Escalation *Escalation    // how long those are banned who have been before; nil: no longer than others
	CountsBans bool           // the bans of other jails are its offences, not lines of a log

	MaxBansPerMinute int  // more trip the breaker: see Decide; 0 means any number
	ProtectLogins    bool // whoever logged in lately keeps the ports of the jail that saw it
}

// Network is what an address is counted and banned with.
func (j Jail) Network(a netip.Addr) netip.Prefix {
	bits := orDefault(j.Prefix6, 128)
	if a.Is4() {
		bits = orDefault(j.Prefix4, 32)
	}
	p, _ := a.Prefix(bits)
	return p
}

func (j Jail) maxRetry() int           { return orDefault(j.MaxRetry, 5) }
func (j Jail) findTime() time.Duration { return orDefault(j.FindTime, 10*time.Minute) }
func (j Jail) banTime() time.Duration  { return orDefault(j.BanTime, 10*time.Minute) }
func (j Jail) maxTracked() int         { return orDefault(j.MaxTracked, 100_000) }

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Covers reports whether an unban of p lifts a ban of held: of exactly it, or of the network that it is counted with.
func (j Jail) Covers(held, p netip.Prefix) bool {
	return held == p || p.IsSingleIP() && j.Network(p.Addr()) == held
}

// overall reports whether the bans of other jails count, too, for how long one lasts.
func (j Jail) overall() bool { return j.Escalation != nil && j.Escalation.OverallJails }

// end is when a ban for an offence at the time at ends, of somebody who has been banned so often before; zero: never.
func (j *Jail) end(at time.Time, before int) time.Time {
	d := j.Escalation.Time(j.banTime(), before)
	if d < 0 {
		return time.Time{}
	}
	return at.Add(d).Truncate(time.Microsecond) // as it is saved
}

// reason says for people what a hit completed.
func (j *Jail) reason(r *Record) string {
	what := "hits"
	if j.CountsBans {
		what = "bans"
	}
	if r.Offences == 0 || r.Offences == r.Hits {
		return fmt.Sprintf("%d %s in %v", r.Hits, what, j.findTime())
	}
	return fmt.Sprintf("%d %s with a score of %d in %v", r.Offences, what, r.Hits, j.findTime())
}
