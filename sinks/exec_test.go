package sinks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

// blocker is a back end as a user may have it: a file for each ban, named by what is banned. It refuses work while there is
// a file called broken, and tells all that it was asked in calls.
const blocker = `#!/bin/sh
dir=$1 op=$2 prefix=$3 ports=$4 seconds=$5
file="$dir/${prefix%/*}_${prefix#*/}_$ports"
echo "$op $prefix $ports $6" >> "$dir/calls"
test -e "$dir/broken" && { echo "no, I am broken"; exit 1; }
case $op in
ban) echo "$seconds" > "$file" ;;
unban) rm -f "$file" ;;
esac
`

// A fakeBlocker is where it keeps its files.
type fakeBlocker struct{ dir string }

func newFakeBlocker(t testing.TB) fakeBlocker {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "block"), []byte(blocker), 0o755); err != nil {
		t.Fatal(err)
	}
	return fakeBlocker{dir}
}

func (f fakeBlocker) exec() *Exec {
	words := []string{filepath.Join(f.dir, "block"), f.dir}
	return &Exec{
		Ban:   append(slices.Clone(words), "ban", "{prefix}", "{ports}", "{seconds}", "{jail}"),
		Unban: append(slices.Clone(words), "unban", "{prefix}", "{ports}", "", "{jail}"),
		State: filepath.Join(f.dir, "calls.json"),
	}
}

// held reads the files.
func (f fakeBlocker) held() (held []pipeline.Action, err error) {
	files, err := filepath.Glob(filepath.Join(f.dir, "*_*_*"))
	for _, file := range files {
		words := strings.Split(filepath.Base(file), "_")
		prefix, err := netip.ParsePrefix(words[0] + "/" + words[1])
		if err != nil {
			return nil, err
		}
		a := pipeline.Action{Prefix: prefix}
		if words[2] != "all" {
			if a.Ports, err = (scope{ports: words[2]}).portRanges(); err != nil {
				return nil, err
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		seconds, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, err
		}
		if seconds >= 0 {
			info, err := os.Stat(file)
			if err != nil {
				return nil, err
			}
			a.Until = info.ModTime().Add(time.Duration(seconds) * time.Second)
		}
		held = append(held, a)
	}
	return held, err
}

func (f fakeBlocker) calls(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "calls"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	os.Remove(filepath.Join(f.dir, "calls"))
	return string(text)
}

func (f fakeBlocker) breakIt(t testing.TB) (mend func()) {
	broken := filepath.Join(f.dir, "broken")
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return func() { os.Remove(broken) }
}

func TestExecContract(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		t.Run(fmt.Sprintf("expire=%v", wrapped), func(t *testing.T) {
			pipelinetest.TestSink(t, func(t *testing.T) pipelinetest.Backend {
				f := newFakeBlocker(t)
				b := pipelinetest.Backend{
					Sink: f.exec(), Many: 120, Slack: 3 * time.Second, Held: f.held,
					Break: func() func() { return f.breakIt(t) },
				}
				if wrapped {
					b.Sink = &Expire{Sink: f.exec()}
				}
				return b
			})
		})
	}
}

func TestExecArgv(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	x := &Exec{Now: func() time.Time { return now }}
	template := []string{"p", "{addr}", "-x={prefix};{family}", "{jail}", "{ports}", "{seconds}", "$(id) `id` {2,3}"}
	web := []pipeline.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8100}}
	for _, c := range []struct {
		a    pipeline.Action
		want string
	}{
		{ban("192.0.2.7/32", now.Add(90*time.Second)), "192.0.2.7|-x=192.0.2.7/32;ipv4|sshd|all|90"},
		{ban("192.0.2.0/24", now.Add(1500*time.Millisecond), web...), "192.0.2.0/24|-x=192.0.2.0/24;ipv4|sshd|80,8000-8100|2"},
		{ban("2001:db8::7/128", time.Time{}), "2001:db8::7|-x=2001:db8::7/128;ipv6|sshd|all|-1"},
		{pipeline.Action{Prefix: netip.MustParsePrefix("192.0.2.7/32"), Jail: "{addr}; rm -rf /\n\x00"}, "192.0.2.7|-x=192.0.2.7/32;ipv4|{addr}; rm -rf /\n|all|-1"},
	} {
		if c.a.Jail == "" {
			c.a.Jail = "sshd"
		}
		want := "p|" + c.want + "|$(id) `id` {2,3}"
		if got := strings.Join(x.argv(template, &c.a), "|"); got != want {
			t.Errorf("%v: got %q, want %q", c.a.Prefix, got, want)
		}
	}
}

func TestCheckArgv(t *testing.T) {
	for _, c := range []struct {
		argv string
		want string
	}{
		{"/usr/local/bin/block|{addr}", ""},
		{"block|a{prefix}b{ports}c|{jail}|{family}|{seconds}|{2,3}|{\"ip\":\"{addr}\"}|}{", ""},
		{"", "no program"},
		{"block {addr}", "each argument is a string of its own"},
		{"{addr}", "each argument is a string of its own"},
		{"block|x{ip}", `there is no {ip}, but {addr}`},
		{"block|{addr}{until}", `there is no {until}`},
	} {
		err := CheckArgv(strings.Split(c.argv, "|"))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.argv, err, c.want)
		}
	}
}

// What nobody was there to lift is lifted at the next start, and what is live is told again.
func TestExecRestart(t *testing.T) {
	f := newFakeBlocker(t)
	until := time.Now().Add(time.Hour)
	stays, goes, more := ban("192.0.2.7/32", until), ban("192.0.2.8/32", until, pipeline.PortRange{First: 22, Last: 22}), ban("2001:db8::7/128", until)
	goes.Jail = "web"
	if err := f.exec().Apply(t.Context(), []pipeline.Action{stays, goes}); err != nil {
		t.Fatal(err)
	}
	f.calls(t)
	next := f.exec()
	held, err := next.Held(t.Context())
	if err != nil || len(held) != 2 || held[0].Jail == "" || !held[0].Until.Equal(until) {
		t.Fatalf("got %v, %v, want both bans", held, err)
	}
	live := []pipeline.Action{stays, more}
	if err := next.Sync(t.Context(), slices.Values(live)); err != nil {
		t.Fatal(err)
	}
	if got, want := f.calls(t), "unban 192.0.2.8/32 22 web\nban 192.0.2.7/32 all sshd\nban 2001:db8::7/128 all sshd\n"; got != want {
		t.Errorf("got calls %q, want %q", got, want)
	}
	if err := next.Sync(t.Context(), slices.Values(live)); err != nil || f.calls(t) != "" {
		t.Errorf("got %v, or calls for what is so already", err)
	}
}

// A ban is written down before its program runs: a crash in between must not leave one that nobody knows of.
func TestExecWritesFirst(t *testing.T) {
	dir := t.TempDir()
	state, seen := filepath.Join(dir, "state"), filepath.Join(dir, "seen")
	x := &Exec{Ban: []string{"cp", state, seen}, Unban: []string{"cp", state, seen}, State: state}
	for _, a := range []pipeline.Action{ban("192.0.2.7/32", time.Time{}), unban("192.0.2.7/32")} {
		os.Remove(seen)
		if err := x.Apply(t.Context(), []pipeline.Action{a}); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(seen); err != nil || !strings.Contains(string(text), "192.0.2.7/32") {
			t.Errorf("%s: got %q, %v, want the ban written while its program runs", a.Op, text, err)
		}
	}
	if text, _ := os.ReadFile(state); strings.Contains(string(text), "192.0.2.7/32") {
		t.Errorf("got %s, want it crossed out", text)
	}
}

// A program that does not know the ends need not hear of them.
func TestExecOnlyTellsWhatMatters(t *testing.T) {
	f := newFakeBlocker(t)
	x := f.exec()
	x.Ban = slices.DeleteFunc(x.Ban, func(w string) bool { return w == "{seconds}" })
	a := ban("192.0.2.7/32", time.Now().Add(time.Hour))
	for range 3 {
		if err := x.Apply(t.Context(), []pipeline.Action{a}); err != nil {
			t.Fatal(err)
		}
		a.Until = a.Until.Add(time.Hour)
	}
	if got := f.calls(t); strings.Count(got, "\n") != 1 {
		t.Errorf("got calls %q, want one", got)
	}
	held, _ := f.exec().Held(t.Context())
	if len(held) != 1 || time.Until(held[0].Until) < 150*time.Minute {
		t.Errorf("got %v, want the last end remembered", held)
	}
}

func TestExecExitCodes(t *testing.T) {
	for _, c := range []struct {
		script  string
		refused bool
		want    string
	}{
		{"exit 0", false, ""},
		{"echo no such set; exit 1", false, `exit status 1: "no such set"`},
		{"printf 'not \\033[31mIPv6\\n' >&2; exit 65", true, `refused: /`},
		{"kill -9 $$", false, "signal: killed"},
		{"sleep 60 & exec sleep 60", false, "took too long"},
		{"head -c 5000 /dev/zero | tr '\\0' x", false, ""},
	} {
		t.Run(c.script, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "block")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+c.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			x := &Exec{Ban: []string{path}, Timeout: 2 * time.Second}
			start := time.Now()
			err := x.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Time{})})
			if took := time.Since(start); took > 2*time.Second+killWait-time.Second {
				t.Errorf("took %v", took)
			}
			refused := (*pipeline.RefusedError)(nil)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || errors.As(err, &refused) != c.refused {
				t.Errorf("got %v, want %q, refused %v", err, c.want, c.refused)
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("got %q with a control character", err)
			}
			if held, _ := x.Held(t.Context()); c.refused == (len(held) == 1) {
				t.Errorf("got %v held, refused %v", held, c.refused)
			}
		})
	}
}

func TestExecMissingProgram(t *testing.T) {
	x := &Exec{Ban: []string{filepath.Join(t.TempDir(), "none"), "{addr}"}}
	err := x.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Time{})})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that it is not there", err)
	}
}

// A ban whose program fails is tried again, alone; an unban that fails again and again is given up.
func TestExecTriesAgain(t *testing.T) {
	f := newFakeBlocker(t)
	x := f.exec()
	a, b := ban("192.0.2.7/32", time.Time{}), ban("192.0.2.8/32", time.Time{})
	if err := x.Apply(t.Context(), []pipeline.Action{a}); err != nil {
		t.Fatal(err)
	}
	mend := f.breakIt(t)
	if err := x.Apply(t.Context(), []pipeline.Action{b}); err == nil {
		t.Error("got no error of a broken back end")
	}
	mend()
	f.calls(t)
	if err := x.Sync(t.Context(), slices.Values([]pipeline.Action{a, b})); err != nil {
		t.Error(err)
	}
	if got, want := f.calls(t), "ban 192.0.2.8/32 all sshd\n"; got != want {
		t.Errorf("got calls %q, want %q", got, want)
	}
	f.breakIt(t)
	var tries int
	for ; tries < 20; tries++ {
		if err := x.Sync(t.Context(), slices.Values([]pipeline.Action{a})); err == nil {
			break
		}
	}
	if tries != maxUnbanTries-1 {
		t.Errorf("got %d failed tries, want %d", tries, maxUnbanTries-1)
	}
}

func TestExecBound(t *testing.T) {
	x := &Exec{Ban: []string{"true"}, Unban: []string{"true"}, MaxBans: 2}
	a, b, c := ban("192.0.2.1/32", time.Time{}), ban("192.0.2.2/32", time.Time{}), ban("192.0.2.3/32", time.Time{})
	err := x.Apply(t.Context(), []pipeline.Action{a, b, c})
	refused := (*pipeline.RefusedError)(nil)
	if !errors.As(err, &refused) || len(refused.Actions) != 1 || refused.Actions[0].Prefix != c.Prefix || !strings.Contains(err.Error(), "nftables") {
		t.Fatalf("got %v, want the third refused, and a better sink named", err)
	}
	gone := a
	gone.Op = pipeline.Unban
	if err := x.Apply(t.Context(), []pipeline.Action{c, gone}); err != nil {
		t.Errorf("got %v, want room", err)
	}
	if held, _ := x.Held(context.Background()); len(held) != 2 {
		t.Errorf("got %v, want two", held)
	}
}

// A broken file is put aside; banning goes on.
func TestExecBrokenState(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":9}`, `{"version":1,"bans":[{"prefix":"192.0.2.7/32","ports":"9-1"}]}`} {
		state := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(state, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		x := &Exec{Ban: []string{"true"}, State: state}
		if err := x.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Time{})}); err != nil {
			t.Error(err)
		}
		if aside, err := os.ReadFile(state + ".broken"); err != nil || string(aside) != text {
			t.Errorf("%q: got %q, %v", text, aside, err)
		}
	}
}
