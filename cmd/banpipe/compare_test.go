package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/banpipe/banpipe/configs/compare"
)

// fail2banConfig is a fail2ban that keeps to D, with an action that only writes down.
var fail2banConfig = map[string]string{
	"fail2ban.conf": `[Definition]
loglevel = INFO
logtarget = D/fail2ban.log
socket = D/fail2ban.sock
pidfile = D/fail2ban.pid
dbfile = D/fail2ban.sqlite3
allowipv6 = yes
`,
	"action.d/note.conf": "[Definition]\nactionban = echo <ip> >> D/banned\n",
	"jail.conf": `[DEFAULT]
backend = polling
usedns = no
bantime = 600
findtime = 600
maxretry = 5
action = note
[sshd]
enabled = true
filter = sshd
logpath = D/auth.log
[nginx-http-auth]
enabled = true
maxretry = 3
filter = nginx-http-auth
logpath = D/error.log
ignoreip = 192.0.2.40
`,
}

// startFail2ban runs Debian's fail2ban with the filters that it came with, until the end of the test.
func startFail2ban(t *testing.T, dir string) {
	t.Helper()
	server, err := exec.LookPath("fail2ban-server")
	if err != nil {
		t.Skip("needs fail2ban-server")
	}
	for name, text := range fail2banConfig {
		path := filepath.Join(dir, "fail2ban", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, path, strings.ReplaceAll(text, "D/", dir+"/"))
	}
	if err := os.CopyFS(filepath.Join(dir, "fail2ban", "filter.d"), os.DirFS("/etc/fail2ban/filter.d")); err != nil {
		t.Skipf("needs the filters of fail2ban: %v", err)
	}
	cmd := exec.Command(server, "-f", "-c", filepath.Join(dir, "fail2ban"), "start")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	ready := func() bool { return strings.Contains(readIn(dir, "fail2ban.log"), "Jail 'nginx-http-auth' started") }
	if !within(60*time.Second, ready) {
		t.Fatalf("fail2ban does not start: %s%s", out.String(), readIn(dir, "fail2ban.log"))
	}
}

func readIn(dir, name string) string {
	text, _ := os.ReadFile(filepath.Join(dir, name))
	return string(text)
}

// TestCompareBesideFail2ban: the trial run. Both follow the same growing logs; banpipe bans nobody, has the same opinion of
// everybody but those whom its configuration treats otherwise, and says why.
func TestCompareBesideFail2ban(t *testing.T) {
	if testing.Short() {
		t.Skip("runs without -short")
	}
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	for _, name := range []string{"auth.log", "error.log"} {
		write(t, filepath.Join(dir, name), "")
	}
	startFail2ban(t, dir)
	config := filepath.Join(dir, "banpipe.toml")
	write(t, config, strings.ReplaceAll(`state_dir = "D/state"
socket = "D/run/sock"
[defaults]
enforce = false
ignoreip = "192.0.2.50"
[jails.sshd]
enabled = true
logpath = "D/auth.log"
[jails.nginx-http-auth]
enabled = true
maxretry = 5
logpath = "D/error.log"
`, "D/", dir+"/"))
	cmd := banpipe(t, "run", "--config", config)
	verb := func(args ...string) string {
		t.Helper()
		out, code := runVerb(t, append(args, "--config", config)...)
		if code != 0 {
			t.Fatalf("banpipe %q: %s", args, out)
		}
		return out
	}
	if !within(60*time.Second, func() bool { _, code := runVerb(t, "status", "--config", config); return code == 0 }) {
		t.Fatal("the service does not answer")
	}
	time.Sleep(1100 * time.Millisecond) // fail2ban's log has whole seconds: what follows is after the start of both

	pid := 811
	ssh := func(addr string, n int) {
		for range n {
			pid++ // a connection of its own
			addTo(t, dir, "auth.log", fmt.Sprintf("%s web1 sshd[%d]: Failed password for root from %s port 4711 ssh2\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), pid, addr))
		}
	}
	web := func(addr string, n int) {
		for range n {
			addTo(t, dir, "error.log", fmt.Sprintf("%s [error] 811#811: *1 user \"bob\": password mismatch, client: %s, server: x, request: \"GET /admin/ HTTP/1.1\", host: \"x\"\n", time.Now().Format("2006/01/02 15:04:05"), addr))
		}
	}
	both := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::7"}
	for round := range 5 { // growing logs: a little of everybody at a time
		for _, a := range both {
			ssh(a, 1)
		}
		ssh("192.0.2.10", 1-round/4) // four
		ssh("192.0.2.50", 1)         // banpipe ignores it
		web("192.0.2.20", 1)         // enough for both
		web("192.0.2.30", 1-round/3) // enough for fail2ban only
		web("192.0.2.40", 1)         // fail2ban ignores it
		time.Sleep(50 * time.Millisecond)
	}
	banned := func(want ...string) bool {
		text := readIn(dir, "banned")
		return !slices.ContainsFunc(want, func(a string) bool { return !strings.Contains(text, a+"\n") })
	}
	if !within(15*time.Second, func() bool { return banned(append(both, "192.0.2.50", "192.0.2.20", "192.0.2.30")...) }) {
		t.Fatalf("fail2ban has banned %q:\n%s", readIn(dir, "banned"), readIn(dir, "fail2ban.log"))
	}
	var r compare.Result
	ours := func() bool {
		if err := json.Unmarshal([]byte(verb("compare", "--json", filepath.Join(dir, "fail2ban.log"))), &r); err != nil {
			t.Fatal(err)
		}
		return r.Both == len(both)+1 && r.Ours == 1
	}
	if !within(60*time.Second, ours) { // the history is a second behind
		t.Errorf("got %+v\n%s", r, readIn(dir, "fail2ban.log"))
	}
	var got []string
	for _, j := range r.Jails {
		for _, d := range j.Differences {
			got = append(got, fmt.Sprint(j.Jail, " ", d.By, " ", d.Addr, " ", d.Code))
		}
	}
	want := []string{"nginx-http-auth fail2ban 192.0.2.30 maxretry", "nginx-http-auth banpipe 192.0.2.40 ignored", "sshd fail2ban 192.0.2.50 ignored"}
	if r.Source != "service" || !slices.Equal(got, want) {
		t.Errorf("got %s: %q, want %q", r.Source, got, want)
	}
	t.Log(verb("compare", filepath.Join(dir, "fail2ban.log")))

	if out := verb("list", "--json"); !strings.Contains(out, `"observe":true`) || strings.Contains(out, `"observe":false`) || strings.Count(out, `"op":"ban"`) != strings.Count(out, `"observe":true`) {
		t.Errorf("got %s, want bans that are only reported", out)
	}
	if set, err := exec.Command("nft", "list", "ruleset").CombinedOutput(); err != nil || strings.Contains(string(set), "192.0.2.") {
		t.Errorf("got %v and\n%s\nwant nobody banned", err, set)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	cmd.Wait()
	// Without the service a replay says the same.
	if err := json.Unmarshal([]byte(verb("compare", "--json", filepath.Join(dir, "fail2ban.log"))), &r); err != nil || r.Source != "replay" || r.Both != len(both)+1 || r.Ours != 1 || r.Theirs != 2 {
		t.Errorf("got %v, %+v", err, r)
	}
}

// addTo appends to a log.
func addTo(t *testing.T, dir, name, line string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		t.Fatal(err)
	}
}
