package matchers

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTracer(t *testing.T) {
	jf := sshd()
	jf.Filter.IgnoreRegex = rules(`monitor`)
	tracer, err := NewTracer(jf)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ line, want string }{
		{"2026-11-22T07:23:11Z host sshd[1]: Failed password for bob from 192.0.2.7", "hit 192.0.2.7 07:23:11 rule 0 lines 1 users [bob]"},
		{"2026-11-22T07:23:12Z host sshd[1]: Failed publickey for bob from 192.0.2.7", "miss 07:23:12 rule 1 lines 0 users [bob]"},
		{"2026-11-22T07:23:13Z host sshd[1]: Too many failures", "hit 192.0.2.7 07:23:13 rule 3 lines 2 users [bob]"},
		{"2026-11-22T07:23:14Z host sshd[2]: Failed password for monitor from 192.0.2.8", "ignored 07:23:14 rule -1 lines 0 users []"},
		{"2026-11-22T07:23:15Z host cron[3]: nothing", "miss 07:23:15 rule -1 lines 0 users []"},
		{"host sshd[4]: Failed password for bob from 192.0.2.9", "miss 12:00:00 rule -1 lines 0 users []"},
	}
	for _, tt := range tests {
		got := tracer.Line([]byte(tt.line), noon)
		s := strings.Join(strings.Fields(fmt.Sprint(got.Verdict, " ", strings.TrimPrefix(got.Host.String(), "invalid IP"), " ", got.Time.Format(time.TimeOnly), " rule ", got.Rule, " lines ", got.Lines, " users ", got.Users)), " ")
		if s != tt.want {
			t.Errorf("%s: got %q, want %q", tt.line, s, tt.want)
		}
	}
	rules := tracer.Rules()
	if rules[0].Hits != 1 || rules[1].Hits != 1 || rules[3].Hits != 1 || rules[0].Time <= 0 {
		t.Errorf("got %+v", rules)
	}
}

// TestTracerGroups holds that a group lies where its span says.
func TestTracerGroups(t *testing.T) {
	tracer, err := NewTracer(sshd())
	if err != nil {
		t.Fatal(err)
	}
	got := tracer.Line([]byte("2026-11-22T07:23:11Z host sshd[1]: Failed password for bob from 192.0.2.7\r"), noon)
	want := map[string]string{"mlfid": " host sshd[1]: ", "user": "bob", "ip4": "192.0.2.7"}
	for _, g := range got.Groups {
		if want[g.Name] != g.Text || got.Text[g.Span.Start:g.Span.End] != g.Text {
			t.Errorf("%s: got %q at %v of %q, want %q", g.Name, g.Text, g.Span, got.Text, want[g.Name])
		}
		delete(want, g.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing %v", want)
	}
	if got.Date.Start != 0 || got.Date.End != 20 {
		t.Errorf("got date at %v", got.Date)
	}
}

// TestTracerNewline holds that the newline that rules see is no part of a group.
func TestTracerNewline(t *testing.T) {
	tracer, err := NewTracer(inJail("j", Filter{FailRegex: rules(`^<ADDR> <F-USER>[^:]*</F-USER>`)}))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range tracer.Line([]byte("192.0.2.7 bob"), noon).Groups {
		if g.Name == groupUser && g.Text != "bob" {
			t.Errorf("got %q, want %q", g.Text, "bob")
		}
	}
}

func TestTracerJournal(t *testing.T) {
	tracer, err := NewTracer(inJail("j", Filter{FailRegex: rules(`^host app\[1\]: 2026-11-22T07:23:11Z from <ADDR>$`)}))
	if err != nil {
		t.Fatal(err)
	}
	got := tracer.Entry([]byte("host app[1]: 2026-11-22T07:23:11Z from 192.0.2.7"), noon)
	if got.Verdict != Hit || !got.Time.Equal(noon) {
		t.Errorf("got %v at %v, want a hit at %v", got.Verdict, got.Time, noon)
	}
}
