package sinks

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

// A fakeServer has a file that it reads when it is told to: it copies it to "loaded". It counts, and refuses while there is
// a file called broken.
type fakeServer struct{ dir string }

func newFakeServer(t testing.TB) fakeServer {
	t.Helper()
	dir := t.TempDir()
	const reload = "#!/bin/sh\ntest -e \"$1/broken\" && { echo 'nginx: [emerg] no'; exit 1; }\necho x >> \"$1/reloads\"\ncp \"$1/deny.conf\" \"$1/loaded\"\n"
	if err := os.WriteFile(filepath.Join(dir, "reload"), []byte(reload), 0o755); err != nil {
		t.Fatal(err)
	}
	return fakeServer{dir}
}

func (s fakeServer) path() string { return filepath.Join(s.dir, "deny.conf") }

func (s fakeServer) sink() *DenyFile {
	return &DenyFile{Path: s.path(), Reload: []string{filepath.Join(s.dir, "reload"), s.dir}, Every: time.Millisecond}
}

// held is what the file says, if the server has read all of it that matters to it.
func (s fakeServer) held() (held []pipeline.Action, err error) {
	text, err := os.ReadFile(s.path())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	loaded, err := os.ReadFile(filepath.Join(s.dir, "loaded"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if !bytes.Equal(withoutComments(text), withoutComments(loaded)) {
		return nil, fmt.Errorf("the server has read %q, and the file says %q", loaded, text)
	}
	for k, e := range parseDenyText(string(text)) {
		held = append(held, e.action(k))
	}
	return held, nil
}

func (s fakeServer) reloads(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "reloads"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Count(string(text), "x")
}

func (s fakeServer) text(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(s.path())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDenyFileContract(t *testing.T) {
	for _, asMap := range []bool{false, true} {
		for _, wrapped := range []bool{false, true} {
			t.Run(fmt.Sprintf("map=%v expire=%v", asMap, wrapped), func(t *testing.T) {
				pipelinetest.TestSink(t, func(t *testing.T) pipelinetest.Backend {
					s := newFakeServer(t)
					sink := s.sink()
					sink.Map = asMap
					b := pipelinetest.Backend{
						Sink: sink, Held: s.held,
						Break: func() func() {
							broken := filepath.Join(s.dir, "broken")
							if err := os.WriteFile(broken, nil, 0o644); err != nil {
								t.Fatal(err)
							}
							return func() { os.Remove(broken) }
						},
						Disturb: func() {
							if err := os.WriteFile(s.path(), nil, 0o644); err != nil {
								t.Fatal(err)
							}
						},
					}
					if wrapped {
						b.Sink = &Expire{Sink: sink}
					}
					return b
				})
			})
		}
	}
}

func TestDenyFileText(t *testing.T) {
	at := time.Date(2026, 11, 22, 7, 23, 11, 0, time.UTC)
	entries := map[banKey]*entry{}
	for _, a := range []pipeline.Action{
		{Prefix: netip.MustParsePrefix("192.0.2.7/32"), Jail: "nginx-404", Until: at},
		{Prefix: netip.MustParsePrefix("192.0.2.7/32"), Jail: "web", Ports: []pipeline.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8100}}},
		{Prefix: netip.MustParsePrefix("2001:db8::7/128"), Jail: "x\n}} deny; all #", Until: at.Add(1500 * time.Millisecond)},
		{Prefix: netip.MustParsePrefix("2001:db8::8/128")},
		{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Jail: "manual"},
	} {
		entries[keyOf(&a)] = &entry{jail: a.Jail, until: a.Until}
	}
	const notes = `192.0.2.7%[1]s; # nginx-404 until 2026-11-22T07:23:11Z, web port 80,8000-8100 for ever
%[2]s198.51.100.0/24%[1]s; # manual for ever
%[2]s2001:db8::7%[1]s; # x____deny__all__ until 2026-11-22T07:23:12.5Z
%[2]s2001:db8::8%[1]s; # restored for ever
`
	for asMap, want := range map[bool]string{false: "deny " + fmt.Sprintf(notes, "", "deny "), true: fmt.Sprintf(notes, " 1", "")} {
		text := denyText(entries, "web", asMap)
		if !bytes.HasPrefix(text, []byte(denyHeader+`, for its sink "web"`)) {
			t.Errorf("got %q, want a header that says whose it is", text)
		}
		_, body, _ := strings.Cut(string(text), "lifts them.\n")
		if body != want {
			t.Errorf("got\n%s\nwant\n%s", body, want)
		}
		read := parseDenyText(string(text))
		if again := denyText(read, "web", asMap); !bytes.Equal(again, text) {
			t.Errorf("read and written again: got\n%s\nwant\n%s", again, text)
		}
	}
}

// Nothing in a file can make the reader of it fall over, and what it reads it writes.
func FuzzDenyText(f *testing.F) {
	f.Add("deny 192.0.2.7; # j until 2026-11-22T07:23:11Z, k port 22 for ever\n2001:db8::/64 1; # j for ever\n")
	f.Add("deny all;\ndeny 192.0.2.7;\n192.0.2.7/24 1; # j for ever\nfe80::1%eth0 1; # j for ever\ndeny ; # \n")
	f.Add("deny 1.2.3.4; # j port 9-1 for ever\ndeny 1.2.3.4; # j port 1 until never\ndeny 1.2.3.4; # j for  ever, , j\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries := parseDenyText(text)
		written := denyText(entries, "web", false)
		if again := denyText(parseDenyText(string(written)), "web", false); !bytes.Equal(again, written) {
			t.Errorf("got %q, want %q", again, written)
		}
		for line := range strings.Lines(string(withoutComments(written))) {
			if !strings.HasPrefix(line, "deny ") || strings.Count(line, ";") != 1 {
				t.Errorf("got %q, want one directive a line", line)
			}
		}
	})
}

// The server is told when there is something new, and once for a burst.
func TestDenyFileReloads(t *testing.T) {
	s := newFakeServer(t)
	d := s.sink()
	d.Every = 300 * time.Millisecond
	hour := time.Now().Add(time.Hour)
	apply := func(actions ...pipeline.Action) {
		t.Helper()
		if err := d.Apply(t.Context(), actions); err != nil {
			t.Fatal(err)
		}
	}
	var many []pipeline.Action
	for i := range 100 {
		many = append(many, ban(fmt.Sprintf("198.51.100.%d/32", i), hour))
	}
	start := time.Now()
	for _, step := range []struct {
		name    string
		actions []pipeline.Action
		want    int
	}{
		{"a ban", []pipeline.Action{ban("192.0.2.7/32", hour)}, 1},
		{"the same", []pipeline.Action{ban("192.0.2.7/32", hour)}, 1},
		{"a later end", []pipeline.Action{ban("192.0.2.7/32", hour.Add(time.Hour))}, 1},
		{"another port", []pipeline.Action{ban("192.0.2.7/32", hour, pipeline.PortRange{First: 22, Last: 22})}, 1},
		{"many", many, 2},
		{"one of two that hold it ends", []pipeline.Action{unban("192.0.2.7/32", pipeline.PortRange{First: 22, Last: 22})}, 2},
		{"the other", []pipeline.Action{unban("192.0.2.7/32")}, 3},
	} {
		if apply(step.actions...); s.reloads(t) != step.want {
			t.Errorf("%s: got %d reloads, want %d", step.name, s.reloads(t), step.want)
		}
	}
	if took := time.Since(start); took < 2*d.Every {
		t.Errorf("three reloads took %v, want them %v apart", took, d.Every)
	}
	// A new run takes the file over as it is.
	if err := s.sink().Sync(t.Context(), slices.Values(many)); err != nil || s.reloads(t) != 3 {
		t.Errorf("got %v and %d reloads, want nothing to do", err, s.reloads(t))
	}
	again := s.sink()
	again.Map = true
	if err := again.Sync(t.Context(), slices.Values(many)); err != nil || s.reloads(t) != 4 || !strings.Contains(s.text(t), "\n198.51.100.7 1; # ") {
		t.Errorf("got %v and %d reloads, want the file in its new form: %s", err, s.reloads(t), s.text(t))
	}
}

// What failed is tried again: the file is written, the server has not read it.
func TestDenyFileBrokenServer(t *testing.T) {
	s := newFakeServer(t)
	d := s.sink()
	broken := filepath.Join(s.dir, "broken")
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a := ban("192.0.2.7/32", time.Now().Add(time.Hour))
	err := d.Apply(t.Context(), []pipeline.Action{a})
	if err == nil || !strings.Contains(err.Error(), "the server has not read it") || !strings.Contains(err.Error(), "[emerg] no") {
		t.Fatalf("got %v, want what the server said", err)
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if err := d.Sync(t.Context(), slices.Values([]pipeline.Action{a})); err != nil || s.reloads(t) != 1 {
		t.Errorf("got %v and %d reloads, want the server told", err, s.reloads(t))
	}
}

func TestDenyFileIsMade(t *testing.T) {
	s := newFakeServer(t)
	if err := s.sink().Sync(t.Context(), slices.Values([]pipeline.Action(nil))); err != nil {
		t.Fatal(err)
	}
	if text := s.text(t); len(withoutComments([]byte(text))) != 0 || !strings.HasPrefix(text, denyHeader) {
		t.Errorf("got %q, want a file that denies nobody", text)
	}
	if n := s.reloads(t); n != 0 {
		t.Errorf("got %d reloads, want none: there is nothing to read", n)
	}
	info, err := os.Stat(s.path())
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("got %v, %v, want a file that the server can read", info.Mode(), err)
	}
}

// Owner and mode are kept, a symlink stays one, and what somebody else has written stays as it is.
func TestDenyFileOfOthers(t *testing.T) {
	s := newFakeServer(t)
	real := filepath.Join(s.dir, "real.conf")
	if err := os.WriteFile(real, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(real, 12, 34); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(real, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real.conf", s.path()); err != nil {
		t.Fatal(err)
	}
	if err := s.sink().Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Time{})}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(real)
	if err != nil || info.Mode() != 0o640 {
		t.Errorf("got %v, %v, want the mode that it had", info.Mode(), err)
	}
	if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (st.Uid != 12 || st.Gid != 34) {
		t.Errorf("got owner %d:%d, want the one that it had", st.Uid, st.Gid)
	}
	if to, err := os.Readlink(s.path()); err != nil || to != "real.conf" {
		t.Errorf("got %q, %v, want the symlink", to, err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, ".*")); len(left) > 0 {
		t.Errorf("got %q left behind", left)
	}

	const mine = "server { listen 80; }\n"
	if err := os.WriteFile(real, []byte(mine), 0o640); err != nil {
		t.Fatal(err)
	}
	d := s.sink()
	for _, err := range []error{
		d.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Time{})}),
		d.Sync(t.Context(), slices.Values([]pipeline.Action(nil))),
	} {
		if err == nil || !strings.Contains(err.Error(), "was not written by banpipe") {
			t.Errorf("got %v, want it left alone", err)
		}
	}
	if got := s.text(t); got != mine {
		t.Errorf("got %q, want the file as it was", got)
	}
	if d.touched() {
		t.Error("Watch would call for another Sync, and for another")
	}
}

func TestDenyFileFlush(t *testing.T) {
	s := newFakeServer(t)
	if n, err := s.sink().Flush(t.Context()); n != 0 || err != nil || s.reloads(t) != 0 {
		t.Errorf("no file: got %d, %v", n, err)
	}
	if err := s.sink().Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Time{}), ban("192.0.2.8/32", time.Time{})}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.sink().Flush(t.Context()); n != 2 || err != nil || s.reloads(t) != 2 {
		t.Errorf("got %d, %v, want two lifted and the server told", n, err)
	}
	if held, err := s.held(); err != nil || len(held) != 0 {
		t.Errorf("got %v, %v, want nobody denied", held, err)
	}
}

func TestDenyFileBound(t *testing.T) {
	s := newFakeServer(t)
	d := s.sink()
	d.MaxBans = 3
	var bans []pipeline.Action
	for i := range 5 {
		bans = append(bans, ban(fmt.Sprintf("192.0.2.%d/32", i), time.Time{}))
	}
	err := d.Apply(t.Context(), bans)
	refused := (*pipeline.RefusedError)(nil)
	if !errors.As(err, &refused) || len(refused.Actions) != 2 {
		t.Fatalf("got %v, want two refused", err)
	}
	d.MaxBans = 2
	if err := d.Sync(t.Context(), slices.Values(bans)); !errors.As(err, &refused) || len(refused.Actions) != 3 {
		t.Fatalf("got %v, want three refused", err)
	}
	if held, err := s.held(); err != nil || len(held) != 2 {
		t.Errorf("got %v, %v, want two", held, err)
	}
	if err := d.Apply(t.Context(), []pipeline.Action{unban("192.0.2.0/32"), bans[4]}); err != nil {
		t.Errorf("got %v, want room for one when another goes", err)
	}
}

// A full disk: nothing is lost, and Watch does not call for one Sync after the other.
func TestDenyFileCannotWrite(t *testing.T) {
	s := newFakeServer(t)
	d := s.sink()
	d.Path = filepath.Join(s.dir, "gone", "deny.conf")
	a := ban("192.0.2.7/32", time.Time{})
	if err := d.Apply(t.Context(), []pipeline.Action{a}); err == nil {
		t.Fatal("got no error without a folder")
	}
	if d.touched() {
		t.Error("got a change, want none: it was never written")
	}
	if err := os.Mkdir(filepath.Dir(d.Path), 0o755); err != nil {
		t.Fatal(err)
	}
	d.Reload = nil
	if err := d.Apply(t.Context(), []pipeline.Action{a}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.Path); err != nil {
		t.Fatal(err)
	}
	if !d.touched() || d.touched() {
		t.Error("want it said once that the file is gone")
	}
}
