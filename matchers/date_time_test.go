package matchers

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// dateLayouts are shapes of dates with the layouts that the standard library writes and reads them by.
var dateLayouts = []struct {
	layout, before, after string
	pattern               string
	precision             time.Duration
}{
	{layout: "Jan _2 15:04:05", after: " web sshd[7]: x"},
	{layout: "Jan 02 15:04:05", after: " web sshd[7]: x"},
	{layout: "Jan _2 15:04:05.000000", after: " web", precision: time.Microsecond},
	{layout: "Jan _2 15:04:05 2006", before: "[", after: "]"},
	{layout: "Mon Jan _2 15:04:05.000000 2006", before: "[", after: "] [core:error]", precision: time.Microsecond},
	{layout: "Jan _2 2006 15:04:05", after: ": x"},
	{layout: "2006-01-02T15:04:05.000000Z07:00", after: " web", precision: time.Microsecond},
	{layout: "2006-01-02T15:04:05Z0700"},
	{layout: "2006-01-02 15:04:05 -07:00", before: "x ", after: " y"},
	{layout: "2006-01-02 15:04:05,000", after: " fail2ban.actions", precision: time.Millisecond},
	{layout: "2006-01-02T15:04:05.000000000Z07:00", after: " web", precision: time.Nanosecond},
	{layout: "2006/01/02 15:04:05", after: " [error] 7#7: x"},
	{layout: "2006.01.02 15:04:05", after: " x"},
	{layout: "02/Jan/2006:15:04:05 -0700", before: "192.0.2.7 - - [", after: `] "GET / HTTP/1.1" 404`},
	{layout: "02/Jan/2006:15:04:05 -0700", before: "192.0.2.7 - - [", after: `] "GET / HTTP/1.1" 404`, pattern: `^[^\[]*\[({DATE})`},
	{layout: "02-Jan-2006 15:04:05.000", after: " client", precision: time.Millisecond},
	{layout: "02/01/2006 15:04:05"},
	{layout: "02/01/06 15:04:05", after: " x"},
	{layout: "01/02/2006:15:04:05", after: " x"},
	{layout: "<01/02/06@15:04:05>", after: " x"},
	{layout: "060102 15:04:05", after: " [Warning]"},
	{layout: "060102  15:04:05", before: "mysqld: "},
	{layout: "Jan 02, 2006 3:04:05 PM", after: " x"},
	{layout: "Jan-02-06 15:04:05", after: " x"},
	{layout: "20060102T150405.000Z0700", after: " x", precision: time.Millisecond},
	{layout: "20060102 150405", after: " x"},
	{layout: "15:04:05", after: " x"},
	{layout: "-07:00 Jan 02 15:04:05 2006", after: " x"},
	{layout: "2006-01-02 15:04:05", pattern: "^%Y-%m-%d %H:%M:%S", after: " x"},
	{layout: "2006:01:02-15:04:05", pattern: "^%Y:%m:%d-%H:%M:%S", after: " x"},
	{layout: "January 2, 2006 at 3:04:05 pm", pattern: "%B %d, %Y at %I:%M:%S %p", before: "on ", after: " x"},
	{layout: "Monday 2 January 2006 15:04:05", pattern: "%A %d %B %Y %H:%M:%S"},
	{layout: "2006 002 15:04:05", pattern: "%Y %j %H:%M:%S"},
	{layout: "15:04:05 02.01.2006 -0700", pattern: "%H:%M:%S %d.%m.%Y %z$", before: "at "},
	{layout: "t=2006-01-02T15:04:05-0700", pattern: "^t=%Y-%m-%dT%H:%M:%S%z", after: " lvl=eror"},
}

// checkLayout writes t by a layout and reads it back. The reference lies at most half an hour away, so that
// years, days and the hour that is shown twice are clear.
func checkLayout(t testing.TB, i int, f *Finder, at time.Time, away time.Duration) {
	t.Helper()
	c := dateLayouts[i]
	text := at.Format(c.layout)
	if strings.HasPrefix(c.layout, "Jan 02, 2006 3") && at.Hour()%12 == 0 {
		text = at.Format("Jan 02, 2006 03:04:05 PM")
	}
	line := []byte(c.before + text + c.after)
	want := at.Truncate(max(c.precision, time.Second))
	if c.precision > 0 {
		want = at.Truncate(c.precision)
	}
	if c.layout == "15:04:05" {
		away = away.Abs()
		if _, east := at.Zone(); east != zoneOf(at.Add(3*time.Hour)) || east != zoneOf(at.Add(-3*time.Hour)) {
			return // the time alone is not clear
		}
	}
	span, ok := f.Find(line)
	got, read := f.Time(line, span, at.Add(away))
	if !ok || !read || !got.Equal(want) {
		t.Errorf("%s: %q: got %v %v %v, want %v", c.pattern, line, span, read, got, want)
	}
	if c.pattern == "" && c.precision < time.Microsecond && c.precision > 0 {
		return // the last digits of nanoseconds stay in the line
	}
	if cut := string(line[span.Start:span.End]); c.pattern == "" && cut != text {
		t.Errorf("%q: got %q cut out, want %q", line, cut, text)
	}
}

func zoneOf(t time.Time) int {
	_, east := t.Zone()
	return east
}

func layoutFinders(t testing.TB) (list []*Finder) {
	for _, c := range dateLayouts {
		var patterns []string
		if c.pattern != "" {
			patterns = []string{c.pattern}
		}
		list = append(list, mustDates(t, berlin(t), patterns...).Finder())
	}
	return list
}

// TestDatesLayouts reads back what the standard library writes, over all years and around the changes of the clock.
func TestDatesLayouts(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	loc := berlin(t)
	finders := layoutFinders(t)
	for range several(3000) {
		at := time.Unix(946684800+r.Int64N(100*365*86400), r.Int64N(1e9)).In(loc) // 2000 to 2099
		if r.IntN(3) == 0 {                                                       // near the end of summer time or the year
			base := time.Date(at.Year(), []time.Month{3, 10, 12}[r.IntN(3)], 25+r.IntN(7), 2, 30, 0, 0, loc)
			at = base.Add(time.Duration(r.Int64N(int64(4*time.Hour))) - 2*time.Hour)
		}
		for range 3 { // neighbours, so that what is remembered is used
			for i, f := range finders {
				checkLayout(t, i, f, at, time.Duration(r.IntN(59)-29)*time.Minute)
			}
			at = at.Add(time.Duration(r.Int64N(int64(2 * time.Minute))))
			if at.Year() > 2099 || t.Failed() {
				break
			}
		}
	}
}

// FuzzDatesLayout does so for any moment.
func FuzzDatesLayout(f *testing.F) {
	f.Add(int64(1795332191), int64(123456789), 7, int64(0))
	f.Add(int64(1792974600), int64(0), 0, int64(1799))
	finders := layoutFinders(f)
	loc := berlin(f)
	f.Fuzz(func(t *testing.T, sec, nanos int64, layout int, away int64) {
		at := time.Unix(946684800+int64(uint64(sec)%(99*365*86400)), int64(uint64(nanos)%1e9)).In(loc)
		i := int(uint(layout) % uint(len(dateLayouts)))
		checkLayout(t, i, finders[i], at, time.Duration(away%1800)*time.Second)
	})
}

// TestDatesYear gives a date without a year its year, by the clock.
func TestDatesYear(t *testing.T) {
	for _, c := range []struct{ ref, line, want string }{
		{"2026-11-22T12:00:00Z", "Nov 22 11:59:59", "2026-11-22T11:59:59Z"},
		{"2026-11-22T12:00:00Z", "Nov 23 11:59:59", "2026-11-23T11:59:59Z"},
		{"2026-11-22T12:00:00Z", "Nov 23 12:00:01", "2025-11-23T12:00:01Z"},
		{"2026-01-01T00:00:05Z", "Dec 31 23:59:58", "2025-12-31T23:59:58Z"},
		{"2026-12-31T23:59:58Z", "Jan  1 00:00:05", "2027-01-01T00:00:05Z"},
		{"2026-12-31T23:59:58Z", "Jan  2 00:00:05", "2026-01-02T00:00:05Z"},
		{"2024-03-01T00:00:00Z", "Feb 29 12:00:00", "2024-02-29T12:00:00Z"},
		{"2024-02-28T23:00:00Z", "Feb 29 12:00:00", "2024-02-29T12:00:00Z"},
		{"2026-06-01T00:00:00Z", "Feb 29 12:00:00", "2024-02-29T12:00:00Z"},
		{"2103-06-01T00:00:00Z", "Feb 29 12:00:00", "2096-02-29T12:00:00Z"},
		{"2026-06-01T00:00:00Z", "Feb 30 12:00:00", ""},
		{"2026-06-01T00:00:00Z", "Apr 31 12:00:00", ""},
		{"2026-06-01T00:00:00Z", "2025-02-29 12:00:00", ""},
		{"2026-06-01T00:00:00Z", "2024-02-29 12:00:00", "2024-02-29T12:00:00Z"},
		{"2026-06-01T00:00:00Z", "Jan 10 29:12:12", ""},
		{"2016-12-31T23:59:59Z", "Dec 31 23:59:60", "2017-01-01T00:00:00Z"},
		{"2026-06-01T00:00:30Z", "23:59:59", "2026-05-31T23:59:59Z"},
		{"2026-06-01T00:00:30Z", "00:01:30", "2026-06-01T00:01:30Z"},
		{"2026-06-01T00:00:30Z", "00:01:31", "2026-05-31T00:01:31Z"},
		{"2026-05-31T23:59:30Z", "00:00:10", "2026-06-01T00:00:10Z"},
	} {
		t.Run(c.ref+" "+c.line, func(t *testing.T) {
			ref, err := time.Parse(time.RFC3339, c.ref)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []*Finder{mustDates(t, time.UTC).Finder(), slowDates(t, time.UTC).Finder()} {
				for range 2 { // the second time from what is remembered
					span, _ := f.Find([]byte(c.line + " x"))
					at, ok := f.Time([]byte(c.line+" x"), span, ref)
					got := ""
					if ok {
						got = at.UTC().Format(time.RFC3339)
					}
					if got != c.want {
						t.Errorf("got %q, want %q", got, c.want)
					}
				}
			}
		})
	}
}

// TestDatesMemory shows that what is remembered does not outlive its truth.
func TestDatesMemory(t *testing.T) {
	f := mustDates(t, berlin(t)).Finder()
	line := []byte("Dec 31 23:59:58 web sshd[7]: x")
	span, _ := f.Find(line)
	for _, c := range []struct{ ref, want string }{
		{"2026-12-31T22:59:59Z", "2026-12-31T22:59:58Z"},
		{"2027-12-30T22:59:57Z", "2026-12-31T22:59:58Z"},
		{"2027-12-30T22:59:58Z", "2027-12-31T22:59:58Z"},
		{"2026-12-31T22:59:59Z", "2026-12-31T22:59:58Z"},
		{"2026-12-30T22:59:57Z", "2025-12-31T22:59:58Z"},
	} {
		ref, _ := time.Parse(time.RFC3339, c.ref)
		for range 2 {
			at, ok := f.Time(line, span, ref)
			if got := at.UTC().Format(time.RFC3339); !ok || got != c.want {
				t.Errorf("at %s: got %v, want %v", c.ref, got, c.want)
			}
		}
	}
	day := mustDates(t, time.UTC, "^%j %H:%M:%S").Finder()
	for _, year := range []int{2025, 2026, 2024} {
		span, _ := day.Find([]byte("300 21:59:59"))
		at, ok := day.Time([]byte("300 21:59:59"), span, time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC))
		if !ok || at.Year() != year {
			t.Errorf("day 300: got %v, want it in %d", at, year)
		}
	}
	line = []byte("-05:00 Dec 31 23:59:58 web sshd[7]: x") // what decides about the year is its own clock
	span, _ = f.Find(line)
	for _, c := range []struct{ ref, want string }{
		{"2027-01-01T05:00:00Z", "2027-01-01T04:59:58Z"},
		{"2026-12-31T04:59:50Z", "2026-01-01T04:59:58Z"},
	} {
		ref, _ := time.Parse(time.RFC3339, c.ref)
		at, ok := f.Time(line, span, ref)
		if got := at.UTC().Format(time.RFC3339); !ok || got != c.want {
			t.Errorf("at %s: got %v, want %v", c.ref, got, c.want)
		}
	}
}

// TestDatesAgain reads a second line as if there had been no first.
func TestDatesAgain(t *testing.T) {
	const iso = `{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`
	for _, c := range []struct{ pattern, first, second string }{
		{"", "Jan 23 21:59:59 web sshd", "Jan 23 21:59:65 web sshd"},
		{"", "Jan 23 21:59:59 web sshd", "Jan 23 21:59:60 web sshd"},
		{"", "Jan 23 21:59:59 web sshd", "Jan 23 21:59:5a web sshd"},
		{"", "Jan 23 21:59:59 web sshd", "Jan 23 21:59:59 2005 web"},
		{"", "Jan 23 21:59:59 2web sshd", "Jan 23 21:59:59 2005 web"},
		{"", "Jan 23 21:59:59 web sshd", "x Jan 23 21:59:58 web sshd"},
		{"", "Jan 23 21:59:59 web sshd", "CET Jan 23 21:59:58 web sshd"},
		{"", "CET Jan 23 21:59:59 web sshd", "from Jan 23 21:59:58 web sshd"},
		{"", "Jan-23-05 21:59:59 web sshd", "x Jan-23-05 21:59:58 web sshd"},
		{"", "Jan-23-05 21:59:59 web sshd", "[Jan-23-05 21:59:58 web sshd"},
		{"", "<01/23/05@21:59:59> web sshd", " <01/23/05@21:59:58> web sshd"},
		{"", "2005-01-23 21:59:59.123 web x", "2005-01-23 21:59:59.12 web xx"},
		{"", "2005-01-23 21:59:59.123 web x", "2005-01-23 21:59:59.1234 web "},
		{"", "2005-01-23 21:59:59.000 web x", "2005-01-23 21:59:58.123 web x"},
		{"", "2005-01-23 21:59:59 +1 web x", "2005-01-23 21:59:59 +1234 x y"},
		{"", "2005-01-23 21:59:59 web x yz", "2005-01-23 21:59:59 Z web x y"},
		{"", "2005-01-23 21:59:59+x web yz", "2005-01-23 21:59:59+0400 x yz"},
		{"", "2005-01-23 21:59:59  web yz", "2005-01-23 21:59:59  UTC x yz"},
		{"", "2005-01-23 21:59:59+01:x yz", "2005-01-23 21:59:59+01:30 x y"},
		{"", "2005-01-23 21:59:59", "2005-01-23 21:59:58 +0400"},
		{"", "2005-01-23 21:59:59] x y z uvw", "2005-01-23 21:59:58é x y z uvw"},
		{"", "+01:00 Jan 23 21:59:59 web sshd", "+01:00 Jan 23 21:59:58 web sshd"},
		{"", "21:59:59 web sshd", "21:59:58 web sshd"},
		{iso, "2005-01-23 21:59:59 web", "2005-01-23  1:59:59 web"},
		{iso, "2005-01-23 21:59:59 web", "2005-01-23T21:59:59 web"},
		{"{DEFAULT}\n" + iso, "2005-01-23  21:59:59 web x y", "2005-01-23  21:59:58 web x y"},
		{`^%Y-%m-%dT%H:%M:%S(?:\.%f)?(?:%z)?`, "2005-01-23T21:59:59 x", "2005-01-23T21:59:59.123456789Z x"},
		{"", "01-23-2005 21:59:59.5 web x y", "01-03-2005 21:59:59.5 web x y"},
	} {
		t.Run(c.first+"|"+c.second, func(t *testing.T) {
			d := mustDates(t, berlin(t), strings.Split(c.pattern, "\n")...)
			for _, year := range []int{2005, 2006} {
				ref := time.Date(year, 1, 24, 21, 30, 0, 0, time.UTC)
				used, fresh := d.Finder(), d.Finder()
				answer(used, []byte(c.first), ref.AddDate(-1, 0, -3))
				if c.first[:2] == "01" { // the order of day and month is meant to be remembered
					answer(fresh, []byte("01-23-2005 21:59:59"), ref)
				}
				got, want := answer(used, []byte(c.second), ref), answer(fresh, []byte(c.second), ref)
				if got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
}

// TestDatesClockChange reads the hours that a clock shows twice, and not at all.
func TestDatesClockChange(t *testing.T) {
	for _, c := range []struct{ line, ref, want string }{
		{"2026-10-25 02:30:00", "2026-10-25T00:30:01Z", "2026-10-25T00:30:00Z"},
		{"2026-10-25 02:30:00", "2026-10-25T01:30:01Z", "2026-10-25T01:30:00Z"},
		{"2026-10-25 02:30:00", "2026-10-26T01:30:01Z", "2026-10-25T01:30:00Z"},
		{"2026-10-25 01:59:59", "2026-10-25T01:30:01Z", "2026-10-24T23:59:59Z"},
		{"2026-10-25 03:00:00", "2026-10-25T01:30:01Z", "2026-10-25T02:00:00Z"},
		{"2026-03-29 02:30:00", "2026-03-29T01:30:01Z", "2026-03-29T01:30:00Z"},
		{"2026-03-29 01:59:59", "2026-03-29T01:30:01Z", "2026-03-29T00:59:59Z"},
		{"2026-03-29 03:00:00", "2026-03-29T01:30:01Z", "2026-03-29T01:00:00Z"},
	} {
		f := mustDates(t, berlin(t)).Finder()
		ref, _ := time.Parse(time.RFC3339, c.ref)
		for range 2 {
			span, _ := f.Find([]byte(c.line + " x"))
			at, ok := f.Time([]byte(c.line+" x"), span, ref)
			if got := at.UTC().Format(time.RFC3339); !ok || got != c.want {
				t.Errorf("%s at %s: got %v, want %v", c.line, c.ref, got, c.want)
			}
		}
	}
}

// TestDatesMonthFirst keeps the reading that a source showed last, also for lines that were searched before they are read.
func TestDatesMonthFirst(t *testing.T) {
	f := mustDates(t, time.UTC).Finder()
	read := func(line string) string {
		span, _ := f.Find([]byte(line))
		at, _ := f.Time([]byte(line), span, time.Time{})
		return line[span.Start:span.End] + " " + at.UTC().Format("Jan 2")
	}
	early := []byte("02-03-2026 07:23:11.5 x")
	span, _ := f.Find(early)
	for _, c := range []struct{ line, want string }{
		{"02-03-2026 07:23:11.5 x", "02-03-2026 07:23:11 Mar 2"},
		{"02-13-2026 07:23:11.5 x", "02-13-2026 07:23:11.5 Feb 13"},
		{"02-03-2026 07:23:11.5 x", "02-03-2026 07:23:11.5 Feb 3"},
		{"a 02-03-2026 07:23:11.5 x", "02-03-2026 07:23:11.5 Feb 3"},
		{"13-02-2026 07:23:11 x", "13-02-2026 07:23:11 Feb 13"},
		{"02-03-2026 07:23:11.5 x", "02-03-2026 07:23:11 Mar 2"},
		{"02-13-2026 07:23:11.5 x", "02-13-2026 07:23:11.5 Feb 13"},
	} {
		if got := read(c.line); got != c.want {
			t.Errorf("%s: got %q, want %q", c.line, got, c.want)
		}
	}
	if at, ok := f.Time(early, span, time.Time{}); !ok || at.Month() != 3 {
		t.Errorf("searched earlier: got %v %v, want in March", at, ok)
	}
	if got, want := read("02-03-2026 07:23:11.5 x"), "02-03-2026 07:23:11.5 Feb 3"; got != want {
		t.Errorf("afterwards: got %q, want %q", got, want)
	}
}

// TestDatesAllocate shows that neither finding nor reading a date allocates.
func TestDatesAllocate(t *testing.T) {
	ref := time.Date(2026, 11, 22, 7, 23, 12, 0, time.UTC)
	for _, c := range benchDates {
		var patterns []string
		if c.pattern != "" {
			patterns = []string{c.pattern}
		}
		for i, d := range []*Dates{
			mustDates(t, berlin(t), patterns...), slowDates(t, berlin(t), patterns...),
			mustDates(t, berlin(t), append(patterns, `%Y-%j %A %B %d x`)...),
		} {
			f, line := d.Finder(), []byte(c.line)
			f.Find(line)
			if n := testing.AllocsPerRun(10, func() {
				span, _ := f.Find(line)
				f.Time(line, span, ref)
			}); n != 0 {
				t.Errorf("%s, %d: got %v allocations, want 0", c.name, i, n)
			}
		}
	}
}

// TestDatesLongLine searches lines of 64 KiB by patterns that try every way, in a number of steps that is linear in
// the line.
func TestDatesLongLine(t *testing.T) {
	for _, pattern := range []string{
		`(?:a|a)*b%H`, `(?:a+a+)+b%H`, `[^x]*a*[^y]*b%H:%M`, `.*.*.*%H:%M:%S`, `.*a*b%H`, `.*(?:a+b|1+b)%H`, `(?:a{0,9}){0,9}%H`, `^[^-]+ -- [^-]+ -- - ({DATE})`, `\d+%H%M%S%Y%m%d`,
	} {
		for _, unit := range []string{"a", "1", "a --", "1 ", "20", "Jan "} {
			t.Run(fmt.Sprintf("%s %s", pattern, unit), func(t *testing.T) {
				d := slowDates(t, time.UTC, pattern)
				f := d.Finder()
				line := []byte(strings.Repeat(unit, 65536/len(unit)))
				f.Find(line)
				if limit := (len(d.programs[0].inst) + 8) * len(line); f.match.steps > limit {
					t.Errorf("got %d steps, want at most %d", f.match.steps, limit)
				}
			})
		}
	}
}

// TestDateZone reads the words that logtimezone may have.
func TestDateZone(t *testing.T) {
	at := time.Date(2017, 1, 23, 15, 0, 0, 0, time.UTC)
	for name, want := range map[string]string{
		"UTC+0300": "+0300", "UTC": "+0000", "UTC-0430": "-0430", "GMT+12": "+1200", "CET": "+0100", "+0100": "+0100",
		"CEST-01": "+0100", "CEST": "+0200", "CET+01": "+0200", "CET+0130": "+0230", "-10:45": "-1045", "Z": "+0000",
		"Europe/Berlin": "+0100", "WRONG-TZ": "", "": "", "XYZ": "",
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if loc, err := DateZone(name); err == nil {
				got = at.In(loc).Format("-0700")
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
