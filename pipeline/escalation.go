package pipeline

import (
	"math/rand/v2"
	"time"
)

// An Escalation makes bans longer for those who have been banned before: fail2ban's bantime.increment and its
// companions, with the same results (jail.py, setBanTimeExtra; observer.py, incrBanTime). The first ban is as long as
// any other's: nothing here touches it.
type Escalation struct {
	Factor       float64                                                  // 0 means 1
	Multipliers  []float64                                                // by the number of earlier bans, the last one for all that are beyond; nil: powers of two, the 20th at most
	Formula      func(banTime float64, count int, factor float64) float64 // seconds; in place of the powers of two; nil: none
	MaxTime      time.Duration                                            // 0: none
	RndTime      time.Duration                                            // up to so much comes on top at random, of MaxTime, too, so that nobody can tell when a ban ends
	OverallJails bool                                                     // the earlier bans of all jails count
	Random       func() float64                                           // at least 0 and less than 1; nil means math/rand's
}

// longestBan is what no ban of a repeat offender exceeds, whatever the formula says: a time.Duration holds 292 years.
const longestBan = 100 * 365 * 24 * time.Hour

// Time is how long a ban lasts that takes d the first time, after count earlier ones. A negative d never ends.
func (e *Escalation) Time(d time.Duration, count int) time.Duration {
	if e == nil || count == 0 || d < 0 {
		return d
	}
	base, factor := d.Seconds(), orDefault(e.Factor, 1)
	var seconds float64
	switch n := len(e.Multipliers); {
	case n > 0:
		seconds = base * factor * e.Multipliers[min(count, n-1)]
	case e.Formula != nil:
		seconds = max(base, e.Formula(base, count, factor))
	default:
		seconds = max(base, base*float64(int(1)<<min(count, 20))*factor)
	}
	if e.MaxTime > 0 {
		seconds = min(seconds, e.MaxTime.Seconds())
	}
	if e.RndTime > 0 {
		random := e.Random
		if random == nil {
			random = rand.Float64
		}
		seconds += random() * e.RndTime.Seconds()
	}
	if !(seconds > 0) { // NaN, too
		return d
	}
	return time.Duration(min(seconds, longestBan.Seconds()) * float64(time.Second))
}
