package matchers

import "time"

// A zoneClock converts between a place's clock and UTC. It remembers the stretch of time in which it last found
// itself, so that most conversions are one subtraction. It belongs to one Finder.
type zoneClock struct {
	loc      *time.Location
	from, to int64 // unix seconds between which east holds and the clock is changed neither soon before nor soon after
	east     int64
}

// changeMargin is more than any change of a clock, in seconds: closer than that to one a time is looked up.
const changeMargin = 26 * 3600

// offset is the clock's distance from UTC at an instant, in seconds.
func (z *zoneClock) offset(unix int64) int64 {
	if unix >= z.from && unix < z.to {
		return z.east
	}
	t := time.Unix(unix, 0).In(z.loc)
	_, east := t.Zone()
	from, to := int64(-1<<40), int64(1<<40)
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		from = start.Unix() + changeMargin
	}
	if !end.IsZero() {
		to = end.Unix() - changeMargin
	}
	if unix >= from && unix < to {
		z.from, z.to, z.east = from, to, int64(east)
	}
	return int64(east)
}

// unix turns what the clock showed into an instant. An hour that the clock showed twice is the one nearer to ref (then sure
// is false); one that it skipped is counted on from before.
func (z *zoneClock) unix(local, ref int64) (unix int64, sure bool) {
	if unix = local - z.east; unix >= z.from && unix < z.to {
		return unix, true
	}
	before, after := z.offset(local-changeMargin), z.offset(local+changeMargin)
	if before == after {
		return local - before, true
	}
	early, late := local-before, local-after
	switch earlyFits, lateFits := z.offset(early) == before, z.offset(late) == after; {
	case earlyFits && lateFits && abs(early-ref) > abs(late-ref):
		return late, false
	case !earlyFits && lateFits:
		return late, false
	}
	return early, false
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}
