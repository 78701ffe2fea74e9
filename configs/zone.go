package configs

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Zone is the time zone of dates that name none; its Location is nil for the machine's own.
type Zone struct{ *time.Location }

func (z *Zone) set(v *value) error {
	s, ok := v.v.(string)
	if !ok {
		return wants(v, "a string")
	}
	loc, err := parseZone(s)
	if err != nil {
		return err
	}
	z.Location = loc
	return nil
}

// parseZone reads a fixed offset as fail2ban takes it ("UTC", "UTC+0100", "+01:30") or the name of a zone
// ("Europe/Berlin"), which follows daylight saving time.
func parseZone(s string) (*time.Location, error) {
	offset := regexp.MustCompile(`^(?:UTC|GMT|Z)?(?:([+-])(\d{1,2}):?(\d\d)?)?$`).FindStringSubmatch(strings.ToUpper(s))
	switch {
	case s == "":
		return nil, nil
	case offset == nil && s != "Local":
		if loc, err := time.LoadLocation(s); err == nil {
			return loc, nil
		}
		fallthrough
	case offset == nil:
		return nil, mistake(`zones are written "UTC", "+0100" or "Europe/Berlin"`, "unknown time zone %q", s)
	}
	hours, _ := strconv.Atoi(offset[2])
	minutes, _ := strconv.Atoi(offset[3])
	seconds := hours*3600 + minutes*60
	if offset[1] == "-" {
		seconds = -seconds
	}
	if hours > 14 || minutes > 59 {
		return nil, mistake("", "%q is more than any zone is off", s)
	}
	if seconds == 0 {
		return time.UTC, nil
	}
	return time.FixedZone(s, seconds), nil
}
