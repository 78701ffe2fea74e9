package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
)

// A reload takes over what may stay, lifts what ignoreip covers now, and leaves all as it is where there is a mistake.
func TestReload(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startService(t, "")
	s.offend("192.0.2.7", 5)
	s.offend("192.0.2.8", 5)
	s.offend("192.0.2.9", 3)
	s.holds("ban4", "192.0.2.8", true)
	s.done("allow", "192.0.2.20")

	s.configure("maxretries = 3\n")
	s.refused(`banpipe.toml:\d+: .*maxretries`, "reload")
	s.says("sshd +2 ", "status")

	handles := func() string { // they change with every rule that is made anew, and its counter is lost
		out, _ := exec.Command("nft", "-a", "list", "chain", "inet", "banpipe", "bans").CombinedOutput()
		return string(out)
	}
	before := handles()
	s.configure("ignoreip = [\"192.0.2.8\"]\n")
	s.says("(?s)reloaded: sshd\n1 bans lifted", "reload")
	s.holds("ban4", "192.0.2.8", false)
	if after := handles(); after != before {
		t.Errorf("got\n%s\nwant the rules as they were:\n%s", after, before)
	}
	s.holds("ban4", "192.0.2.7", true)
	s.holds("allow4", "192.0.2.20", true)
	s.says("jail sshd: 192.0.2.8 is in ignoreip", "why", "192.0.2.8")
	s.offend("192.0.2.9", 2) // three are counted already
	s.holds("ban4", "192.0.2.9", true)
	s.configure("[jails.second]\nenabled = true\nfilter = \"sshd\"\nlogpath = \"" + s.log + "\"\n")
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if !within(20*time.Second, func() bool { return strings.Contains(s.done("status"), "second") }) {
		t.Error("SIGHUP has not reloaded")
	}
	s.says("(?s)Total failed:\t15\n.*Total banned:\t3\n", "status", "sshd")

	// What is no longer read is no longer shown; what is goes on counting.
	other := s.dir + "/other.log"
	write(t, other, "nothing\n")
	s.configure("[jails.second]\nenabled = true\nfilter = \"sshd\"\nlogpath = \"" + s.dir + "/oth*.log\"\n")
	s.done("reload")
	appendTo(t, other, "something\n")
	if !within(20*time.Second, func() bool { return strings.Contains(s.done("status"), "something") }) {
		t.Error("the new log is not read")
	}
	s.done("reload")
	s.says("something", "status")
	s.configure("")
	s.done("reload")
	if out := s.done("status"); strings.Contains(out, "other.log") || !regexp.MustCompile(`auth.log +15 `).MatchString(out) {
		t.Errorf("got\n%s\nwant auth.log with its 15 lines, and no other", out)
	}
}

// A configuration on trial goes by itself, in time, also when the service was killed meanwhile; a confirmed one stays.
func TestReloadOnTrial(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	limit := func(s *testService) int {
		var status control.Status
		if err := json.Unmarshal([]byte(s.done("status", "sshd", "--json")), &status); err != nil {
			t.Fatal(err)
		}
		return status.Jails[0].MaxRetry
	}
	s := startService(t, "")
	trial := func() {
		write(t, s.config, strings.Replace(read(t, s.config), "maxretry = 5", "maxretry = 7", 1))
	}
	old := read(t, s.config)
	back := func() bool { return limit(s) == 5 }

	s.done("ban", "192.0.2.7")
	trial()
	s.says("on trial until", "reload", "--confirm", "5s")
	if limit(s) != 7 {
		t.Errorf("got maxretry %d, want that of the new file", limit(s))
	}
	s.says("the configuration is on trial", "status")
	if !within(8*time.Second, back) {
		t.Error("the old configuration is not back in time")
	}
	s.holds("ban4", "192.0.2.7", true)
	s.refused("no configuration is on trial", "reload", "--yes")
	s.kill()
	s.run()
	if !back() {
		t.Error("a restart runs what was not confirmed")
	}

	s.says("on trial until", "reload", "--confirm", "6s")
	s.kill()
	s.run()
	if limit(s) != 7 {
		t.Error("a restart within the trial ends it")
	}
	if !within(9*time.Second, back) {
		t.Error("after a restart within the trial the old configuration is not back")
	}
	s.says("on trial until", "reload", "--confirm", "1s")
	s.kill()
	<-time.After(time.Second)
	s.run()
	if !back() {
		t.Error("the trial ended while nothing ran, and the new configuration runs")
	}

	s.says("on trial until", "reload", "--confirm", "4s")
	s.says("confirmed", "reload", "--yes")
	<-time.After(4500 * time.Millisecond) // the clock of a process
	if limit(s) != 7 {
		t.Error("what was confirmed has gone")
	}
	s.kill()
	s.run()
	if limit(s) != 7 {
		t.Error("what was confirmed has gone with a restart")
	}

	// Who changes the file after a trial has failed is believed.
	write(t, s.config, strings.Replace(old, "maxretry = 5", "maxretry = 8", 1))
	s.done("reload", "--confirm", "1s")
	if !within(4*time.Second, func() bool { return limit(s) == 7 }) {
		t.Error("not back")
	}
	s.kill()
	write(t, s.config, strings.Replace(old, "maxretry = 5", "maxretry = 9", 1))
	s.run()
	if limit(s) != 9 {
		t.Errorf("got maxretry %d, want that of the file that was changed", limit(s))
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Reloads under a stream of 100,000 lines a second lose and double no hit, and lift no ban.
func TestReloadUnderLoad(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startService(t, "")
	app := s.dir + "/app.log"
	jail := fmt.Sprintf("[jails.app]\nenabled = true\nfailregex = ['^ web1 app: bad <HOST>$']\nmaxretry = 1000000\nfindtime = \"1h\"\nport = \"all\"\nlogpath = %q\n", app)
	write(t, app, "")
	s.configure(jail)
	s.done("reload")
	s.offend("192.0.2.7", 5)
	s.holds("ban4", "192.0.2.7", true)
	f, err := os.OpenFile(app, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const chunk, chunks, reloads = 5_000, 80, 8 // 50 ms each
	start, reloaded := time.Now(), make(chan bool)
	go func() {
		defer close(reloaded)
		for i := range reloads {
			s.configure(jail + fmt.Sprintf("[jails.nginx-404]\nenabled = false\nmaxretry = %d\n", i+1))
			if out, code := s.verb("reload"); code != 0 {
				t.Errorf("reload: %s", out)
			}
			<-time.After(400 * time.Millisecond) // spread over the stream
		}
	}()
	var text strings.Builder
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	lifted := false
	for range chunks {
		text.Reset()
		stamp := time.Now().Format("2006-01-02T15:04:05.000000-07:00")
		for i := range chunk {
			fmt.Fprintf(&text, "%s web1 app: bad 198.51.100.%d\n", stamp, i%250)
		}
		if _, err := f.WriteString(text.String()); err != nil {
			t.Fatal(err)
		}
		lifted = lifted || !strings.Contains(s.set("ban4"), "192.0.2.7")
		<-tick.C
	}
	took := time.Since(start)
	<-reloaded
	if lifted {
		t.Error("a reload lifted a ban for a moment")
	}
	hits := func() uint64 {
		var status control.Status
		if err := json.Unmarshal([]byte(s.done("status", "app", "--json")), &status); err != nil {
			t.Fatal(err)
		}
		return status.Jails[0].HitsTotal
	}
	if !within(30*time.Second, func() bool { return hits() >= chunk*chunks }) || hits() != chunk*chunks {
		t.Errorf("got %d hits, want %d", hits(), chunk*chunks)
	}
	t.Logf("%d lines at %.0f a second, over %d reloads", chunk*chunks, chunk*chunks/took.Seconds(), reloads)
}

// The sources that a new configuration leaves as they are go on; others begin, at their cursors, and those that nobody needs are
// closed.
func TestSourcesGoOn(t *testing.T) {
	dir := t.TempDir()
	build := func(text string) *configs.Built {
		t.Helper()
		cfg, err := configs.Parse(dir+"/b.toml", []byte(strings.ReplaceAll(text, "D/", dir+"/")))
		if err != nil {
			t.Fatal(err)
		}
		built, err := configs.Build(cfg, configs.BuildOptions{Journal: []string{"true"}, Stdin: strings.NewReader("")})
		if err != nil {
			t.Fatal(err)
		}
		return built
	}
	const log, journal = "[jails.a]\nenabled = true\nfilter = 'sshd'\nlogpath = 'D/a.log'\n", "[jails.b]\nenabled = true\nfilter = 'sshd'\njournalmatch = '_UID=0'\n"
	for _, c := range []struct {
		name, old, to string
		same          []bool // files, journal, stdin
	}{
		{"nothing has changed", log + journal, log + journal, []bool{true, true, true}},
		{"a limit has changed", log + journal, log + "maxretry = 9\n" + journal, []bool{true, true, true}},
		{"another log", log + journal, log + "[jails.c]\nenabled = true\nfilter = 'sshd'\nlogpath = 'D/c.log'\n" + journal, []bool{false, true, true}},
		{"another match", log + journal, log + strings.Replace(journal, "_UID=0", "_UID=1", 1), []bool{true, false, true}},
		{"a jail more", log, log + journal, []bool{true, false, true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, to := build(c.old), build(c.to)
			handOver(old, to)
			var same []bool
			for _, s := range to.Sources {
				same = append(same, slices.Contains(old.Sources, s))
			}
			if !slices.Equal(same, c.same) {
				t.Errorf("got %v, want %v", same, c.same)
			}
		})
	}
}

// A fullDisk is a store that has nothing and keeps nothing.
type fullDisk struct{ pipeline.MemStore }

func (*fullDisk) Commit(context.Context, *pipeline.Checkpoint) error { return syscall.ENOSPC }

// After a last checkpoint that could not be saved, the new pipeline begins where the state stands, and so must its sources.
func TestSourcesGoBackToTheState(t *testing.T) {
	log := t.TempDir() + "/a.log"
	write(t, log, "")
	build := func() *configs.Built {
		t.Helper()
		cfg, err := configs.Parse("b.toml", fmt.Appendf(nil, "[jails.a]\nenabled = true\nfilter = 'sshd'\nlogpath = %q\n", log))
		if err != nil {
			t.Fatal(err)
		}
		built, err := configs.Build(cfg, configs.BuildOptions{Store: &fullDisk{}})
		if err != nil {
			t.Fatal(err)
		}
		built.Outputs = nil
		return built
	}
	for _, full := range []bool{false, true} {
		old, to := build(), build()
		if !full {
			old.Store = &pipeline.MemStore{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- old.Run(ctx) }()
		for {
			err := old.Do(ctx, pipeline.Action{Op: pipeline.Ban, Jail: pipeline.Manual, Prefix: netip.MustParsePrefix("198.51.100.7/32")})
			if !errors.Is(err, pipeline.ErrNotRunning) {
				break
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		handOver(old, to)
		if same := to.Sources[0] == old.Sources[0]; same == full {
			t.Errorf("full disk: %v: got that the source goes on: %v", full, same)
		}
	}
}
