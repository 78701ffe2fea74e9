package matchers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

func rules(regexes ...string) []Rule {
	var rules []Rule
	for _, r := range regexes {
		rules = append(rules, Rule{Regex: r})
	}
	return rules
}

// run sends lines through Parse and Match as one batch and returns what comes out, one string per record.
func run(t *testing.T, live bool, now time.Time, jails []JailFilter, lines ...string) []string {
	t.Helper()
	p, err := NewProgram(jails)
	if err != nil {
		t.Fatal(err)
	}
	var counts Counts
	programs := func(string) *Program { return p }
	b := &pipeline.Batch{Source: "test", Live: live}
	for _, l := range lines {
		b.Append([]byte(l), now)
	}
	for _, s := range []pipeline.Stage{&Parse{Programs: programs}, &Match{Programs: programs, Counts: &counts}} {
		if err := s.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, r := range b.Records {
		s := fmt.Sprintf("%s %s %s", r.Jail, r.Addr, r.Time.UTC().Format(time.DateTime))
		if r.Weight != 0 {
			s += fmt.Sprintf(" x%d", r.Weight)
		}
		if r.Key != nil {
			s += fmt.Sprintf(" %q", r.Key)
		}
		got = append(got, s)
	}
	return got
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func inJail(name string, f Filter) JailFilter {
	return JailFilter{Jail: name, Filter: f, Location: time.UTC}
}

func TestMatch(t *testing.T) {
	access := inJail("nginx-404", Filter{FailRegex: rules(`^<HOST> -.*"(GET|POST).*HTTP/.*" (404|403)`)})
	auth := inJail("nginx-http-auth", Filter{
		PrefRegex:   `^\s*\[error\] \d+#\d+: \*\d+ <F-CONTENT>.+</F-CONTENT>, client: <HOST>, server: \S*$`,
		FailRegex:   rules(`^user "<F-USER>[^"]*</F-USER>": password mismatch$`, `^no user/password was provided$`),
		IgnoreRegex: rules(`"monitor"`),
	})
	ufw := inJail("ufw", Filter{FailRegex: []Rule{{Regex: `\[UFW BLOCK\] .* SRC=<ADDR> .* DPT=<F-PORT>\d+</F-PORT> `, Weight: 3}}})
	ufw.Distinct = "port"
	tests := []struct {
		name  string
		jails []JailFilter
		line  string
		want  string // records joined by "; "
	}{
		{
			"the date is cut out of brackets",
			[]JailFilter{inJail("a", Filter{FailRegex: rules(`^<HOST> - - \[\] "GET`)})},
			`192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" 200 1`, "a 192.0.2.7 2026-11-22 07:23:11",
		},
		{
			"alternatives",
			[]JailFilter{access},
			`2001:db8::7 - - [22/Nov/2026:07:23:11 +0000] "GET /a HTTP/1.1" 404 1`, "nginx-404 2001:db8::7 2026-11-22 07:23:11",
		},
		{"miss", []JailFilter{access}, `192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET /a HTTP/1.1" 200 1`, ""},
		{
			"prefregex with the host behind the content",
			[]JailFilter{auth},
			`2026/11/22 07:23:11 [error] 1#1: *5 user "bob": password mismatch, client: 192.0.2.8, server: x`, "nginx-http-auth 192.0.2.8 2026-11-22 07:23:11",
		},
		{
			"ignoreregex",
			[]JailFilter{auth},
			`2026/11/22 07:23:11 [error] 1#1: *5 user "monitor": password mismatch, client: 192.0.2.8, server: x`, "",
		},
		{
			"few ignoreregexes see the whole line",
			[]JailFilter{inJail("a", Filter{PrefRegex: `^(?:gw|lan) <F-CONTENT>.+</F-CONTENT>$`, FailRegex: rules(`^a <ADDR>`, `^b <ADDR>`, `^c <ADDR>`, `^from <ADDR>$`), IgnoreRegex: rules(`^lan`)})},
			"lan from 192.0.2.7", "",
		},
		{
			"many see what failregex sees",
			[]JailFilter{inJail("a", Filter{PrefRegex: `^(?:gw|lan) <F-CONTENT>.+</F-CONTENT>$`, FailRegex: rules(`^from <ADDR>$`), IgnoreRegex: rules(`^lan`)})},
			"lan from 192.0.2.7", "a 192.0.2.7 2026-11-22 12:00:00",
		},
		{
			"an empty content is the whole line",
			[]JailFilter{inJail("a", Filter{PrefRegex: `^from \S+<F-CONTENT>.*</F-CONTENT>$`, FailRegex: rules(`^from <ADDR>$`)})},
			"from 192.0.2.7", "a 192.0.2.7 2026-11-22 12:00:00",
		},
		{
			"weight and key",
			[]JailFilter{ufw},
			`Nov 22 07:23:11 gw kernel: [1.0] [UFW BLOCK] IN=eth0 SRC=192.0.2.9 DST=192.0.2.1 DPT=22 WINDOW=1`, `ufw 192.0.2.9 2026-11-22 07:23:11 x3 "22"`,
		},
		{
			"two jails",
			[]JailFilter{access, inJail("all", Filter{FailRegex: rules(`^<ADDR> `)})},
			`192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET /a HTTP/1.1" 404 1`,
			"nginx-404 192.0.2.7 2026-11-22 07:23:11; all 192.0.2.7 2026-11-22 07:23:11",
		},
		{"no date", []JailFilter{inJail("a", Filter{FailRegex: rules(`from <ADDR>$`)})}, "bad login from 192.0.2.7", "a 192.0.2.7 2026-11-22 12:00:00"},
		{
			"a date ahead of the clock",
			[]JailFilter{inJail("a", Filter{FailRegex: rules(`from <ADDR>$`)})},
			"2026-11-22T13:00:00Z from 192.0.2.7", "a 192.0.2.7 2026-11-22 12:00:00",
		},
		{"carriage return", []JailFilter{inJail("a", Filter{FailRegex: rules(`from <ADDR>$`)})}, "from 192.0.2.7\r", "a 192.0.2.7 2026-11-22 12:00:00"},
		{"mapped", []JailFilter{inJail("a", Filter{FailRegex: rules(`from <ADDR>$`)})}, "from ::ffff:192.0.2.7", "a 192.0.2.7 2026-11-22 12:00:00"},
		{"brackets and zone", []JailFilter{inJail("a", Filter{FailRegex: rules(`from <ADDR>$`)})}, "from [fe80::7%eth0]", "a fe80::7 2026-11-22 12:00:00"},
		{"octal", []JailFilter{inJail("a", Filter{FailRegex: rules(`from <ADDR>$`)})}, "from 010.0.2.7", ""},
		{"a name", []JailFilter{inJail("a", Filter{FailRegex: rules(`from <HOST>$`)})}, "from example.org", ""},
		{"bytes that are not UTF-8", []JailFilter{inJail("a", Filter{FailRegex: rules(`^user \S+ from <HOST>$`)})}, "user \xff\xfe from 192.0.2.7", "a 192.0.2.7 2026-11-22 12:00:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(run(t, false, noon, tt.jails, tt.line), "; "); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMatchLive(t *testing.T) {
	jails := []JailFilter{inJail("a", Filter{FailRegex: rules(`from <ADDR>$`)})}
	tests := []struct{ date, want string }{
		{"2026-11-22T11:59:30Z", "2026-11-22 11:59:30"},
		{"2026-11-22T11:58:30Z", "2026-11-22 12:00:00"},
		{"2026-11-22T17:00:00Z", "2026-11-22 12:00:00"},
	}
	for _, tt := range tests {
		t.Run(tt.date, func(t *testing.T) {
			got := run(t, true, noon, jails, tt.date+" from 192.0.2.7")
			if want := "a 192.0.2.7 " + tt.want; len(got) != 1 || got[0] != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestNewProgramErrors(t *testing.T) {
	tests := []struct {
		filter Filter
		want   string
	}{
		{Filter{Name: "x"}, "jail j: filter x: no failregex"},
		{Filter{Name: "x", FailRegex: rules("foo")}, "jail j: filter x: failregex 1: missing <HOST>: it does not say who is to blame"},
		{Filter{Path: "x.conf", FailRegex: []Rule{{Regex: "<HOST>", Line: 3}, {Regex: "<HOST> (a", Line: 4}}}, "jail j: x.conf:4: failregex 2: missing ) at byte"},
		{Filter{Name: "x", FailRegex: rules(`^login <F-ID>user \w+</F-ID>$`)}, "jail j: filter x: failregex 1: <F-ID> is no address, and there is no <ADDR>: only addresses can be banned"},
		{Filter{Name: "x", FailRegex: rules("<mdre-nosuch>")}, "jail j: filter x: failregex 1: <mdre-nosuch> is not defined: is there such a mode?"},
		{Filter{Name: "x", Format: "json", FailRegex: rules("<HOST>")}, "jail j: filter x: format json needs the names of 1 to 32 fields"},
		{Filter{Name: "x", FailRegex: rules("<HOST>"), IgnoreRegex: rules(`(?P=x)`)}, "jail j: filter x: ignoreregex 1: no such group: x at byte 6"},
		{Filter{Name: "x", PrefRegex: "a", FailRegex: rules("<HOST>")}, "jail j: filter x: prefregex: missing <F-CONTENT>"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			_, err := NewProgram([]JailFilter{inJail("j", tt.filter)})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// Views with the same datepattern share the dates that were found, those of others are their own, and so are the zones.
func TestMatchDatesOfViews(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	behind := []string{`x %H:%M:%S`}
	at := func(f Filter, pattern []string, zone *time.Location, name string) JailFilter {
		f.DatePattern = pattern
		return JailFilter{Jail: name, Filter: f, Location: zone}
	}
	first, second := rules(`^x  (?:x \S+ )?bad <ADDR>$`), rules(`^x 2026-11-22 07:00:00  bad <ADDR>$`)
	json := Filter{FailRegex: second, Format: "json|plain", Text: []string{"ip"}}
	jails := []JailFilter{
		at(Filter{FailRegex: first}, nil, time.UTC, "a"),
		at(Filter{FailRegex: second}, behind, time.UTC, "b"),
		at(Filter{FailRegex: first}, nil, berlin, "c"),
		at(Filter{FailRegex: second}, behind, berlin, "d"),
		at(json, behind, time.UTC, "e"),
	}
	want := []string{
		"a 192.0.2.7 2026-11-22 07:00:00", "b 192.0.2.7 2026-11-22 08:00:00", "c 192.0.2.7 2026-11-22 06:00:00", "d 192.0.2.7 2026-11-22 07:00:00", "e 192.0.2.7 2026-11-22 08:00:00",
		"a 192.0.2.8 2026-11-22 07:00:00", "c 192.0.2.8 2026-11-22 06:00:00",
	}
	got := run(t, false, noon, jails, "x 2026-11-22 07:00:00 x 08:00:00 bad 192.0.2.7", "x 2026-11-22 07:00:00 bad 192.0.2.8")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
