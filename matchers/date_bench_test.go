package matchers

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
	"golang.org/x/sys/unix"
)

// benchDates are the common formats, each in a line of its kind, with the layout that time.Parse needs.
var benchDates = []struct {
	name, pattern, line, layout string
}{
	{"syslog", "", `Nov 22 07:23:11 web sshd[1234]: Failed password for root from 192.0.2.7 port 4711 ssh2`, time.Stamp},
	{"syslog_lnbeg", "{^LN-BEG}", `Nov 22 07:23:11 web sshd[1234]: Failed password for root from 192.0.2.7 port 4711 ssh2`, time.Stamp},
	{"iso", "", `2026-11-22T07:23:11.123456+01:00 web sshd[1234]: Failed password for root from 192.0.2.7 port 4711 ssh2`, time.RFC3339Nano},
	{"iso_space", "", `2026-11-22 07:23:11,123 fail2ban.actions [99]: NOTICE [sshd] Ban 192.0.2.7`, "2006-01-02 15:04:05,000"},
	{"iso_pattern", `{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`, `2026-11-22 07:23:11,123 fail2ban.actions [99]: NOTICE [sshd] Ban 192.0.2.7`, "2006-01-02 15:04:05,000"},
	{"access", "", `192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET /wp-login.php HTTP/1.1" 404 162 "-" "curl/8.5.0"`, "02/Jan/2006:15:04:05 -0700"},
	{"access_pattern", `^[^\[]*\[({DATE})`, `192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET /wp-login.php HTTP/1.1" 404 162 "-" "curl/8.5.0"`, "02/Jan/2006:15:04:05 -0700"},
	{"nginx_error", "", `2026/11/22 07:23:11 [error] 99#99: *7 user "x": password mismatch, client: 192.0.2.7, server: localhost`, "2006/01/02 15:04:05"},
	{"apache_error", "", `[Sun Nov 22 07:23:11.123456 2026] [auth_basic:error] [pid 99] [client 192.0.2.7:4711] AH01617: user x`, "Mon Jan _2 15:04:05.999999 2006"},
	{"rfc5424", `^<\d+>\d+\s+{DATE}`, `<38>1 2026-11-22T07:23:11.123456+01:00 web sshd 1234 - - Failed password for root`, ""},
	{"epoch", "", `1795332191.123 web squid[1]: 192.0.2.7 TCP_DENIED/407`, ""},
	{"audit", "", `type=USER_LOGIN msg=audit(1795332191.123:987): pid=1 uid=0 res=failed`, ""},
	{"none", "", `web sshd[1234]: Failed password for root from 192.0.2.7 port 4711 ssh2`, ""},
}

func benchFinder(b *testing.B, pattern string) *Finder {
	var patterns []string
	if pattern != "" {
		patterns = []string{pattern}
	}
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	return mustDates(b, loc, patterns...).Finder()
}

// cpuTime reports the thread's own time per operation, which on a busy machine is the truer figure. It is to be
// deferred before the loop.
func cpuTime(b *testing.B) func() {
	runtime.LockOSThread()
	from := threadTime(b)
	return func() {
		b.ReportMetric(float64(threadTime(b)-from)/float64(b.N), "cpu-ns/op")
		runtime.UnlockOSThread()
	}
}

// threadTime is what the thread has used, in nanoseconds.
func threadTime(b *testing.B) int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return t.Nano()
}

// BenchmarkNewDates compiles datepatterns.
func BenchmarkNewDates(b *testing.B) {
	for _, patterns := range [][]string{{}, {`^[^\[]*\[({DATE})`}, {`^%Y-%m-%d %H:%M:%S`}} {
		b.Run(strings.Join(patterns, ","), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustDates(b, time.UTC, patterns...)
			}
		})
	}
}

// BenchmarkDateFind finds the date of one line.
func BenchmarkDateFind(b *testing.B) {
	for _, c := range benchDates {
		b.Run(c.name, func(b *testing.B) {
			f, line := benchFinder(b, c.pattern), []byte(c.line)
			b.ReportAllocs()
			defer cpuTime(b)()
			for b.Loop() {
				f.Find(line)
			}
		})
	}
}

// BenchmarkDateTime decodes a date that was found: the same again and again, one whose second or whose minute changes, and the
// same by time.Parse.
func BenchmarkDateTime(b *testing.B) {
	ref := time.Date(2026, 11, 22, 7, 23, 12, 0, time.UTC)
	for _, c := range benchDates {
		f, line := benchFinder(b, c.pattern), []byte(c.line)
		span, ok := f.Find(line)
		if !ok {
			continue
		}
		second := lastSecond(c.line, span)
		for _, change := range []struct {
			name  string
			digit int
		}{{"same", -1}, {"second", second}, {"minute", max(second-3, span.Start)}} {
			b.Run(c.name+"/"+change.name, func(b *testing.B) {
				b.ReportAllocs()
				defer cpuTime(b)()
				for b.Loop() {
					if change.digit >= 0 {
						line[change.digit] ^= 1
					}
					if _, ok := f.Time(line, span, ref); !ok {
						b.Fatal("no date")
					}
				}
				copy(line, c.line)
			})
		}
		if c.layout == "" {
			continue
		}
		text := c.line[span.Start:span.End]
		b.Run(c.name+"/time.Parse", func(b *testing.B) {
			b.ReportAllocs()
			defer cpuTime(b)()
			for b.Loop() {
				if _, err := time.ParseInLocation(c.layout, text, f.dates.loc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// lastSecond is the last digit of 07:23:11, or of an epoch.
func lastSecond(line string, span pipeline.Span) int {
	for i := span.End - 6; i > span.Start; i-- {
		if line[i] == ':' && line[i+3] == ':' {
			return i + 5
		}
	}
	return span.Start + 9
}
