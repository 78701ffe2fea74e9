package matchers

import (
	"strings"
	"testing"
	"time"

	"github.com/dlclark/regexp2"
)

// FuzzDialect compares what a regex became with regexp2 on the regex as it was parsed: where it has a
// linear form they match the same texts from the same place, and where it has not the relaxed form
// matches whatever the original does.
func FuzzDialect(f *testing.F) {
	for _, seed := range []struct{ regex, text string }{
		{`^user (?!root)\S+ from <ADDR>$`, "user rob from 192.0.2.7"},
		{`^(?:(?! from ).)*? from <ADDR>(?:(?:(?! from ).)*)$`, "a from 192.0.2.7 b"},
		{`^(?P<c>invalid )?user(?(c): \w+|\.) <HOST>`, "invalid user: x 192.0.2.7"},
		{`(?:\w+ (?!found\b)){0,2}\w+ found`, "no such thing found"},
		{`disconnect(?= from \S+(?: \S+=\d+)* auth=0) (.+)$`, "disconnect from x a=1 auth=0"},
		{`(?P<q>"?)\S+(?P=q)`, `"x"`},
		{`a{,3}b$\s`, "aab"},
		{`(?i)ſ[^\W_]+?\Z`, "SK"},
		{`[]a-f\]-]+|[^]]`, "]"},
		{`(?x) a b # c`, "ab"},
		{`(?>a+)b++|\101\0\x41\u0041`, "aab"},
		{`(?<=x)y(?<!z)`, "xy"},
		{`[+,-\-x]+`, "<x"},
		{`$+\n$`, "x"},
	} {
		f.Add(seed.regex, seed.text)
	}
	f.Fuzz(func(t *testing.T, regex, line string) {
		if len(regex) > 100 || len(line) > 100 || strings.Contains(line, "\n") {
			return
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r >= 0x80 }) && (strings.Contains(regex, `\b`) || strings.Contains(regex, `\B`)) {
			return // Go's \b goes by ASCII
		}
		r, err := compileRegex(regex, "", false)
		if err != nil {
			return
		}
		original, err := regexp2.Compile(printNet(r.expr.root), regexp2.None)
		if err != nil {
			if r.slow == nil {
				return
			}
			t.Fatalf("%q: %v", regex, err)
		}
		original.MatchTimeout = 200 * time.Millisecond
		text := line + "\n"
		m, err := original.FindStringMatch(text)
		if err != nil {
			return // it does not come back
		}
		start := time.Now()
		loc := r.fast.FindStringIndex(text)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%q on %q: took %v", regex, line, took)
		}
		switch {
		case r.slow != nil && m != nil && loc == nil:
			t.Errorf("%q on %q: the relaxed form misses it\n%s", regex, line, r.fast)
		case r.slow == nil && (m == nil) != (loc == nil):
			t.Errorf("%q on %q: got match %v, want %v\n%s", regex, line, loc != nil, m != nil, r.fast)
		case r.slow == nil && m != nil && len([]rune(text[:loc[0]])) != m.Index:
			t.Errorf("%q on %q: got start %d, want %d\n%s", regex, line, loc[0], m.Index, r.fast)
		}
		if m != nil && len(r.literal) > 0 && !strings.Contains(text, string(r.literal)) {
			t.Errorf("%q on %q: it matches without %q", regex, line, r.literal)
		}
	})
}

// FuzzConf holds that no filter file, however broken, makes the reader panic, hang or grow.
func FuzzConf(f *testing.F) {
	for _, seed := range []string{
		"[Definition]\nfailregex = ^<HOST>\n  ^x <HOST> # no comment\n  ^y ; comment\nignoreregex =\n",
		"[DEFAULT]\n_daemon = x\n[Definition]\nprefregex = ^%(_daemon)s <F-CONTENT>.+</F-CONTENT>$\nfailregex = <mdre-<mode>>\nmdre-a = <HOST>\nmode = a\n",
		"[Init]\nmaxlines = 10\n[Init?family=inet6]\nx = %(known/x)s\n[Definition]\nfailregex = <a>\na = <b>\nb = <a>\n",
		"[Definition]\na = %(b)s%(b)s\nb = %(c)s%(c)s\nc = %(a)s\nfailregex = %(a)s",
		"[a]\n[a]\nb\n= c\n x:y\n",
		"[Definition]\nfailregex: <lt_<x>/y>\nx = q\n[lt_q]\ny = <HOST>%%d",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		start := time.Now()
		file, err := parseINI("x.conf", []byte(text))
		if err != nil {
			return
		}
		c := &conf{path: "x.conf", sections: map[string]section{iniDefault: {}}, known: map[string]section{}}
		c.merge(file)
		c.merge(file) // as an include of its own, so that there are known values
		if c.sections[definition] == nil {
			return
		}
		params := map[string]string{"mode": "x"}
		values, err := c.values(params)
		if err == nil {
			_, err = c.filter(values, params)
		}
		for name, v := range values {
			if err == nil && len(v) > 2*maxValue {
				t.Errorf("%s has %d bytes", name, len(v))
			}
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// FuzzSpec holds that a filter's parameters come out as they went in.
func FuzzSpec(f *testing.F) {
	f.Add("sshd", "mode", "aggressive")
	f.Add("x", "logtype", "a, b]")
	f.Add("./a/b.conf", "p", "it's")
	f.Fuzz(func(t *testing.T, name, key, value string) {
		_, _, _ = ParseSpec(name + "[" + key + "=" + value)
		if strings.Trim(name, "abc./") != "" || name == "" || strings.Trim(key, "abc") != "" || key == "" || strings.Contains(value, `"`) {
			return
		}
		got, params, err := ParseSpec(name + `[` + key + `="` + value + `"]`)
		if err != nil || got != name || params[key] != strings.TrimSpace(value) {
			t.Errorf("%s[%s=%q]: got %q, %q, %v", name, key, value, got, params, err)
		}
	})
}
