package pipeline

import (
	"fmt"
	"time"

	"go.uber.org/zap"
)

// How long a breaker that has tripped stays open: the first time, and at most. Each time that it trips again within
// an hour of having closed the time doubles.
const (
	firstHold = 10 * time.Minute
	maxHold   = 24 * time.Hour
	calm      = time.Hour
)

// A breaker stops a jail that bans more than some addresses a minute, by the time of the offences: a filter that has
// gone mad, or whose log has changed its form. The bans that there are stay. By itself it closes again after a while,
// by the clock, so that a jail that was right is not lost for good; Resume closes it at once, and so does a new start. Bans
// by hand, restored ones and live ones that are made longer are not counted.
type breaker struct {
	recent []int64 // unix µs of the last bans, a ring
	next   int
	until  time.Time // the jail bans nobody; zero: it does
	closed time.Time // when it last closed
	trips  int       // in a row
	missed int       // bans that were not made since it tripped
}

// open reports whether the jail must not ban.
func (k *breaker) open() bool { return !k.until.IsZero() }

// add notes a ban and reports whether it is one too many: then nothing is noted. limit is Jail.MaxBansPerMinute.
func (k *breaker) add(at time.Time, limit int) (tooMany bool) {
	t := at.UnixMicro()
	if len(k.recent) < limit {
		k.recent = append(k.recent, t)
		return false
	}
	within := 0
	for _, other := range k.recent {
		if d := t - other; d < time.Minute.Microseconds() && d > -time.Minute.Microseconds() {
			within++
		}
	}
	if within == limit {
		return true
	}
	k.recent[k.next] = t
	k.next = (k.next + 1) % limit
	return false
}

// trip opens the breaker.
func (k *breaker) trip(now time.Time) {
	if now.Sub(k.closed) > calm {
		k.trips = 0
	}
	k.until = now.Add(min(maxHold, firstHold<<min(k.trips, 10)))
	k.trips++
	k.missed = 0
	k.recent, k.next = k.recent[:0], 0
}

func (k *breaker) close(now time.Time) { k.until, k.closed = time.Time{}, now }

// tripped reports whether a jail's breaker keeps a from being made, and trips it if a is one ban too many.
func (d *Decide) tripped(b *Batch, j *Jail, a Action, at, now time.Time) bool {
	if j.MaxBansPerMinute <= 0 {
		return false
	}
	k := d.breakers[a.Jail]
	if k == nil {
		k = &breaker{}
		d.breakers[a.Jail] = k
	}
	if !k.open() {
		if !k.add(at, j.MaxBansPerMinute) {
			return false
		}
		k.trip(now)
		b.Actions = append(b.Actions, Action{
			Op: Hold, Jail: a.Jail, Since: now, Until: k.until, Observe: a.Observe,
			Reason: fmt.Sprintf("more than %d bans in a minute", j.MaxBansPerMinute),
		})
	}
	k.missed++
	d.Logger.Debug("not banned: the jail bans nobody for now", addrField(a.Prefix), zap.String("jail", a.Jail), zap.Time("until", k.until))
	return true
}

// closeBreakers ends what is over at the time now, or everything, of one jail or of all.
func (d *Decide) closeBreakers(b *Batch, jail string, all bool, now time.Time) {
	for name, k := range d.breakers {
		if !k.open() || jail != "" && jail != name || !all && k.until.After(now) {
			continue
		}
		k.close(now)
		b.Actions = append(b.Actions, Action{
			Op: Release, Jail: name, Since: now, Observe: d.jails[name].Observe,
			Reason: fmt.Sprintf("%d bans were not made", k.missed),
		})
	}
}
