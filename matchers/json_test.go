package matchers

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestJSONText(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	tests := []struct {
		name, line, want string // want "-": no JSON object
	}{
		{"in the order of the filter", `{"user":"bob","level":"warn","req":{"ip":"192.0.2.7"}}`, "warn\t192.0.2.7\tbob"},
		{"a field that is not there", `{"level":"warn","user":"bob"}`, "warn\t\tbob"},
		{"null", `{"level":null,"user":"bob"}`, "\t\tbob"},
		{"numbers as written", `{"level":1e400,"user":-0.50}`, "1e400\t\t-0.50"},
		{"the first of two counts", `{"user":"bob","user":"eve"}`, "\t\tbob"},
		{"the first of two objects", `{"req":{"ip":"192.0.2.7"},"req":{"ip":"192.0.2.8"}}`, "\t192.0.2.7\t"},
		{"a value that looks like fields", `{"user":"\",\"req\":{\"ip\":\"192.0.2.9\"}"}`, "\t\t" + `","req":{"ip":"192.0.2.9"}`},
		{"control characters stay escaped", `{"user":"a\tb\nc\u0000d\u007f"}`, "\t\t" + `a\tb\nc\u0000d\u007f`},
		{"other escapes do not", `{"user":"\u0041\/\u00e9\ud83d\ude00"}`, "\t\tA/é😀"},
		{"half a surrogate", `{"user":"\ud83dx"}`, "\t\t\uFFFDx"},
		{"the path ends in an object", `{"req":{"ip":{"v4": "192.0.2.7"}}}`, "\t" + `{"v4": "192.0.2.7"}` + "\t"},
		{"the same key elsewhere", `{"other":{"ip":"192.0.2.9"},"ip":"192.0.2.8","req":{"x":{"ip":"192.0.2.7"}}}`, "\t\t"},
		{"in an array", `{"req":[{"ip":"192.0.2.7"}]}`, "\t\t"},
		{"bytes that are not UTF-8", "{\"user\":\"\xff\"}", "\t\t\xff"},
		{"empty", `{}`, "\t\t"},
		{"text behind", `{"user":"bob"} x`, "-"},
		{"text before", `x {"user":"bob"}`, "-"},
		{"cut off", `{"user":"bob`, "-"},
		{"cut off in an escape", `{"user":"bob\`, "-"},
		{"a raw tab", "{\"user\":\"a\tb\"}", "-"},
		{"an array", `[{"user":"bob"}]`, "-"},
		{"too deep", deep, "-"},
	}
	j := newJSONText([]string{"level", "req.ip", "user"})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, ok := j.append(nil, []byte(tt.line))
			got := string(text)
			if !ok {
				got = "-"
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMatchJSON(t *testing.T) {
	jails := []JailFilter{inJail("app", Filter{
		Format: "json", Text: []string{"level", "event", "request.remote_ip", "user"},
		FailRegex: rules(`^warning\tlogin failed\t<ADDR>\t<F-USER>[^\t]*</F-USER>$`),
	})}
	got := run(t, false, noon, jails,
		`{"ts":"2026-11-22T07:23:11Z","level":"warning","event":"login failed","request":{"remote_ip":"192.0.2.7"},"user":"bob"}`,
		`{"ts":"2026-11-22T07:23:12Z","level":"warning","event":"login failed","request":{"remote_ip":"192.0.2.8"},"user":"x\t198.51.100.1"}`,
		`{"ts":"2026-11-22T07:23:13Z","level":"info","event":"login ok","request":{"remote_ip":"192.0.2.9"},"user":"bob"}`,
		`warning	login failed	192.0.2.10	bob`,
	)
	want := "app 192.0.2.7 2026-11-22 07:23:11; app 192.0.2.8 2026-11-22 07:23:12"
	if got := strings.Join(got, "; "); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// FuzzJSONText holds that every object that encoding/json takes is taken, that a value cannot pass for two
// fields, and that a plain string comes out as encoding/json reads it.
func FuzzJSONText(f *testing.F) {
	f.Add([]byte(`{"a":"x","b":{"c":[1,"]",null]}}`))
	f.Add([]byte(`{"a":"\ud83d\ude00\t\\"," a":{}}`))
	f.Add([]byte(`{"a":{"a":{"a":"\u000`))
	j := newJSONText([]string{"a", "b.c"})
	f.Fuzz(func(t *testing.T, line []byte) {
		text, ok := j.append(nil, line)
		object := bytes.HasPrefix(bytes.TrimLeft(line, " \t\r\n"), []byte("{"))
		if !ok {
			if object && json.Valid(line) && bytes.Count(line, []byte("{"))+bytes.Count(line, []byte("[")) < maxJSONDepth {
				t.Fatalf("%q: not taken", line)
			}
			return
		}
		if n := bytes.Count(text, []byte("\t")); n != 1 {
			t.Fatalf("%q: got %d tabs in %q, want 1", line, n, text)
		}
		var fields map[string]json.RawMessage
		if !utf8.Valid(line) || json.Unmarshal(line, &fields) != nil || bytes.Count(line, []byte(`"a"`)) != 1 {
			return
		}
		var s string
		if json.Unmarshal(fields["a"], &s) != nil || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return
		}
		if got, _, _ := strings.Cut(string(text), "\t"); bytes.HasPrefix(fields["a"], []byte(`"`)) && got != s {
			t.Fatalf("%q: got %q, want %q", line, got, s)
		}
	})
}
