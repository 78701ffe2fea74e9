package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A ban of what becomes this machine's own address is lifted at once, and it is not banned again.
func TestNewAddressIsLifted(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip(t, "link add v0 type veth peer name v1")
	ip(t, "link set v0 up")
	s := startService(t, "")
	s.offend("10.9.0.7", 5)
	s.offend("10.9.0.8", 5)
	s.holds("ban4", "10.9.0.7", true)
	s.holds("ban4", "10.9.0.8", true)
	s.done("ban", "10.9.1.0/24")
	ip(t, "addr add 10.9.0.7/32 dev v0")
	ip(t, "addr add 10.9.1.1/24 dev v0")
	s.holds("ban4", "10.9.0.7", false)
	s.holds("ban4_net24", "10.9.1.0", false)
	s.holds("ban4", "10.9.0.8", true)
	s.says("(?s)10.9.0.7 is not banned.*saved: it is this machine's own address, its gateway or its resolver", "why", "10.9.0.7")
	s.says("(?s)unban 10.9.0.7 by jail sshd.*", "history")
	s.offend("10.9.0.7", 10)
	s.offend("10.9.0.9", 5)
	s.holds("ban4", "10.9.0.9", true)
	s.holds("ban4", "10.9.0.7", false)
	ip(t, "addr del 10.9.0.7/32 dev v0")
	if !within(20*time.Second, func() bool { s.offend("10.9.0.7", 5); return strings.Contains(s.set("ban4"), "10.9.0.7") }) {
		t.Error("what is no longer this machine's own was not banned")
	}
}

// A log that names the proxy on this machine: nobody is banned, and it is said what to do.
func TestProxyIsSaid(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip(t, "link add br-c type bridge")
	ip(t, "addr add 172.30.0.1/16 dev br-c")
	ip(t, "link set br-c up")
	s := startService(t, "trusted_proxies = \"10.1.0.0/16\"\n")
	for _, c := range []struct{ addr, warning, saved string }{
		{"127.0.0.1", "127.0.0.0/8 is never banned (loopback)", "127.0.0.0/8 is never banned (loopback)"},
		{"172.30.0.5", "172.30.0.0/16 is the network of br-c, a bridge of containers on this machine", "172.30.0.0/16 is the network of br-c"},
		{"10.1.2.3", "10.1.0.0/16 is in trusted_proxies", "jail sshd: 10.1.0.0/16 is in trusted_proxies"},
	} {
		s.offend(c.addr, 10)
		warned := func() bool {
			return strings.Contains(s.done("status"), "warning: jail sshd would have banned "+c.addr+", 2 times by now, but "+c.warning)
		}
		if !within(20*time.Second, warned) {
			t.Errorf("%s: got\n%s\nwant a warning: %s", c.addr, s.done("status"), c.warning)
		}
		if out := s.done("why", c.addr); !strings.Contains(out, "is not banned") || !strings.Contains(out, "saved: "+c.saved) && !strings.Contains(out, c.saved) {
			t.Errorf("%s: got\n%s\nwant %s", c.addr, out, c.saved)
		}
		if out := s.done("status"); !strings.Contains(out, "set_real_ip_from "+c.addr+"; real_ip_header") || !strings.Contains(out, "--forwarded-allow-ips") || !strings.Contains(out, "userland-proxy") {
			t.Errorf("%s: got\n%s\nwant the settings named", c.addr, out)
		}
	}
	if out := s.done("status", "--json"); !strings.Contains(out, `"spared_total":6`) {
		t.Errorf("got %s, want six spared", out)
	}
	s.refused("is in trusted_proxies", "ban", "10.1.2.3")
	s.holds("ban4", "elements", false)
}

// The first start over a log with many offenders says what it is about to do; that outlives a crash, and a jail that only
// observes by then does nothing.
func TestFirstStartSays(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := t.TempDir()
	s := &testService{t: t, dir: dir, log: dir + "/auth.log", config: dir + "/banpipe.toml"}
	write(t, s.log, "")
	old := time.Now().Add(-2 * time.Minute).Format("2006-01-02T15:04:05.000000-07:00")
	f, err := os.OpenFile(s.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		for range 5 {
			fmt.Fprintf(f, "%s web1 sshd[%d]: Failed password for root from 198.51.100.%d port 4711 ssh2\n", old, 811+i, 10+i)
		}
	}
	f.Close()
	s.configure("")
	s.run()
	const pending = "jail sshd will ban 12 addresses at "
	says := func() bool { return strings.Contains(s.done("status"), pending) }
	if !within(20*time.Second, says) {
		t.Fatalf("got\n%s\nwant %q", s.done("status"), pending)
	}
	if out := s.done("status", "--json"); !strings.Contains(out, `"pending":12,"pending_until":"20`) {
		t.Errorf("got %s, want twelve pending", out)
	}
	s.offend("192.0.2.7", 5) // a new one is banned at once
	s.holds("ban4", "192.0.2.7", true)
	s.holds("ban4", "198.51.100.", false)
	within(20*time.Second, func() bool { return strings.Contains(s.done("status"), "saved ") })
	time.Sleep(1500 * time.Millisecond) // a checkpoint
	s.kill()
	s.run()
	if !within(20*time.Second, says) {
		t.Fatalf("after SIGKILL: got\n%s\nwant %q", s.done("status"), pending)
	}
	s.holds("ban4", "192.0.2.7", true)
	s.configure("enforce = false\n")
	s.done("reload")
	observed := func() bool { return strings.Contains(s.done("list", "--json"), "198.51.100.10/32") }
	if !within(60*time.Second, observed) {
		t.Errorf("got %s, want them reported", s.done("list", "--json"))
	}
	s.holds("ban4", "198.51.100.", false)
}
