package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/banpipe/banpipe/pipeline"
)

// crashEnv makes the test binary a process that commits until it is killed.
const crashEnv = "BANPIPE_TEST_COMMIT"

func TestMain(m *testing.M) {
	if path := os.Getenv(crashEnv); path != "" {
		commitForever(path)
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, path string, opts Options) *Store {
	t.Helper()
	s, err := Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func commit(t testing.TB, s *Store, c pipeline.Checkpoint) {
	t.Helper()
	if err := s.Commit(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
}

func change(owner, key, value string) pipeline.Change {
	c := pipeline.Change{Owner: owner, Key: []byte(key)}
	if value != "" {
		c.Value = []byte(value)
	}
	return c
}

// state reads everything of an owner, "key=value" in order.
func state(t testing.TB, s *Store, owner string) (all []string) {
	t.Helper()
	err := s.Load(owner, func(saved iter.Seq2[[]byte, []byte]) error {
		for k, v := range saved {
			all = append(all, fmt.Sprintf("%s=%s", k, v))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func want(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommitAndLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "banpipe.db")
	s := open(t, path, Options{})
	want(t, state(t, s, "window"))
	commit(t, s, pipeline.Checkpoint{Changes: []pipeline.Change{change("window", "a", "1"), change("window", "b", "2"), change("decide", "a", "x")}})
	commit(t, s, pipeline.Checkpoint{Changes: []pipeline.Change{change("window", "a", ""), change("window", "c", "1"), change("window", "c", "3"), change("window", "never there", "")}})
	s.Close()
	s = open(t, path, Options{})
	want(t, state(t, s, "window"), "b=2", "c=3")
	want(t, state(t, s, "decide"), "a=x")
	commit(t, s, pipeline.Checkpoint{Full: true, Changes: []pipeline.Change{change("window", "z", "9")}})
	want(t, state(t, s, "window"), "z=9")
	want(t, state(t, s, "decide"))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestTwoInstances(t *testing.T) {
	path := filepath.Join(t.TempDir(), "banpipe.db")
	open(t, path, Options{})
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "second banpipe") {
		t.Errorf("got %v, want a word on the other process", err)
	}
}

// Whatever has happened to the file, the service starts, and the file is kept for whoever wants to look.
func TestBrokenFile(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "whole.db")
	s := open(t, whole, Options{})
	var changes []pipeline.Change
	for i := range 3_000 {
		changes = append(changes, change("window", fmt.Sprint("key ", i), strings.Repeat("v", 50)))
	}
	commit(t, s, pipeline.Checkpoint{Changes: changes})
	s.Close()
	good, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	overwritten := slices.Clone(good)
	for i := 2 * 4096; i < len(overwritten); i++ {
		overwritten[i] = 0xa5
	}
	noMeta := slices.Clone(good)
	clear(noMeta[:2*4096])
	for name, content := range map[string][]byte{
		"text":              []byte(strings.Repeat("not a database\n", 1000)),
		"a few bytes":       []byte("x"),
		"cut in the middle": good[:len(good)/2],
		"cut to two pages":  good[:2*4096],
		"pages overwritten": overwritten,
		"no meta pages":     noMeta,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "banpipe.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			core, logs := observer.New(zap.ErrorLevel)
			s := open(t, path, Options{Logger: zap.New(core)})
			if s.Degraded() {
				t.Fatalf("got a degraded store: %v", logs.All())
			}
			commit(t, s, pipeline.Checkpoint{Full: true, Changes: []pipeline.Change{change("window", "a", "1")}})
			want(t, state(t, s, "window"), "a=1")
			aside, _ := filepath.Glob(filepath.Join(dir, "banpipe.db.broken-*"))
			if len(aside) != 1 || logs.FilterMessageSnippet("put aside").Len() != 1 {
				t.Errorf("got %q and %v, want the broken file beside, and a word on it", aside, logs.All())
			}
		})
	}
}

func TestEmptyFileIsNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "banpipe.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, Options{})
	commit(t, s, pipeline.Checkpoint{Changes: []pipeline.Change{change("window", "a", "1")}})
	if aside, _ := filepath.Glob(path + ".broken-*"); len(aside) != 0 {
		t.Errorf("got %q put aside, want nothing", aside)
	}
}

// A file from a newer version is left as it is, and the service works beside it.
func TestNewerVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "banpipe.db")
	s := open(t, path, Options{})
	commit(t, s, pipeline.Checkpoint{Changes: []pipeline.Change{change("window", "a", "1")}})
	s.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(metaBucket).Put(versionKey, binary.BigEndian.AppendUint64(nil, version+1))
	})
	s.Close()
	before, _ := os.ReadFile(path)
	for range 2 { // the second start finds its own file again
		core, logs := observer.New(zap.ErrorLevel)
		s = open(t, path, Options{Logger: zap.New(core)})
		if logs.FilterMessageSnippet("newer banpipe").Len() != 1 {
			t.Errorf("got %v, want a word on the version", logs.All())
		}
		commit(t, s, pipeline.Checkpoint{Changes: []pipeline.Change{change("window", "b", "2")}})
		want(t, state(t, s, "window"), "b=2")
		s.Close()
	}
	if after, _ := os.ReadFile(path); !slices.Equal(before, after) {
		t.Error("the newer file has been changed")
	}
}

// A folder that cannot be made is a degraded store, which recovers by itself, with everything.
func TestRecovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	s := open(t, filepath.Join(dir, "banpipe.db"), Options{})
	c := pipeline.Checkpoint{Changes: []pipeline.Change{change("window", "a", "1")}}
	if !s.Degraded() || s.Commit(t.Context(), &c) == nil {
		t.Fatal("got a commit without a folder")
	}
	os.Remove(dir)
	if err := s.Commit(t.Context(), &c); err == nil {
		t.Fatal("got a partial commit into a file that has missed the ones before")
	}
	c.Full = true
	commit(t, s, c)
	want(t, state(t, s, "window"), "a=1")
}

// A disk that is full loses nothing that was saved, and what could not be is saved when there is room again.
func TestFullDisk(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	s := open(t, filepath.Join(t.TempDir(), "banpipe.db"), Options{})
	commit(t, s, pipeline.Checkpoint{Changes: []pipeline.Change{change("window", "a", "1")}})
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	full := pipeline.Checkpoint{Full: true, Changes: []pipeline.Change{change("window", "b", strings.Repeat("x", 1<<20))}}
	syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 18, Max: was.Max})
	err := s.Commit(t.Context(), &full)
	syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)
	if err == nil {
		t.Fatal("got a commit of 1 MiB within 256 KiB")
	}
	want(t, state(t, s, "window"), "a=1")
	commit(t, s, full)
	if got := state(t, s, "window"); len(got) != 1 || len(got[0]) != 1<<20+2 {
		t.Errorf("got %d values, want the large one", len(got))
	}
}

// commitForever writes pairs that must always be equal.
func commitForever(path string) {
	s, err := Open(path, Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		v := fmt.Sprint(i)
		c := pipeline.Checkpoint{
			Full:    i%7 == 0,
			Changes: []pipeline.Change{change("window", "n", v), change("decide", "n", v), change("window", fmt.Sprint(i%100), strings.Repeat(v, 1000))},
			Events:  []pipeline.Event{{Time: time.Now(), Action: pipeline.Action{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Hits: i}}},
		}
		if err := s.Commit(context.Background(), &c); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if i == 3 {
			fmt.Println("at work")
		}
	}
}

// SIGKILL at any moment leaves one whole checkpoint.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "banpipe.db")
	for range 10 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), crashEnv+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, _ := out.Read(buf); string(buf[:n]) != "at work\n" {
			t.Errorf("got %q", buf[:n])
		}
		time.Sleep(rand.N(20 * time.Millisecond)) // the moment of death
		cmd.Process.Kill()
		cmd.Wait()

		s := open(t, path, Options{})
		n := value(state(t, s, "window"), "n")
		if m := value(state(t, s, "decide"), "n"); n != m || n == "" {
			t.Errorf("got %q and %q, want one moment", n, m)
		}
		last := -1
		for e, err := range s.History(time.Time{}.Add(1)) {
			if err != nil {
				t.Fatal(err)
			}
			last = e.Action.Hits
		}
		if fmt.Sprint(last) != n {
			t.Errorf("got event %d as the last, want %s", last, n)
		}
		s.Close()
		if aside, _ := filepath.Glob(path + ".broken-*"); len(aside) != 0 {
			t.Fatalf("got %q: a kill broke the file", aside)
		}
		os.Remove(path)
	}
}

func value(all []string, key string) string {
	for _, kv := range all {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}

func TestHistory(t *testing.T) {
	now := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	s := open(t, filepath.Join(t.TempDir(), "banpipe.db"), Options{History: 24 * time.Hour, MaxBytes: 20, Now: func() time.Time { return now }})
	event := func(ago time.Duration, op pipeline.Op, lines ...string) pipeline.Event {
		return pipeline.Event{Time: now.Add(-ago), Lines: lines, Action: pipeline.Action{
			Op: op, Prefix: netip.MustParsePrefix("192.0.2.7/32"), Jail: "sshd", Until: now.Add(time.Hour), Hits: 5, Reason: "5 hits",
		}}
	}
	commit(t, s, pipeline.Checkpoint{Events: []pipeline.Event{
		event(0, pipeline.Unban), event(time.Hour, pipeline.Ban, "short", "\xff\x00raw", "too long for the rest"), event(time.Hour, pipeline.Ban),
	}})
	read := func(since time.Time) (got []string) {
		for e, err := range s.History(since) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%v %v %q", now.Sub(e.Time), e.Action.Op, e.Lines))
		}
		return got
	}
	want(t, read(now.Add(-2*time.Hour)), `1h0m0s ban ["short" "\xff\x00raw"]`, `1h0m0s ban []`, `0s unban []`)
	want(t, read(now.Add(-time.Minute)), `0s unban []`)
	now = now.Add(24*time.Hour - time.Minute)
	commit(t, s, pipeline.Checkpoint{})
	want(t, read(time.Unix(0, 0)), `23h59m0s unban []`)
}

// 1,000,000 live bans: how long a start reads them, and what each takes on disk.
func BenchmarkMillionBans(b *testing.B) {
	const n = 1_000_000
	path := filepath.Join(b.TempDir(), "banpipe.db")
	s := open(b, path, Options{})
	d := &pipeline.Decide{Jails: map[string]pipeline.Jail{"sshd": {MaxRetry: 1, BanTime: 24 * time.Hour}}, MaxBans: 2 * n}
	d.Load(func(func(k, v []byte) bool) {})
	now := time.Now()
	for i := range n / 500 {
		batch := &pipeline.Batch{}
		for j := range 500 {
			k := uint32(i*500+j) * 2654435761
			r := batch.Append(nil, now)
			r.Kind, r.Jail, r.Hits = pipeline.Hit, "sshd", 5
			r.Addr = netip.AddrFrom4([4]byte{byte(1 + k>>24%200), byte(k >> 16), byte(k >> 8), byte(k)})
		}
		d.Process(b.Context(), batch)
	}
	saved := 0
	c := pipeline.Checkpoint{}
	d.Save(true, func(k, v []byte) {
		saved++
		c.Changes = append(c.Changes, pipeline.Change{Owner: d.Name(), Key: slices.Clone(k), Value: slices.Clone(v)})
	})
	for part := range slices.Chunk(c.Changes, 10_000) { // as they would have come
		commit(b, s, pipeline.Checkpoint{Changes: part})
	}
	s.Close()
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	var reading, starting time.Duration
	for b.Loop() {
		start := time.Now()
		s := open(b, path, Options{})
		reading += time.Since(start)
		d := &pipeline.Decide{Jails: d.Jails, MaxBans: 2 * n}
		if err := s.Load(d.Name(), d.Load); err != nil {
			b.Fatal(err)
		}
		starting += time.Since(start)
		s.Close()
	}
	b.ReportMetric(reading.Seconds()/float64(b.N), "s/open")
	b.ReportMetric(starting.Seconds()/float64(b.N), "s/start")
	b.ReportMetric(float64(info.Size())/float64(saved), "B/ban")
}
