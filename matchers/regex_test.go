package matchers

import (
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/matchers/dfa"
	"github.com/dlclark/regexp2"
)

// TestSlowPathGivesUp gives the slow path lines on which it would not come back, and one that is too long.
func TestSlowPathGivesUp(t *testing.T) {
	defer regexp2.StopTimeoutClock()
	tests := []struct{ name, regex, line string }{
		{"time", `^(?P<q>x?)(?:a|aa|aaa)+(?P=q)! <ADDR>$`, strings.Repeat("a", 200) + "? ! 192.0.2.7"},
		{"length", `^(?P<q>x)(?P=q) .*<ADDR>$`, "xx " + strings.Repeat(" ", slowBytes) + "192.0.2.7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			jails := []JailFilter{inJail("j", Filter{FailRegex: rules(tt.regex)})}
			p, err := NewProgram(jails)
			if err != nil {
				t.Fatal(err)
			}
			m, start := p.NewMatcher(), time.Now()
			m.join(&dfa.Line{Head: []byte(tt.line)})
			if got := m.judge(p.jails[0], &match{jail: p.jails[0]}); got != miss || m.slow.gaveUp != 1 {
				t.Errorf("got outcome %v, gave up %d times; want a miss and once", got, m.slow.gaveUp)
			}
			if took := time.Since(start); took > 50*slowTime {
				t.Errorf("took %v, want some %v", took, slowTime)
			}
			if got := p.SlowRules(); len(got) != 1 || !strings.Contains(got[0].String(), "filter : failregex 1: runs on the slow path: it has a back-reference") {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestLinearTime gives hostile lines to rules that make backtracking engines hang.
func TestLinearTime(t *testing.T) {
	for _, regex := range []string{
		`^(?:a|aa|aaa)+! <ADDR>$`, `^(?:a*)*(?:b*)*! <ADDR>$`, `^(?:(?! from ).)*? from <ADDR>$`, `(?:\w+\s*)+(?:\w+\s*)+: <ADDR>$`, `^(?!root )\S+ .*.*.*.*<ADDR>;$`,
	} {
		t.Run(regex, func(t *testing.T) {
			r, err := compileRegex(regex, "", false)
			if err != nil {
				t.Fatal(err)
			}
			if r.slow != nil {
				t.Fatal("it runs on the slow path")
			}
			took := func(n int) time.Duration {
				best := time.Hour
				for range 3 {
					start := time.Now()
					r.find([]byte(strings.Repeat("a a from", n)+"! 192.0.2.7\n"), nil)
					best = min(best, time.Since(start))
				}
				return best
			}
			if short, long := took(2_000), took(20_000); long > 100*short && long > time.Second {
				t.Errorf("ten times the line takes %v instead of %v", long, short)
			}
		})
	}
}

// TestCutLine holds that a rule cannot take the place where a line was cut off for its end: whoever writes
// a long name would choose it.
func TestCutLine(t *testing.T) {
	p, err := NewProgram([]JailFilter{inJail("j", Filter{
		PrefRegex: `^sshd: <F-CONTENT>.+</F-CONTENT>$`,
		FailRegex: rules(`^login of .* from <ADDR>$`, `^bad .* from <ADDR>,`),
	})})
	if err != nil {
		t.Fatal(err)
	}
	m := p.NewMatcher()
	for _, tt := range []struct {
		line string
		cut  bool
		want outcome
	}{
		{"sshd: login of x from 192.0.2.7", false, hit},
		{"sshd: login of x from 192.0.2.7", true, miss},
		{"sshd: bad x from 192.0.2.7, and so on", true, hit},
	} {
		m.join(&dfa.Line{Head: []byte(tt.line), Cut: tt.cut})
		if got := m.judge(p.jails[0], &match{jail: p.jails[0]}); got != tt.want {
			t.Errorf("%q cut %v: got %v, want %v", tt.line, tt.cut, got, tt.want)
		}
	}
}

func TestRequiredLiteral(t *testing.T) {
	tests := []struct{ regex, want string }{
		{`^abc\d+de`, "abc"},
		{`a+bcd?`, "bc"},
		{`(?:ab|cd)x`, "x"},
		{`(abc)`, "abc"},
		{`(?:abc)?d`, "d"},
		{`(?:abc){2}`, "abc"},
		{`(?i)abc`, ""},
		{`a|b`, ""},
		{`[a]b`, "ab"},
	}
	for _, tt := range tests {
		t.Run(tt.regex, func(t *testing.T) {
			r, err := compileRegex(tt.regex, "", false)
			if err != nil {
				t.Fatal(err)
			}
			if string(r.literal) != tt.want {
				t.Errorf("got %q, want %q", r.literal, tt.want)
			}
		})
	}
}
