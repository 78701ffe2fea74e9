package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
)

// Aggregate says when neighbours are banned together; see pipeline.Aggregate.
type Aggregate struct {
	V4    int `toml:"v4"`    // length of the networks' prefixes; 0 is never, of that family
	V6    int `toml:"v6"`    // as V4
	After int `toml:"after"` // live bans in one network; 0 is never
}

// What Jail.Counts may be.
const (
	countsLines = "lines"
	countsBans  = "bans"
)

// The widest networks that a jail may count, or ban, as one. A hoster gives a customer a /48 or a /56 at most, and a /8 of IPv4
// is half a continent.
const (
	widest4 = 8
	widest6 = 32
)

// CountsBans reports whether the bans of the other jails are this one's offences, and it reads no log.
func (j *Jail) CountsBans() bool { return j.Counts == countsBans }

// Weighted reports whether a hit may count more than once, so that MaxRetry is a score.
func (j *Jail) Weighted() bool {
	return j.Loaded != nil && !j.CountsBans() && slices.ContainsFunc(j.Loaded.FailRegex, func(r matchers.Rule) bool { return r.Weight > 1 })
}

// Policy is what the pipeline goes by, without the addresses that are spared: those are looked up by Build.
func (j *Jail) Policy() pipeline.Jail {
	p := pipeline.Jail{
		MaxRetry: int(j.MaxRetry), FindTime: time.Duration(j.FindTime), BanTime: time.Duration(j.BanTime), Ports: j.Port,
		BanSelf: !j.IgnoreSelf, Distinct: j.Distinct != "", Observe: !j.Enforce, MaxTracked: int(j.MaxTracked),
		Prefix4: j.Prefix4, Prefix6: j.Prefix6, Aggregate: pipeline.Aggregate(j.Aggregate),
		MaxBansPerMinute: j.MaxBansPerMinute, ProtectLogins: j.ProtectLogins, CountsBans: j.CountsBans(),
	}
	if j.BanTimeIncrement {
		p.Escalation = &pipeline.Escalation{
			Factor: float64(j.BanTimeFactor), Multipliers: j.BanTimeMultipliers,
			MaxTime: time.Duration(j.BanTimeMaxTime), RndTime: time.Duration(j.BanTimeRndTime), OverallJails: j.BanTimeOverallJails,
		}
		if j.BanTimeFormula != "" {
			p.Escalation.Formula, _ = compileFormula(j.BanTimeFormula) // checkPolicy has
		}
	}
	return p
}

// checkPolicy looks at what types cannot say of the keys that decide about bans.
func (j *Jail) checkPolicy(v *value, fail func(key string, err error)) {
	between := func(key string, n, least, most int) {
		if n < least || n > most {
			fail(key, mistake("", "%d is not a length from %d to %d", n, least, most))
		}
	}
	between("prefix4", j.Prefix4, widest4, 32)
	between("prefix6", j.Prefix6, widest6, 128)
	if g := j.Aggregate; v.has("aggregate") && v.at("aggregate").table() != nil {
		if g.After == 0 && !v.at("aggregate").has("after") {
			fail("aggregate", mistake(aggregateForm, "after says how many neighbours it takes"))
		} else {
			fail("aggregate", g.check(j.Prefix4, j.Prefix6))
		}
	}
	for key, d := range map[string]Duration{"bantime_maxtime": j.BanTimeMaxTime, "bantime_rndtime": j.BanTimeRndTime} {
		if d < 0 {
			fail(key, mistake("leave it out for none", "want a time that ends"))
		}
	}
	if v.has("bantime_formula") && j.BanTimeFormula != "" {
		_, err := compileFormula(j.BanTimeFormula)
		fail("bantime_formula", err)
	}
	if j.MaxBansPerMinute < 0 {
		fail("max_bans_per_minute", mistake("0 is any number", "%d is too little", j.MaxBansPerMinute))
	}
	if !slices.Contains([]string{countsLines, countsBans}, j.Counts) {
		fail("counts", choice(j.Counts, []string{countsLines, countsBans}))
	}
	if j.CountsBans() && v.has("counts") {
		for _, key := range []string{"logpath", "journalmatch", "failregex", "ignoreregex", "distinct"} {
			fail(key, errors.New(`a jail with counts = "bans" reads no log: its offences are the bans of the other jails`))
		}
	}
}

const aggregateForm = `aggregate = { v4 = 24, after = 8 } bans a /24 when eight in it are banned`

func (g Aggregate) check(prefix4, prefix6 int) error {
	const form = aggregateForm
	switch {
	case g.After == 0:
		return nil
	case g.After < 2:
		return mistake(form, "after = %d: one is no crowd", g.After)
	case g.V4 == 0 && g.V6 == 0:
		return mistake(form, "v4 or v6 says how wide a network is")
	case g.V4 != 0 && (g.V4 < widest4 || g.V4 >= prefix4):
		return mistake(form, "v4 = %d is not a length from %d to %d: prefix4 is %d", g.V4, widest4, prefix4-1, prefix4)
	case g.V6 != 0 && (g.V6 < widest6 || g.V6 >= prefix6):
		return mistake(form, "v6 = %d is not a length from %d to %d: prefix6 is %d", g.V6, widest6, prefix6-1, prefix6)
	}
	return nil
}

// alone looks after jails that count bans where there is no other jail: on a stream they read it, as recidive does
// fail2ban's log; else they have nothing to do.
func (b *builder) alone() {
	if slices.ContainsFunc(b.jails, func(j *Jail) bool { return !j.CountsBans() }) {
		return
	}
	for _, j := range b.jails {
		if b.opts.Stdin != nil && len(j.Loaded.FailRegex) > 0 {
			j.Counts = countsLines
		} else {
			b.warn(j, "", mistake(`counts = "lines" with a logpath reads a log`, "it counts the bans of the other jails, and none is enabled"))
		}
	}
}

// idle warns of keys that do nothing without another one.
func (b *builder) idle(j *Jail) {
	if j.BanTimeIncrement || j.at == nil {
		return
	}
	for _, key := range j.at.keys() {
		if strings.HasPrefix(key, "bantime_") && key != "bantime_increment" {
			b.warn(j, key, mistake("bantime_increment = true makes bans longer for those who were banned before", "does nothing by itself"))
		}
	}
}

// A Number is one greater than 0, whole or not.
type Number float64

func (n *Number) set(v *value) error {
	switch x := v.v.(type) {
	case int64:
		*n = Number(x)
	case float64:
		*n = Number(x)
	default:
		return wants(v, "a number")
	}
	if !(*n > 0) {
		return fmt.Errorf("%v is too little, want more than 0", v.v)
	}
	return nil
}

// Numbers is a list of them. One string will do in its place: it is split at commas and white space.
type Numbers []float64

func (n *Numbers) set(v *value) error {
	list, ok := v.v.([]*value)
	if !ok {
		var words List
		if _, isText := v.v.(string); !isText || words.set(v) != nil {
			return wants(v, "a list of numbers")
		}
		for _, word := range words {
			var x int64
			if _, err := fmt.Sscanf(word, "%d", &x); err != nil || fmt.Sprint(x) != word {
				return fmt.Errorf("%q is not a whole number", word)
			}
			list = append(list, &value{v: x, file: v.file, line: v.line})
		}
	}
	*n = nil
	for _, inner := range list {
		var one Number
		if err := one.set(inner); err != nil {
			return placed(inner, err)
		}
		*n = append(*n, float64(one))
	}
	return nil
}
