package configs

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A Duration is a length of time as fail2ban writes it: seconds (600, "600"), numbers with units ("10m",
// "1d12h", "1w", "1mo"), or -1 for one that never ends, which is Never.
type Duration time.Duration

// Never is the Duration -1: no end.
const Never Duration = -1

// String writes the form that a configuration has, in the largest units that fit: "1d12h".
func (d Duration) String() string {
	if d < 0 {
		return "-1"
	}
	var b strings.Builder
	for _, u := range []struct {
		name string
		unit Duration
	}{{"w", Duration(7 * 24 * time.Hour)}, {"d", Duration(24 * time.Hour)}, {"h", Duration(time.Hour)}, {"m", Duration(time.Minute)}, {"s", Duration(time.Second)}} {
		if n := d / u.unit; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= n * u.unit
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

func (d *Duration) set(v *value) error {
	switch n := v.v.(type) {
	case int64:
		return d.seconds(n)
	case string:
		parsed, err := ParseDuration(n)
		if err != nil {
			return err
		}
		*d = parsed
		return nil
	}
	return mistake(durationHint, "got %s, want a duration", v.kind())
}

func (d *Duration) seconds(n int64) error {
	switch {
	case n == -1:
		*d = Never
	case n < 0:
		return mistake(durationHint, "%d is not a duration", n)
	case n > math.MaxInt64/int64(time.Second):
		return mistake("-1 never ends", "%d seconds are more than 292 years", n)
	default:
		*d = Duration(n) * Duration(time.Second)
	}
	return nil
}

const durationHint = `600 and "10m" are ten minutes; the units are s, m, h, d, w, mo and y ("1d12h"), -1 never ends`

// ParseDuration reads a duration as a configuration may have it. A month is 30.4375 days and a year
// 365.25, as in fail2ban.
func ParseDuration(text string) (Duration, error) {
	var d Duration
	rest := strings.TrimSpace(text)
	if rest == "-1" {
		return Never, nil
	}
	if rest == "" {
		return 0, mistake(durationHint, "an empty string is not a duration")
	}
	for rest != "" {
		digits := span(rest, func(c byte) bool { return c >= '0' && c <= '9' })
		number := rest[:digits]
		rest = strings.TrimLeft(rest[digits:], " ")
		word := rest[:span(rest, func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' })]
		rest = strings.TrimLeft(rest[len(word):], " ")
		unit := unitOf(word)
		if number == "" || word == "" && number != strings.TrimSpace(text) {
			return 0, mistake(durationHint, "%q is not a duration", text)
		}
		if unit == 0 {
			return 0, mistake(durationHint, "unknown unit %q in %q", word, text)
		}
		var n Duration
		for _, c := range number {
			if n = n*10 + Duration(c-'0'); n > Duration(math.MaxInt64)/unit {
				return 0, mistake("-1 never ends", "%q is too long", text)
			}
		}
		if d += n * unit; d < 0 {
			return 0, mistake("-1 never ends", "%q is too long", text)
		}
	}
	return d, nil
}

// unitOf is fail2ban's meaning of a unit's name, 0 if it has none. "m" is a minute, "mo" a month.
func unitOf(word string) Duration {
	const day = 24 * time.Hour
	switch strings.ToLower(word) {
	case "", "s", "ss", "sec", "secs", "second", "seconds":
		return Duration(time.Second)
	case "m", "mm", "min", "mins", "minute", "minutes":
		return Duration(time.Minute)
	case "h", "hh", "ho", "hour", "hours":
		return Duration(time.Hour)
	case "d", "dd", "da", "day", "days":
		return Duration(day)
	case "w", "ww", "wee", "week", "weeks":
		return Duration(7 * day)
	case "mo", "mon", "month", "months":
		return Duration(30*day + 10*time.Hour + 30*time.Minute)
	case "y", "yy", "ye", "yea", "year", "years":
		return Duration(365*day + 6*time.Hour)
	}
	return 0
}

// span is the length of the prefix of s that consists of bytes for which is holds.
func span(s string, is func(byte) bool) int {
	for i := range len(s) {
		if !is(s[i]) {
			return i
		}
	}
	return len(s)
}
