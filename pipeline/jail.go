package pipeline

import (
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
