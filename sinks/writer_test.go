package sinks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/banpipe/banpipe/pipeline"
)

var end = time.Date(2026, 11, 23, 7, 23, 11, 0, time.UTC)

func ban(prefix string, until time.Time, ports ...pipeline.PortRange) pipeline.Action {
	return pipeline.Action{Prefix: netip.MustParsePrefix(prefix), Until: until, Ports: ports, Jail: "sshd"}
}

func unban(prefix string, ports ...pipeline.PortRange) pipeline.Action {
	a := ban(prefix, time.Time{}, ports...)
	a.Op = pipeline.Unban
	return a
}

func TestWriterLines(t *testing.T) {
	reason := func(a pipeline.Action, why string) pipeline.Action { a.Reason, a.Hits = why, 5; return a }
	named := func(a pipeline.Action, jail string) pipeline.Action { a.Jail = jail; return a }
	observed := ban("192.0.2.7/32", end)
	observed.Observe = true
	restored := ban("192.0.2.7/32", end)
	restored.Restored = true
	for _, c := range []struct {
		action pipeline.Action
		want   string
	}{
		{reason(ban("192.0.2.7/32", end), "5 hits in 10m0s"), "ban 192.0.2.7 jail sshd until 2026-11-23T07:23:11Z: 5 hits in 10m0s"},
		{ban("2001:db8::/64", time.Time{}), "ban 2001:db8::/64 jail sshd for ever"},
		{
			ban("192.0.2.0/24", end.In(time.FixedZone("", 3600)), pipeline.PortRange{First: 22, Last: 22}, pipeline.PortRange{First: 80, Last: 443}),
			"ban 192.0.2.0/24 ports 22,80-443 jail sshd until 2026-11-23T07:23:11Z",
		},
		{unban("192.0.2.7/32"), "unban 192.0.2.7 jail sshd"},
		{named(unban("192.0.2.7/32"), ""), "unban 192.0.2.7"},
		{observed, "would ban 192.0.2.7 jail sshd until 2026-11-23T07:23:11Z"},
		{restored, "ban 192.0.2.7 jail sshd until 2026-11-23T07:23:11Z, restored"},
		{named(unban("192.0.2.7/32"), "a\nban 1.1.1.1"), `unban 192.0.2.7 jail a\nban 1.1.1.1`},
		{reason(unban("192.0.2.7/32"), "\x1b[2Jü\u009b\u202e\xff\\n"), `unban 192.0.2.7 jail sshd: \x1b[2Jü\u009b\u202e` + "\ufffd" + `\\n`},
	} {
		t.Run(c.want, func(t *testing.T) {
			var out bytes.Buffer
			w := &Writer{W: &out}
			if err := w.Apply(t.Context(), []pipeline.Action{c.action}); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != c.want+"\n" {
				t.Errorf("got %q, want %q", got, c.want+"\n")
			}
		})
	}
}

func TestWriterJSON(t *testing.T) {
	a := ban("192.0.2.7/32", end)
	a.Hits, a.Reason = 5, "\u009b2J \u202e ü 😀 \n"
	var out bytes.Buffer
	w := &Writer{W: &out, JSON: true}
	if err := w.Apply(t.Context(), []pipeline.Action{a, unban("2001:db8::1/128")}); err != nil {
		t.Fatal(err)
	}
	want := `{"op":"ban","prefix":"192.0.2.7/32","jail":"sshd","until":"2026-11-23T07:23:11Z","hits":5,"reason":"\u009b2J \u202e \u00fc \ud83d\ude00 \n"}
{"op":"unban","prefix":"2001:db8::1/128","jail":"sshd","hits":0,"reason":""}
`
	if got := out.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var back struct{ Reason string }
	if err := json.Unmarshal(bytes.SplitAfter(out.Bytes(), []byte("\n"))[0], &back); err != nil || back.Reason != a.Reason {
		t.Errorf("read back: got %q, %v, want %q", back.Reason, err, a.Reason)
	}
}

// wholeLines fails the test when a write is not whole lines, or when two writes overlap.
type wholeLines struct {
	t  *testing.T
	mu sync.Mutex
	n  int
}

func (w *wholeLines) Write(p []byte) (int, error) {
	if !w.mu.TryLock() {
		w.t.Error("two writes at once")
		return len(p), nil
	}
	defer w.mu.Unlock()
	if !bytes.HasPrefix(p, []byte("ban ")) || !bytes.HasSuffix(p, []byte("\n")) {
		w.t.Errorf("got %q, want whole lines", p)
	}
	w.n += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

func TestWriterShared(t *testing.T) {
	out := &wholeLines{t: t}
	w := &Writer{W: out}
	actions := []pipeline.Action{ban("192.0.2.7/32", end), ban("192.0.2.8/32", end)}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if err := w.Apply(t.Context(), actions); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if out.n != 1600 {
		t.Errorf("got %d lines, want 1600", out.n)
	}
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }

func TestWriterErrors(t *testing.T) {
	full := errors.New("disk full")
	w := &Writer{W: errWriter{full}}
	actions := []pipeline.Action{ban("192.0.2.7/32", end)}
	if err := w.Apply(t.Context(), actions); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	if err := w.Apply(t.Context(), nil); err != nil {
		t.Errorf("no actions: got %v, want nil: nothing to write", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Apply(ctx, actions); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// Whatever a jail or a reason holds, an action is one line of printable characters, in both forms, and
// the JSON form reads back.
func FuzzWriter(f *testing.F) {
	f.Add("sshd", "5 hits in 10m0s")
	f.Add("a\nb", "\x1b[2J\u009b\u202e\xff\\")
	f.Fuzz(func(t *testing.T, jail, reason string) {
		a := ban("192.0.2.7/32", end)
		a.Jail, a.Reason = jail, reason
		for _, asJSON := range []bool{false, true} {
			var out bytes.Buffer
			if err := (&Writer{W: &out, JSON: asJSON}).Apply(t.Context(), []pipeline.Action{a}); err != nil {
				t.Fatal(err)
			}
			line := strings.TrimSuffix(out.String(), "\n")
			if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("got %q, want one line that prints", line)
			}
			if !asJSON {
				continue
			}
			var back struct{ Jail, Reason string }
			if err := json.Unmarshal([]byte(line), &back); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if want := strings.ToValidUTF8(reason, "\ufffd"); utf8.ValidString(reason) && back.Reason != want {
				t.Errorf("got %q, want %q", back.Reason, want)
			}
		}
	})
}
