package matchers

import (
	"fmt"
	"testing"
	"time"
)

func mustDates(t testing.TB, loc *time.Location, patterns ...string) *Dates {
	t.Helper()
	d, err := NewDates(patterns, DateOptions{Location: loc})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func berlin(t testing.TB) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// TestDatesDefault reads one moment in every shape that is known by default, anywhere or at the line's start only.
func TestDatesDefault(t *testing.T) {
	loc := berlin(t)
	want := time.Date(2005, 1, 23, 21, 59, 59, 0, loc)
	ref := time.Date(2005, 8, 14, 12, 0, 0, 0, loc)
	for _, c := range []struct {
		date  string
		start bool // found at the line's start only
		cut   string
	}{
		{date: "Jan 23 21:59:59"},
		{date: "Sun Jan 23 21:59:59 2005"},
		{date: "Sun Jan 23 21:59:59"},
		{date: "Sun Jan 23 2005 21:59:59"},
		{date: "Sun Jan 23 21:59:59.011 2005"},
		{date: "2005/01/23 21:59:59"},
		{date: "2005.01.23 21:59:59"},
		{date: "23/01/2005 21:59:59"},
		{date: "23/01/05 21:59:59"},
		{date: "23/Jan/2005:21:59:59"},
		{date: "23/Jan/2005:21:59:59 +0100"},
		{date: "01/23/2005:21:59:59"},
		{date: "2005-01-23 21:59:59"},
		{date: "2005-01-23 21:59:59,000"},
		{date: "23-Jan-2005 21:59:59"},
		{date: "23-Jan-2005 21:59:59.02"},
		{date: "23-Jan-2005 21:59:59 +0100"},
		{date: "23-01-2005 21:59:59"},
		{date: "1106513999", start: true},
		{date: "01-23-2005 21:59:59.252"},
		{date: "@4000000041f4104f00000000"},
		{date: "2005-01-23T20:59:59.252Z"},
		{date: "2005-01-23T15:59:59-05:00"},
		{date: "2005-01-23T15:59:59-0500"},
		{date: "2005-01-23T15:59:59 -05"},
		{date: "20050123T215959"},
		{date: "20050123 215959"},
		{date: "<01/23/05@21:59:59>", start: true},
		{date: "050123 21:59:59"},
		{date: "Jan-23-05 21:59:59", start: true},
		{date: "Jan 23, 2005 9:59:59 PM"},
		{date: "1106513999.000", start: true},
		{date: "[1106513999.000]", start: true, cut: "1106513999.000"},
		{date: "audit(1106513999.000:987)", cut: "1106513999.000"},
		{date: "CET Jan 23 21:59:59"},
		{date: "UTC Sun Jan 23 20:59:59 2005"},
		{date: "-05:00 Jan 23 15:59:59.011 2005"},
	} {
		for _, prefix := range []string{"", "bogus-prefix "} {
			t.Run(prefix+c.date, func(t *testing.T) {
				line := []byte(prefix + c.date + "[sshd] error: PAM: Authentication failure")
				f := mustDates(t, loc).Finder()
				span, ok := f.Find(line)
				if found := prefix == "" || !c.start; ok != found {
					t.Fatalf("found: got %v, want %v", ok, found)
				} else if !found {
					return
				}
				cut := c.cut
				if cut == "" {
					cut = c.date
				}
				if got := string(line[span.Start:span.End]); got != cut {
					t.Errorf("cut: got %q, want %q", got, cut)
				}
				if got, ok := f.Time(line, span, ref); !ok || !got.Truncate(time.Second).Equal(want) {
					t.Errorf("time: got %v %v, want %v", got, ok, want)
				}
			})
		}
	}
}

// TestDatesPattern reads by patterns that filters name.
func TestDatesPattern(t *testing.T) {
	ref := time.Date(2005, 8, 14, 12, 0, 0, 0, time.UTC)
	const never = "never"
	for _, c := range []struct {
		pattern, line, cut, want string
	}{
		{`^[^\[]*\[({DATE})`, `192.0.2.1 - - [23/Jan/2005:21:59:59 +0100] "GET`, "23/Jan/2005:21:59:59 +0100", "2005-01-23T20:59:59Z"},
		{`^[^\[]*(\[{DATE}\s*\])`, `a [Sun Jan 23 21:59:59.123456 2005] [x]`, "[Sun Jan 23 21:59:59.123456 2005]", "2005-01-23T21:59:59Z"},
		{`^<\d+>\d+\s+{DATE}`, `<14>1 2005-01-23T21:59:59Z host`, `<14>1 2005-01-23T21:59:59Z`, "2005-01-23T21:59:59Z"},
		{`{^LN-BEG}`, `<14>Jan 23 21:59:59 host`, "", never},
		{`^<co ts="{DATE}"\s+`, `<co ts="2005-01-23T21:59:59Z"  x`, `<co ts="2005-01-23T21:59:59Z"  `, "2005-01-23T21:59:59Z"},
		{`^L %d/%m/%Y - %H:%M:%S`, `L 01/02/2005 - 10:11:12: x`, "L 01/02/2005 - 10:11:12", "2005-02-01T10:11:12Z"},
		{`(?<=\|\s){LEPOCH}(?=\s\|)`, `auth | 1138049999000 | bad`, "1138049999000", "2006-01-23T20:59:59Z"},
		{`^\d+{DATE}`, `142005-01-23 21:59:59 x`, `142005-01-23 21:59:59`, "2005-01-23T21:59:59Z"},
		{`^<W>{DATE}`, `<W>2005-01-23 21:59:59 x`, `<W>2005-01-23 21:59:59`, "2005-01-23T21:59:59Z"},
		{`^<W>{DATE}`, `<w>2005-01-23 21:59:59 x`, "", never},
		{`^<W>{DATE}`, `<w>Jan 23 21:59:59 x`, `<w>Jan 23 21:59:59`, "2005-01-23T21:59:59Z"},
		{`{NONE}`, "2005-01-23 21:59:59", "", "2005-08-14T12:00:00Z"},
		{`%H:%M:%S %d.%m.%Y$`, "at 20:00:00 01.02.2003", "20:00:00 01.02.2003", "2003-02-01T20:00:00Z"},
		{`**%H:%M:%S %d.%m.%Y**`, "x20:00:00 01.02.2003x", "20:00:00 01.02.2003", "2003-02-01T20:00:00Z"},
		{`%H:%M:%S:x*`, "21:59:59:xxy", "21:59:59:", "2005-08-13T21:59:59Z"},
		{`%H:%M:%S %d.%m.%Y`, "x20:00:00 01.02.2003", "", never},
		{`\**%H:%M:%S %d.%m.%Y\**`, "test*20:00:00 01.02.2003*test", "*20:00:00 01.02.2003*", "2003-02-01T20:00:00Z"},
		{`(?iu)**time:%ExY%Exm%ExdT%ExH%ExM%ExS**`, "XTIME:20050102T010203X", "TIME:20050102T010203", "2005-01-02T01:02:03Z"},
		{`^%B %Exd %I:%ExM:%ExS**`, "January 23 12:59:59", "January 23 12:59:59", "2005-01-23T00:59:59Z"},
		{`^%y %U %A %ExH:%ExM:%ExS**`, "01 11 Wednesday 21:59:59", "01 11 Wednesday 21:59:59", "2001-03-21T21:59:59Z"},
		{`^%y %W %A %ExH:%ExM:%ExS**`, "01 11 Wednesday 21:59:59", "01 11 Wednesday 21:59:59", "2001-03-14T21:59:59Z"},
		{`^%y %W %w %ExH:%ExM:%ExS**`, "01 11 0 21:59:59", "01 11 0 21:59:59", "2001-03-18T21:59:59Z"},
		{`^%y %W %w %ExH:%ExM:%ExS**`, "01 11 6 21:59:59", "01 11 6 21:59:59", "2001-03-17T21:59:59Z"},
		{`^%G-W%V-%u %H:%M:%S`, "2004-W53-6 21:59:59", "2004-W53-6 21:59:59", "2005-01-01T21:59:59Z"},
		{`^%Y-%j %H:%M:%S`, "2004-366 21:59:59", "2004-366 21:59:59", "2004-12-31T21:59:59Z"},
		{`^%j %H:%M:%S`, "001 21:59:59", "001 21:59:59", "2005-01-01T21:59:59Z"},
		{`^%j %H:%M:%S`, "300 21:59:59", "300 21:59:59", "2004-10-26T21:59:59Z"},
		{`^%j %H:%M:%S`, "366 21:59:59", "366 21:59:59", "2004-12-31T21:59:59Z"},
		{`^%ExH:%ExM:%ExS**`, "21:59:59", "21:59:59", "2005-08-13T21:59:59Z"},
		{`^%ExH:%ExM:%ExS**`, "00:00:01", "00:00:01", "2005-08-14T00:00:01Z"},
		{`^%m/%d %ExH:%ExM:%ExS**`, "09/01 21:59:59", "09/01 21:59:59", "2004-09-01T21:59:59Z"},
		{`^%Y-%m-%d%z**`, "2004-09-01Z", "2004-09-01Z", "2004-09-01T00:00:00Z"},
		{`^%ExY-%Exm-%Exd %H:%M:%S(?: ?%Exz)?`, "2017-01-23 15:00:00 CET+0130", "2017-01-23 15:00:00 CET+0130", "2017-01-23T12:30:00Z"},
		{`^%ExY-%Exm-%Exd %H:%M:%S(?: ?%Exz)?`, "2017-01-23 15:00:00 CEST", "2017-01-23 15:00:00 CEST", "2017-01-23T13:00:00Z"},
		{`^I\(()**`, "I(x", "", "2005-08-14T12:00:00Z"},
		{`^%Y-%m-%d %H:%M:%S`, "2005-02-31 00:00:00", "2005-02-31 00:00:00", never},
	} {
		t.Run(c.pattern+" "+c.line, func(t *testing.T) {
			f := mustDates(t, time.UTC, c.pattern).Finder()
			span, ok := f.Find([]byte(c.line))
			if got := c.line[span.Start:span.End]; got != c.cut {
				t.Fatalf("cut: got %q, want %q", got, c.cut)
			}
			got := never
			if at, good := f.Time([]byte(c.line), span, ref); ok && good {
				got = at.UTC().Truncate(time.Second).Format(time.RFC3339)
			}
			if got != c.want {
				t.Errorf("time: got %v, want %v", got, c.want)
			}
		})
	}
}

// TestDatesMistake names the letter or word and its place.
func TestDatesMistake(t *testing.T) {
	refs := "%H"
	for _, name := range "abcdefghi" {
		refs += fmt.Sprintf("(?P<x%c>[0-9a-f])(?P=x%c)", name, name)
	}
	for pattern, want := range map[string]string{
		`%Y-%m-%d %Q`:               `datepattern "%Y-%m-%d %Q": byte 10: unknown date letter "%Q" (a percent sign is written %%)`,
		`^(%Y-%m-%d`:                `datepattern "^(%Y-%m-%d": byte 2: the bracket ( is not closed`,
		`%H:%M)`:                    `datepattern "%H:%M)": byte 6: the bracket ) was not opened`,
		`%d %H:%M:%S`:               `datepattern "%d %H:%M:%S": it has a day and no month (%m, %b)`,
		`[%H`:                       `datepattern "[%H": byte 1: the class [ is not closed`,
		`(a+)%H(?P=x)`:              `datepattern "(a+)%H(?P=x)": byte 7: a back-reference (?P=x) must stand behind a group of single characters of that name`,
		`(?<=a+)%H:%M`:              `datepattern "(?<=a+)%H:%M": byte 1: a look-around may hold only a few sequences of fixed length`,
		`%H:%M:%S(?:a*)*`:           `datepattern "%H:%M:%S(?:a*)*": byte 15: what may match nothing is repeated without limit`,
		`%H:%M:%S a{1,9999}`:        `datepattern "%H:%M:%S a{1,9999}": byte 11: {1,9999} repeats more than 64 times, or less than not at all`,
		refs:                        `datepattern "` + refs + `": the pattern is too big`,
		`%H(((a{64}){64}){64}){64}`: `datepattern "%H(((a{64}){64}){64}){64}": the pattern is too big`,
	} {
		t.Run(pattern, func(t *testing.T) {
			_, err := NewDates([]string{pattern}, DateOptions{})
			if fmt.Sprint(err) != want {
				t.Errorf("got  %v\nwant %v", err, want)
			}
		})
	}
}

// TestDatesPlace shows that nothing behind a line's date can take its place.
func TestDatesPlace(t *testing.T) {
	f := mustDates(t, time.UTC).Finder()
	for range 3 {
		for _, c := range []struct{ line, want string }{
			{"some free text 030324  0:03:59 -- 2003-03-07 17:05:01 ...", "030324  0:03:59"},
			{"some free text 2003-03-07 17:05:01 test ...", "2003-03-07 17:05:01"},
			{"server mysqld[1000]: 030324  0:04:00 [Warning] Access denied foreign-input 2003-03-07 17:05:01 test", "030324  0:04:00"},
			{"server mysqld[1020]: Sep 16 21:30:26 server mysqld: 030916 21:30:26 [Warning] Access denied", "Sep 16 21:30:26"},
			{"server mysqld[5906]: 2005-10-08T15:26:18.237955 6 [Note] Access denied", "2005-10-08T15:26:18.237955"},
			{"Sep 16 21:30:26 sshd: bad user @4000000041f4104f00000000 audit(1106513999.000:987) 2005-01-23T20:59:59.252Z", "Sep 16 21:30:26"},
			{"x Sep 16 21:30:26 sshd: bad user @4000000041f4104f00000000", "Sep 16 21:30:26"},
			{`192.0.2.1 - - [22/Nov/2026:07:23:11 +0000] "GET /2026-11-22T07:23:11Z HTTP/1.1" 404`, "22/Nov/2026:07:23:11 +0000"},
		} {
			span, _ := f.Find([]byte(c.line))
			if got := c.line[span.Start:span.End]; got != c.want {
				t.Errorf("%s: got %q, want %q", c.line, got, c.want)
			}
		}
	}
}
