package matchers

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// docker writes a line as Docker does.
func docker(log, stream string) string {
	text, err := json.Marshal(log)
	if err != nil {
		panic(err)
	}
	return `{"log":` + string(text) + `,"stream":"` + stream + `","time":"2026-11-22T07:23:11.123456789Z"}`
}

func TestUnwrapped(t *testing.T) {
	same := []string{
		`plain`, ``, `{`, `{"log":"x`, `{"log":"x"}`, `{"log":"x","stream":"stdout"}`, `{"log":"x","stream":"other","time":"t"}`,
		`{"log":"x\n","stream":"stdout","time":"a","b":"c"}`, `{"log":"x\n","stream":"stdout","x":1,"time":"a"}`, `{"stream":"stdout","log":"x","time":"a"}`,
		`{"log":"x` + "\x01" + `\n","stream":"stdout","time":"a"}`, `{"log":"x\n","stream":"stdout","time":"a"} `,
	}
	for _, line := range same {
		if got := Unwrapped([]byte(line)); string(got) != line {
			t.Errorf("got %q, want %q as it is", got, line)
		}
	}
	for line, want := range map[string]string{
		docker("192.0.2.1 - - [x] \"GET /\\\" 404\n", "stdout"):                                                          `192.0.2.1 - - [x] "GET /\" 404`,
		docker("a\tb\u2028<é>\x1b\r\n", "stderr"):                                                                        "a\tb\u2028<é>\x1b",
		`{"log":"{\"level\":\"info\"}\n","stream":"stdout","attrs":{"tag":"x","a":",\"time\":\""},"time":"2026-11-22Z"}`: `{"level":"info"}`,
		`{"log":"a\nb\u000ac\n","stream":"stdout","time":"t"}`:                                                           `a\nb\u000ac`,
		`{"log":"","stream":"stdout","time":"t"}`:                                                                        ``,
		docker(docker("x\n", "stdout")+"\n", "stdout"):                                                                   docker("x\n", "stdout"),
	} {
		if got := Unwrapped([]byte(line)); string(got) != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// A long line comes in pieces: the first one counts, and only from its own stream is the rest dropped, also after a restart.
func TestDockerPieces(t *testing.T) {
	read := time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	saved := map[string][]byte{}
	step := func(lines ...string) []string {
		t.Helper()
		d := &Docker{}
		if err := d.Load(func(yield func(k, v []byte) bool) {
			for k, v := range saved {
				if !yield([]byte(k), v) {
					return
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		b := &pipeline.Batch{Source: "file:x"}
		for _, l := range lines {
			b.Append([]byte(l), read)
		}
		if err := d.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		d.Save(false, func(k, v []byte) {
			if v == nil {
				delete(saved, string(k))
			} else {
				saved[string(k)] = bytes.Clone(v)
			}
		})
		var got []string
		for _, r := range b.Records {
			text := string(r.Line)
			if r.Cut {
				text += "…"
			}
			if r.Time.Equal(read) != (text == "plain") {
				t.Errorf("%q: got the time %v", text, r.Time)
			}
			got = append(got, text)
		}
		return got
	}
	for _, c := range []struct{ lines, want []string }{
		{[]string{docker("a\n", "stdout"), "plain"}, []string{"a", "plain"}},
		{[]string{docker("begin", "stdout"), docker("err\n", "stderr")}, []string{"begin…", "err"}},
		{[]string{docker("forged", "stdout"), docker("err\n", "stderr"), "plain"}, []string{"err", "plain"}},
		{[]string{docker("forged\n", "stdout"), docker("b\n", "stdout")}, []string{"b"}},
		{[]string{docker("c\n", "stdout")}, []string{"c"}},
	} {
		if got := step(c.lines...); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.lines, got, c.want)
		}
	}
	if len(saved) != 0 {
		t.Errorf("got %v saved, want nothing", slices.Collect(maps.Keys(saved)))
	}
}

// FuzzDocker: whatever a program writes, Docker's line gives it back, in place.
func FuzzDocker(f *testing.F) {
	for _, s := range []string{"", "a", `"`, `\`, "\t\u2028\U0001F600\x00\x7f", `{"log":"x"`, `","stream":"stdout","time":"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "\uFFFD")
		line := []byte(docker(s+"\n", "stdout"))
		d, b := &Docker{}, &pipeline.Batch{}
		b.Append(line, time.Now())
		if err := d.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		want := strings.TrimSuffix(s, "\r")
		want = strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(want)
		got := b.Records[0].Line
		if string(got) != want || !bytes.Equal(Unwrapped(line), got) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A line of 130 bytes out of its wrapping; nothing is allocated.
func BenchmarkDocker(b *testing.B) {
	line := []byte(docker(`192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET /index.html HTTP/1.1" 200 615 "-" "Mozilla/5.0 (X11; Linux x86_64)"`+"\n", "stdout"))
	d, batch := &Docker{}, &pipeline.Batch{Source: "file:x"}
	batch.Append(line, time.Now())
	whole := batch.Records[0].Line
	b.ReportAllocs()
	for b.Loop() {
		copy(whole, line)
		batch.Records[0].Line = whole
		if err := d.Process(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
