package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The environment of a test that runs itself again: inside namespaces, or as the peer in a namespace of its own.
const (
	testInside = "BANPIPE_TEST_INSIDE"
	testPeer   = "BANPIPE_TEST_PEER"
)

// inNamespace runs the test again, with these flags and a network of its own, and reports whether this is that
// second run.
func inNamespace(t *testing.T, flags ...string) bool {
	t.Helper()
	if os.Getenv(testInside) != "" {
		ip(t, "link set lo up")
		return true
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs the program ip (iproute2)")
	}
	cmd := exec.Command("/proc/self/exe", append([]string{"-test.run=^" + t.Name() + "$", "-test.v"}, flags...)...)
	cmd.Env = append(os.Environ(), testInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Skipf("needs a network namespace: %v", err)
	}
	if err != nil {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("in the namespace: %s", out)
	}
	return false
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// A peer is a process in a second network namespace, joined to ours by veth, that sends packets on demand.
type peer struct {
	stdin  io.Writer
	stdout *bufio.Reader
}

// newPeer joins it: we are 10.9.0.1 and fd09::1, it is 10.9.0.2, .3 and fd09::2, ::3.
func newPeer(t *testing.T) *peer {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), testPeer+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	ip(t, "link add v0 type veth peer name v1")
	ip(t, fmt.Sprintf("link set v1 netns %d", cmd.Process.Pid))
	ip(t, "addr add 10.9.0.1/24 dev v0")
	ip(t, "addr add fd09::1/64 dev v0 nodad")
	ip(t, "link set v0 up")
	p := &peer{stdin, bufio.NewReader(stdout)}
	if got := p.ask(t, "up"); got != "ok" {
		t.Fatalf("the peer's addresses: %s", got)
	}
	return p
}

func (p *peer) ask(t *testing.T, line string) string {
	t.Helper()
	fmt.Fprintln(p.stdin, line)
	answer, err := p.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("the peer on %q: %v", line, err)
	}
	return strings.TrimSpace(answer)
}

// passes reports whether a packet from that address is answered, over "tcp" and "udp".
func (p *peer) passes(t *testing.T, network, from string) bool {
	t.Helper()
	return p.ask(t, network+" "+from) == "ok"
}

// bePeer is the peer's main: one answer a line.
func bePeer() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		word, from, _ := strings.Cut(in.Text(), " ")
		var err error
		if word == "up" {
			err = peerUp()
		} else {
			err = echo(word, from)
		}
		if err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("ok")
		}
	}
}

func peerUp() error {
	for _, args := range []string{
		"link set lo up", "addr add 10.9.0.2/24 dev v1", "addr add 10.9.0.3/24 dev v1",
		"addr add fd09::2/64 dev v1 nodad", "addr add fd09::3/64 dev v1 nodad", "link set v1 up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %s", args, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// echo sends a byte from that address to port 7000 of the other side and waits for it to come back.
func echo(network, from string) error {
	const patience = 300 * time.Millisecond
	to := "10.9.0.1:7000"
	if strings.Contains(from, ":") {
		to = "[fd09::1]:7000"
	}
	var local net.Addr = &net.TCPAddr{IP: net.ParseIP(from)}
	if network == "udp" {
		local = &net.UDPAddr{IP: net.ParseIP(from)}
	}
	conn, err := (&net.Dialer{Timeout: patience, LocalAddr: local}).DialContext(context.Background(), network, to)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// serveEcho answers on port 7000, TCP and UDP, IPv4 and IPv6.
func serveEcho(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := u.ReadFrom(buf)
			if err != nil {
				return
			}
			u.WriteTo(buf[:n], from)
		}
	}()
}

// banpipe starts the program; it is killed at the end of the test.
func banpipe(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "banpipe"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// within polls until ok or the time is up.
func within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(d); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// From a log line to a dropped packet, and back: the kernel ends the ban when banpipe is long dead.
func TestLogLineToDroppedPacket(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	p := newPeer(t)
	serveEcho(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "auth.log")
	config := filepath.Join(dir, "banpipe.toml")
	write(t, log, "")
	write(t, config, fmt.Sprintf("state_dir = %q\nsocket = \"\"\n[jails.sshd]\nenabled = true\nlogpath = %q\nmaxretry = 5\nbantime = 6\nport = \"all\"\nignoreip = []\n", dir, log))

	everybody := func() map[string]bool {
		got := make(map[string]bool)
		for _, network := range []string{"tcp", "udp"} {
			for _, from := range []string{"10.9.0.2", "10.9.0.3", "fd09::2", "fd09::3"} {
				got[network+" "+from] = p.passes(t, network, from)
			}
		}
		return got
	}
	if !within(20*time.Second, func() bool { return p.passes(t, "udp", "fd09::2") }) {
		t.Fatal("the two namespaces are not joined")
	}
	for who, ok := range everybody() {
		if !ok {
			t.Errorf("before: %s does not pass", who)
		}
	}

	service := banpipe(t, "run", "--config", config)
	if !within(10*time.Second, func() bool { return exec.Command("nft", "list", "table", "inet", "banpipe").Run() == nil }) {
		t.Fatal("banpipe has not made its table")
	}
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	offend := func(from string) {
		for i := range 5 {
			fmt.Fprintf(f, "%s web1 sshd[811]: Failed password for root from %s port %d ssh2\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), from, 4711+i)
		}
	}
	for _, from := range []string{"10.9.0.2", "fd09::2"} {
		offend(from)
		start := time.Now()
		if !within(time.Second, func() bool { return !p.passes(t, "udp", from) }) {
			t.Errorf("%s still passes %v after its fifth offence", from, time.Since(start))
		}
	}
	banned := time.Now()
	service.Process.Kill()
	service.Wait()

	for who, ok := range everybody() {
		if want := strings.HasSuffix(who, "3"); ok != want {
			t.Errorf("banned: %s passes: got %v, want %v", who, ok, want)
		}
	}
	for _, from := range []string{"10.9.0.2", "fd09::2"} {
		for _, network := range []string{"tcp", "udp"} {
			if !within(10*time.Second-time.Since(banned), func() bool { return p.passes(t, network, from) }) {
				t.Errorf("%s %s does not pass after its ban", network, from)
			}
		}
	}
	if took := time.Since(banned); took < 4*time.Second {
		t.Errorf("the ban of 6 s was over after %v", took)
	}
}

// Bans outlive SIGKILL and a firewall that was emptied meanwhile, with the time that they had left, and so do
// half-full windows: what was counted before the kill still counts.
func TestBansOutliveAKill(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "auth.log")
	config := filepath.Join(dir, "banpipe.toml")
	write(t, config, fmt.Sprintf("state_dir = %q\nsocket = \"\"\n[jails.sshd]\nenabled = true\nlogpath = %q\nmaxretry = 5\nbantime = \"1h\"\n", dir+"/state", log))
	offend := func(from string, n int) {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for i := range n {
			fmt.Fprintf(f, "%s web1 sshd[811]: Failed password for root from %s port %d ssh2\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), from, 4711+i)
		}
	}
	set := func() string {
		out, _ := exec.Command("nft", "list", "table", "inet", "banpipe").CombinedOutput()
		return string(out)
	}
	holds := func(addr string) bool {
		return within(20*time.Second, func() bool { return strings.Contains(set(), addr) })
	}
	offend("192.0.2.7", 5)
	offend("192.0.2.8", 3)
	service := banpipe(t, "run", "--config", config)
	if !holds("192.0.2.7") {
		t.Fatalf("192.0.2.7 is not banned:\n%s", set())
	}
	banned := time.Now()
	if !within(20*time.Second, func() bool {
		info, err := os.Stat(dir + "/state/banpipe.db")
		return err == nil && info.ModTime().After(banned.Add(-time.Second)) && info.Size() > 0
	}) {
		t.Fatal("no checkpoint has been written")
	}
	service.Process.Kill()
	service.Wait()
	if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("nft flush ruleset: %s", out)
	}
	offend("192.0.2.8", 2)

	banpipe(t, "run", "--config", config)
	for _, addr := range []string{"192.0.2.7", "192.0.2.8"} {
		if !holds(addr) {
			t.Errorf("%s is not banned after the restart:\n%s", addr, set())
		}
	}
	if s := set(); !strings.Contains(s, "expires 59m") {
		t.Errorf("got\n%s\nwant the time that was left", s)
	}
}

// A state file that is broken, or gone, lifts no ban: what the kernel holds is taken over with the time it has left.
// And two services do not share a state.
func TestKernelIsAdopted(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	log, config, state := filepath.Join(dir, "auth.log"), filepath.Join(dir, "banpipe.toml"), filepath.Join(dir, "banpipe.db")
	write(t, log, "")
	write(t, config, fmt.Sprintf("state_dir = %q\nsocket = \"%[1]s/sock\"\n[jails.sshd]\nenabled = true\nlogpath = %q\nbantime = \"1h\"\n", dir, log))
	for i := range 5 {
		appendTo(t, log, fmt.Sprintf("%s web1 sshd[811]: Failed password for root from 192.0.2.7 port %d ssh2\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), 4711+i))
	}
	set := func() string {
		out, _ := exec.Command("nft", "list", "table", "inet", "banpipe").CombinedOutput()
		return string(out)
	}
	held := func() bool { return strings.Contains(set(), "192.0.2.7") }
	service := banpipe(t, "run", "--config", config)
	if !within(20*time.Second, held) {
		t.Fatalf("192.0.2.7 is not banned:\n%s", set())
	}
	for _, args := range [][]string{{"allow", "192.0.2.9", "--for", "2h"}, {"allow", "2001:db8::9"}, {"pause", "3h"}} {
		if out, code := runVerb(t, append(args, "--config", config)...); code != 0 {
			t.Fatalf("%v: %s", args, out)
		}
	}
	second := exec.Command("/proc/self/exe", "run", "--config", config)
	second.Args[0] = "banpipe"
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "second banpipe") {
		t.Errorf("a second service: got %v, %s, want an error that names it", err, out)
	}
	for _, c := range []struct {
		name, state string
		spoil       func()
	}{
		{"broken", state, func() { write(t, state, strings.Repeat("not a database\n", 1000)) }},
		{"gone", state, func() { os.Remove(state) }},
		{"newer", state + ".v1", func() {
			file, err := os.ReadFile(state)
			if err != nil {
				t.Fatal(err)
			}
			write(t, state, strings.ReplaceAll(string(file), "version\x00\x00\x00\x00\x00\x00\x00\x01", "version\x00\x00\x00\x00\x00\x00\x00\x02"))
		}},
	} {
		name, state := c.name, c.state
		service.Process.Kill()
		service.Wait()
		c.spoil()
		write(t, log, "") // nor can the log tell any more
		service = banpipe(t, "run", "--config", config)
		if !within(20*time.Second, func() bool { info, err := os.Stat(state); return err == nil && info.Size() > 20_000 }) {
			t.Fatalf("%s: no new state", name)
		}
		if s := set(); !held() || !strings.Contains(s, "expires 59m") {
			t.Errorf("%s: got\n%s\nwant 192.0.2.7 with the time that it had left", name, s)
		}
		within(20*time.Second, func() bool { _, code := runVerb(t, "status", "--config", config); return code == 0 })
		out, _ := runVerb(t, "list", "--allowed", "--config", config)
		status, _ := runVerb(t, "status", "--config", config)
		if !regexp.MustCompile(`(?s)192.0.2.9 .* 1h59m.*2001:db8::9 .* ever `).MatchString(out) || !strings.Contains(status, "everything is paused until") {
			t.Errorf("%s: got\n%s\n%s\nwant who is allowed, and the pause", name, out, status)
		}
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
