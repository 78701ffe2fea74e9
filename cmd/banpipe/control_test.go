package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline/control"
)

// A testService is banpipe run in a namespace, with a log that the test writes.
type testService struct {
	t           *testing.T
	dir         string
	log, config string
	cmd         *exec.Cmd
}

const sshdJail = "[jails.sshd]\nenabled = true\nmaxretry = 5\nfindtime = \"10m\"\nbantime = \"1h\"\nport = \"all\"\n"

// newService starts one; extra goes into its configuration.
func startService(t *testing.T, extra string) *testService {
	t.Helper()
	dir := t.TempDir()
	s := &testService{t: t, dir: dir, log: filepath.Join(dir, "auth.log"), config: filepath.Join(dir, "banpipe.toml")}
	write(t, s.log, "")
	s.configure(extra)
	s.run()
	return s
}

func (s *testService) configure(extra string) {
	s.t.Helper()
	head := fmt.Sprintf("state_dir = %q\nsocket = %q\n", s.dir+"/state", s.dir+"/run/banpipe.sock")
	write(s.t, s.config, head+sshdJail+fmt.Sprintf("logpath = %q\n", s.log)+extra)
}

func (s *testService) run() {
	s.t.Helper()
	s.cmd = banpipe(s.t, "run", "--config", s.config)
	if !within(30*time.Second, func() bool { _, code := s.verb("status"); return code == 0 }) {
		s.t.Fatal("the service does not answer")
	}
	if !within(30*time.Second, func() bool { return strings.Contains(s.kernel(), "chain bans") }) {
		s.t.Fatal("the service has not made its table")
	}
}

func (s *testService) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// verb runs the program and returns what it printed, standard error too, and its exit code.
func (s *testService) verb(args ...string) (string, int) {
	s.t.Helper()
	return runVerb(s.t, append(args, "--config", s.config)...)
}

func runVerb(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "banpipe"
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// done runs a verb that must succeed.
func (s *testService) done(args ...string) string {
	s.t.Helper()
	out, code := s.verb(args...)
	if code != 0 {
		s.t.Fatalf("banpipe %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

// says runs a verb whose output must match.
func (s *testService) says(want string, args ...string) {
	s.t.Helper()
	if out := s.done(args...); !regexp.MustCompile(want).MatchString(out) {
		s.t.Errorf("banpipe %s: got\n%s\nwant %s", strings.Join(args, " "), out, want)
	}
}

// refused runs a verb that must fail.
func (s *testService) refused(want string, args ...string) {
	s.t.Helper()
	out, code := s.verb(args...)
	if code == 0 || !regexp.MustCompile(want).MatchString(out) {
		s.t.Errorf("banpipe %s: exit code %d, got\n%s\nwant a failure: %s", strings.Join(args, " "), code, out, want)
	}
}

func (s *testService) kernel() string {
	out, _ := exec.Command("nft", "list", "table", "inet", "banpipe").CombinedOutput()
	return string(out)
}

// set is what the kernel has in one set.
func (s *testService) set(name string) string {
	out, _ := exec.Command("nft", "list", "set", "inet", "banpipe", name).CombinedOutput()
	return string(out)
}

// holds waits until a set has an address, or has not.
func (s *testService) holds(set, addr string, want bool) {
	s.t.Helper()
	if !within(20*time.Second, func() bool { return strings.Contains(s.set(set), addr) == want }) {
		s.t.Errorf("set %s holds %s: got %v, want %v:\n%s", set, addr, !want, want, s.set(set))
	}
}

func (s *testService) offend(from string, n int) {
	s.t.Helper()
	f, err := os.OpenFile(s.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	for i := range n {
		fmt.Fprintf(f, "%s web1 sshd[811]: Failed password for root from %s port %d ssh2\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), from, 4711+i)
	}
}

// Every verb, with a look at the kernel's sets after each.
func TestVerbs(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip(t, "link add v0 type veth peer name v1")
	ip(t, "addr add 10.9.0.1/24 dev v0")
	ip(t, "link set v1 up")
	ip(t, "link set v0 up")
	ip(t, "route add default via 10.9.0.254")
	s := startService(t, "")

	s.offend("192.0.2.7", 5)
	s.holds("ban4", "192.0.2.7", true)
	s.offend("192.0.2.8", 3)
	within(20*time.Second, func() bool { return strings.Contains(s.done("status", "sshd"), "Currently failed:\t1") })
	s.says(`(?s)Currently failed:\t1\n.*Total failed:\t8\n.*File list:\t\S+/auth.log\n.*Currently banned:\t1\n.*Total banned:\t1\n.*Banned IP list:\t192.0.2.7\n`, "status", "sshd")
	s.says(`(?s)sshd +1 +1 +1 +8 .*file:\S+/auth.log +8 .*nftables +ok.*state +ok`, "status")
	s.says(`Banned IP list:\t192.0.2.7\n`, "status", "--all")
	s.says(`192\.0\.2\.7 +sshd +20.* 5 hits in 10m0s`, "list")
	within(20*time.Second, func() bool { return strings.Contains(s.done("why", "192.0.2.7"), "on record: 1") }) // with the next checkpoint
	s.says(`(?s)192.0.2.7 is banned\n  banned by jail sshd since .* until .*5 hits.*bans on record: 1\n.*\n    .*Failed password`, "why", "192.0.2.7")

	// Who only asks changes nothing, and gets JSON if he wants it, an object a line.
	for _, args := range [][]string{{"status"}, {"status", "sshd"}, {"status", "--all"}, {"list"}, {"why", "192.0.2.7"}, {"history"}, {"history", "--top"}, {"history", "--by-day"}} {
		s.done(args...)
		for line := range strings.Lines(s.done(append(args, "--json")...)) {
			if !strings.HasPrefix(line, "{") || !json.Valid([]byte(line)) {
				t.Errorf("%v --json: got %q, want an object", args, line)
			}
		}
		s.holds("ban4", "192.0.2.7 ", true)
		s.holds("ban4", "192.0.2.8 ", false)
	}

	s.says("banned 192.0.2.9 until", "ban", "192.0.2.9", "--reason", "because", "--for", "2h")
	s.holds("ban4", "192.0.2.9 timeout ", true)
	s.says("192.0.2.9 +manual .* because", "list")
	s.says("banned 198.51.100.0/24 for ever", "ban", "198.51.100.7/24", "--for", "-1")
	s.holds("ban4_net24", "198.51.100.0", true)
	s.says("(?s)198.51.100.9 is banned.* as part of 198.51.100.0/24", "why", "198.51.100.9")
	s.says("(?s)unbanned 198.51.100.9\n.*it was not banned\n.*198.51.100.0/24, banned by jail manual, still keeps it out", "unban", "198.51.100.9")

	s.refused("own address, its gateway", "ban", "10.9.0.1")
	s.refused("own address, its gateway", "ban", "10.9.0.254")
	s.refused("wider than", "ban", "11.0.0.0/7")
	s.refused("wider than", "ban", "2001::/31")
	s.refused("never banned", "ban", "127.0.0.1", "--force")
	t.Setenv("SSH_CONNECTION", "192.0.2.200 4711 10.9.0.1 22")
	s.refused("you are connected from 192.0.2.200", "ban", "192.0.2.192/26")
	s.refused("no jail", "ban", "192.0.2.10", "--jail", "nosuch")
	s.says("banned 192.0.2.192/26", "ban", "192.0.2.192/26", "--force")
	s.says("banned 10.9.0.254", "ban", "10.9.0.254", "--force", "--for", "1m")
	s.says("unbanned 10.9.0.254", "unban", "10.9.0.254")

	s.says("unbanned 192.0.2.7\n", "unban", "192.0.2.7")
	s.holds("ban4", "192.0.2.7", false)
	s.offend("192.0.2.7", 4) // the window was cleared: four are too few
	s.offend("192.0.2.11", 5)
	s.holds("ban4", "192.0.2.11", true)
	s.holds("ban4", "192.0.2.7", false)

	s.says("allowed 192.0.2.11 until", "allow", "192.0.2.11", "--for", "1h")
	s.holds("ban4", "192.0.2.11", false)
	s.holds("allow4", "192.0.2.11 timeout", true)
	s.says("(?s)is not banned.*saved: it is allowed until", "why", "192.0.2.11")
	s.offend("192.0.2.11", 10)
	s.refused("it is allowed until", "ban", "192.0.2.11")
	s.says("192.0.2.11 +manual", "list", "--allowed")
	s.holds("ban4", "192.0.2.11", false)
	s.refused("want one address", "allow", "192.0.2.0/24")
	s.says("no longer allowed: 192.0.2.11", "allow", "--remove", "192.0.2.11")
	s.holds("allow4", "192.0.2.11", false)

	s.says("paused until", "pause", "5m")
	s.holds("pause4", "0.0.0.0 timeout ", true)
	s.holds("pause6", ":: timeout ", true)
	s.says("warning: everything is paused until", "status")
	s.offend("192.0.2.12", 5)
	s.holds("ban4", "192.0.2.12", true)
	s.says("resumed", "resume")
	s.holds("pause4", "0.0.0.0", false)

	s.says("(?s)ban 192.0.2.7 by jail sshd.*unban 192.0.2.7.*allow 192.0.2.11.*pause.*resume", "history")
	s.says("1  192.0.2.7", "history", "--top")
	s.refused("there is no jail", "status", "nosuch")

	s.says("[3-9] bans lifted", "unban", "--all")
	for _, set := range []string{"ban4", "ban4_net24"} {
		s.holds(set, "elements", false)
	}
	s.says("nobody", "list")
	s.done("ban", "192.0.2.50", "--json")
	s.holds("ban4", "192.0.2.50", true)
	s.says("(?s)removed table inet banpipe.*the service has lifted 1 bans", "flush")
	s.holds("ban4", "192.0.2.50", false)
	s.says("nobody", "list")
	s.done("ban", "192.0.2.51")
	s.holds("ban4", "192.0.2.51", true)
	s.says("reloaded: sshd", "reload")
	s.holds("ban4", "192.0.2.51", true)
	s.holds("ban4", "192.0.2.50", false)
	s.kill()
	s.refused("no service answers", "status")
}

// What was answered holds after SIGKILL, and a restart.
func TestAnsweredIsKept(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startService(t, "")
	s.done("ban", "192.0.2.7", "--for", "1h")
	s.kill()
	s.run()
	s.holds("ban4", "192.0.2.7", true)
	s.says("by hand", "list")
	s.done("unban", "192.0.2.7")
	s.kill()
	s.run()
	s.says("nobody", "list")
	s.holds("ban4", "192.0.2.7", false)
	s.done("allow", "192.0.2.7")
	s.kill()
	s.run()
	s.holds("allow4", "192.0.2.7", true)
	s.refused("it is allowed", "ban", "192.0.2.7")
	s.done("pause", "1h")
	s.kill()
	if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	s.run()
	s.holds("pause4", "0.0.0.0", true)
	s.says("everything is paused until", "status")
	s.done("resume")
	s.done("ban", "10.77.0.0/16", "--force")
	s.kill()
	s.run()
	s.holds("pause4", "0.0.0.0", false)
	s.holds("ban4_net16", "10.77.0.0", true)
}

// list, unban and flush need no service.
func TestWithoutService(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startService(t, "")
	s.done("ban", "192.0.2.7", "198.51.100.0/24")
	s.holds("ban4_net24", "198.51.100.0", true)
	s.kill()
	s.says("(?s)no service answers.*what the kernel and .* hold.*192.0.2.7 .*198.51.100.0/24 ", "list")
	s.says("(?s)taken out of the kernel, .* directly.*unbanned 192.0.2.7\n", "unban", "192.0.2.7")
	s.holds("ban4", "192.0.2.7", false)
	write(t, s.config, "nonsense = [")
	s.says("198.51.100.0/24 ", "list")
	if out, code := s.verb("flush"); code != 0 || !strings.Contains(out, "removed table inet banpipe") {
		t.Errorf("flush: exit code %d, got %s", code, out)
	}
}

func TestStatusJSON(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startService(t, "")
	s.offend("192.0.2.7", 5)
	s.holds("ban4", "192.0.2.7", true)
	var status control.Status
	if err := json.Unmarshal([]byte(s.done("status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.Bans != 1 || len(status.Sources) != 1 || status.Sources[0].LinesTotal != 5 || len(status.Warnings) != 0 {
		t.Errorf("got %+v", status)
	}
}

// fail2ban's page, of a log and of the journal.
func TestPrintJails(t *testing.T) {
	var out bytes.Buffer
	printJails(&out, control.Status{Jails: []control.Jail{
		{Jail: "sshd", LogPath: []string{"/var/log/a", "/var/log/b"}, Tracked: 1, HitsTotal: 5, Bans: 2, BansTotal: 3, Addrs: []string{"192.0.2.7", "2001:db8::/64"}},
		{Jail: "j", JournalMatch: "_COMM=sshd"},
	}})
	const want = "Status for the jail: sshd\n|- Filter\n|  |- Currently failed:\t1\n|  |- Total failed:\t5\n|  `- File list:\t/var/log/a /var/log/b\n" +
		"`- Actions\n   |- Currently banned:\t2\n   |- Total banned:\t3\n   `- Banned IP list:\t192.0.2.7 2001:db8::/64\n" +
		"Status for the jail: j\n|- Filter\n|  |- Currently failed:\t0\n|  |- Total failed:\t0\n|  `- Journal matches:\t_COMM=sshd\n" +
		"`- Actions\n   |- Currently banned:\t0\n   |- Total banned:\t0\n   `- Banned IP list:\t\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// What watch prints on a terminal, and history.
func TestEventLine(t *testing.T) {
	at := time.Date(2026, 11, 22, 7, 23, 11, 0, time.Local)
	until := at.Add(time.Hour)
	event := func(a control.Action) control.Event { return control.Event{Time: at, Action: a} }
	for _, c := range []struct {
		e      control.Event
		colour bool
		want   string
	}{
		{event(control.Action{Op: "ban", Prefix: "192.0.2.7/32", Jail: "sshd", Until: &until, Reason: "5 hits in 10m0s"}), true, "\x1b[31mban\x1b[0m 192.0.2.7 by jail sshd until 2026-11-22 08:23:11: 5 hits in 10m0s"},
		{event(control.Action{Op: "ban", Prefix: "2001:db8::/64", Jail: "j", Observe: true}), false, "would ban 2001:db8::/64 by jail j for ever"},
		{event(control.Action{Op: "unban", Prefix: "192.0.2.7/32", Jail: "sshd"}), true, "\x1b[32munban\x1b[0m 192.0.2.7 by jail sshd"},
		{event(control.Action{Op: "pause", Jail: "manual", Until: &until}), true, "\x1b[33mpause\x1b[0m by jail manual until 2026-11-22 08:23:11"},
		{event(control.Action{Op: "hold", Jail: "mad", Until: &until, Reason: "more than 2000 bans in a minute"}), true, "\x1b[33mhold\x1b[0m by jail mad until 2026-11-22 08:23:11: more than 2000 bans in a minute"},
		{event(control.Action{Op: "allow", Prefix: "192.0.2.7/32", Jail: "manual", Reason: "\x1b[2J"}), false, `allow 192.0.2.7 by jail manual for ever: \x1b[2J`},
	} {
		if got := eventLine(c.e, c.colour); got != "2026-11-22 07:23:11 "+c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// What scripts call fail2ban-client for.
func TestFail2banClient(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startService(t, "")
	s.offend("192.0.2.7", 5)
	s.holds("ban4", "192.0.2.7", true)
	s.offend("2001:db8::7", 5)
	s.holds("ban6_net64", "2001:db8::", true)
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"ping", "Server replied: pong\n", 0},
		{"status", "Status\n|- Number of jail:\t1\n`- Jail list:\tsshd\n", 0},
		{"status sshd", "Status for the jail: sshd\n|- Filter\n|  |- Currently failed:\t0\n|  |- Total failed:\t10\n|  `- File list:\t" + s.log +
			"\n`- Actions\n   |- Currently banned:\t2\n   |- Total banned:\t2\n   `- Banned IP list:\t192.0.2.7 2001:db8::/64\n", 0},
		{"set sshd unbanip 2001:db8::7", "1\n", 0},
		{"set sshd unbanip 2001:db8::7", "0\n", 0},
		{"set sshd banip 192.0.2.8 192.0.2.9", "2\n", 0},
		{"banned", "[{'sshd': ['192.0.2.7', '192.0.2.8', '192.0.2.9']}]\n", 0},
		{"set sshd unbanip 192.0.2.8", "1\n", 0},
		{"set sshd unbanip 192.0.2.8", "0\n", 0},
		{"unban 192.0.2.9", "1\n", 0},
		{"set sshd banip 192.0.2.300", "addrs: \"192.0.2.300\" is neither an address nor a prefix\n", 255},
		{"status nosuch", "there is no jail \"nosuch\"\n", 255},
		{"reload", "OK\n", 0},
		{"-t", "OK: configuration test is successful\n", 0},
		{"version", "banpipe (devel)\n", 0},
		{"unban --all", "1\n", 0},
		{"banned", "[{'sshd': []}]\n", 0},
		{"set sshd bantime 5", "", 255},
		{"--nosuch", "", 255},
	} {
		cmd := exec.Command("/proc/self/exe", append([]string{"-s", s.dir + "/run/banpipe.sock"}, strings.Fields(c.args)...)...)
		cmd.Args[0] = "/usr/bin/" + shimName
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != c.code || c.want != "" && string(out) != c.want {
			t.Errorf("%s %s: got %d and\n%s\nwant %d and\n%s", shimName, c.args, cmd.ProcessState.ExitCode(), out, c.code, c.want)
		}
	}
	s.holds("ban4", "elements", false)
}
