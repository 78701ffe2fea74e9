package sinks

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

// private puts copies over ufw's files, as the package ships them, in this process's own mount namespace. They
// are in memory, and go with it.
var private = sync.OnceValue(func() error {
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil { // ufw's lock is there, and iptables'
		return err
	}
	if err := os.MkdirAll("/run/etc/applications.d", 0o755); err != nil {
		return err
	}
	for _, from := range []string{"/etc/ufw", "/usr/share/ufw", "/usr/share/ufw/iptables"} {
		files, _ := filepath.Glob(filepath.Join(from, "*"))
		for _, file := range files {
			if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join("/run/etc", filepath.Base(file)), text, 0o640); err != nil {
				return err
			}
		}
	}
	const defaults = "IPV6=yes\nDEFAULT_INPUT_POLICY=DROP\nDEFAULT_OUTPUT_POLICY=ACCEPT\nDEFAULT_FORWARD_POLICY=DROP\n" +
		"DEFAULT_APPLICATION_POLICY=SKIP\nMANAGE_BUILTINS=no\nIPT_MODULES=\n"
	return errors.Join(
		os.WriteFile("/run/defaults", []byte(defaults), 0o644),
		unix.Mount("/run/defaults", "/etc/default/ufw", "", unix.MS_BIND, ""),
		unix.Mount("/run/etc", "/etc/ufw", "", unix.MS_BIND, ""),
	)
})

// realUFW is ufw, switched on, with the rules of an administrator, which must be there at the end as well.
func realUFW(t *testing.T) *UFW {
	t.Helper()
	needKernel(t)
	needProgram(t, "ufw")
	needProgram(t, "iptables")
	if err := private(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ufw", "--force", "enable").CombinedOutput(); err != nil {
		t.Skipf("needs the right to run ufw in a namespace: %v: %.200s", err, out)
	}
	own := []string{"allow 22/tcp comment 'banpipe: lets me in'", "allow 7777", "deny from 198.51.100.9 comment 'mine'", "allow from 198.51.100.10", "deny from 2001:db8:ff::9"}
	for _, rule := range own {
		words := strings.Fields(strings.ReplaceAll(rule, "'", ""))
		if i := slices.Index(words, "comment"); i >= 0 {
			words = append(words[:i+1], strings.Join(words[i+1:], " "))
		}
		if out, err := exec.Command("ufw", words...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", rule, err, out)
		}
	}
	u := &UFW{Poll: 50 * time.Millisecond}
	t.Cleanup(func() {
		if _, err := (&UFW{}).Flush(context.Background()); err != nil {
			t.Error(err)
		}
		added := run(t, "ufw show added")
		for _, rule := range own {
			if !strings.Contains(added, "\nufw "+rule+"\n") {
				t.Errorf("got %s, want the administrator's %q in it", added, rule)
			}
		}
		if n := strings.Count(strings.TrimSpace(added), "\n"); n != len(own) {
			t.Errorf("got %s, want nothing but the administrator's %d rules", added, len(own))
		}
		nft(t, "flush ruleset") // disabled or not, ufw's empty chains stay, and other tests list this namespace's rules
	})
	return u
}

// The whole contract over the real program is some 500 commands of 0.3 to 0.6 s. It is run when the fake, or what UFW makes of
// ufw's answers, has changed: BANPIPE_REAL_UFW=contract go test -timeout 30m -run RealUFWContract ./sinks
func TestRealUFWContract(t *testing.T) {
	if os.Getenv("BANPIPE_REAL_UFW") != "contract" {
		return // TestRealUFW has the gist of it, and the fake all of it
	}
	pipelinetest.TestSink(t, func(t *testing.T) pipelinetest.Backend {
		b := ufwBackend(t, realUFW(t), true)
		b.Many = 4
		return b
	})
}

// A day with ufw: bans that drop packets, next to an administrator who changes this and that.
func TestRealUFW(t *testing.T) {
	u := realUFW(t)
	p := newPeer(t, []string{"10.9.0.1/24", "fd09::1/64"}, []string{"10.9.0.2/24", "10.9.0.3/24", "fd09::2/64", "fd09::3/64"})
	echo(t, 7777)
	patience := map[bool]time.Duration{true: 10 * time.Second, false: 500 * time.Millisecond} // a lost SYN is sent again
	passes := func(when, from, to string, want bool) {
		t.Helper()
		if err := p.ask("tcp", from, to, 7777, patience[want]); (err == nil) != want {
			t.Errorf("%s: %s: got %v, want that it passes: %v", when, from, err, want)
		}
	}
	passes("before", "10.9.0.2", "10.9.0.1", true)
	passes("before", "fd09::2", "fd09::1", true)

	e := &Expire{Sink: u}
	now := time.Now()
	bans := []pipeline.Action{
		ban("10.9.0.2/32", now.Add(time.Hour)),
		ban("fd09::2/128", now.Add(time.Hour), pipeline.PortRange{First: 7777, Last: 7777}, pipeline.PortRange{First: 8000, Last: 8100}),
	}
	if err := e.Sync(t.Context(), slices.Values(bans)); err != nil {
		t.Fatal(err)
	}
	passes("banned", "10.9.0.2", "10.9.0.1", false)
	passes("banned", "10.9.0.3", "10.9.0.1", true)
	passes("banned", "fd09::2", "fd09::1", false)
	passes("banned", "fd09::3", "fd09::1", true)
	if status := run(t, "ufw status"); !strings.Contains(status, "# banpipe: sshd until ") || !strings.Contains(status, "10.9.0.2") {
		t.Errorf("got %s, want our bans in it", status)
	}
	if out := run(t, "ufw reload"); !strings.Contains(out, "reloaded") {
		t.Errorf("got %q", out)
	}
	passes("reloaded", "10.9.0.2", "10.9.0.1", false)

	// Somebody's rule for the same address: one that blocks will do, one that allows stands.
	if err := e.Apply(t.Context(), []pipeline.Action{ban("198.51.100.9/32", now.Add(time.Hour)), ban("2001:db8:ff::9/128", now.Add(time.Hour))}); err != nil {
		t.Error(err)
	}
	if err := e.Apply(t.Context(), []pipeline.Action{ban("198.51.100.10/32", now.Add(time.Hour))}); err == nil || !strings.Contains(err.Error(), "somebody's own rule") {
		t.Errorf("got %v, want a refusal", err)
	}
	if err := e.Apply(t.Context(), []pipeline.Action{unban("198.51.100.9/32"), unban("2001:db8:ff::9/128")}); err != nil {
		t.Error(err)
	}

	// A restart: one ban was lifted meanwhile, another has a few seconds left.
	next := &Expire{Sink: &UFW{Poll: 50 * time.Millisecond}}
	held, err := next.Held(t.Context())
	if err != nil || len(held) != 2 {
		t.Errorf("got %v, %v, want the two bans", held, err)
	}
	soon := ban("10.9.0.3/32", time.Now().Add(4*time.Second))
	if err := next.Sync(t.Context(), slices.Values([]pipeline.Action{bans[0], soon})); err != nil {
		t.Fatal(err)
	}
	passes("restarted", "10.9.0.2", "10.9.0.1", false)
	passes("restarted", "10.9.0.3", "10.9.0.1", false)
	passes("restarted", "fd09::2", "fd09::1", true)
	said := make(chan error, 1)
	go func() { said <- next.Watch(t.Context()) }()
	for deadline := time.Now().Add(20 * time.Second); p.ask("tcp", "10.9.0.3", "10.9.0.1", 7777, patience[false]) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("a ban of 4 s does not end")
		}
	}
	if early := time.Until(soon.Until); early > 0 {
		t.Errorf("the ban ended %v early", early)
	}

	// Somebody deletes a rule of ours; Watch tells, and Sync puts it back.
	run(t, "ufw delete deny from 10.9.0.2")
	passes("deleted by somebody", "10.9.0.2", "10.9.0.1", true)
	select {
	case err := <-said:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Watch does not tell of a deleted rule")
	}
	if err := next.Sync(t.Context(), slices.Values(bans[:1])); err != nil {
		t.Error(err)
	}
	passes("put back", "10.9.0.2", "10.9.0.1", false)
	if err := next.Apply(t.Context(), []pipeline.Action{unban("10.9.0.2/32")}); err != nil {
		t.Error(err)
	}
	passes("unbanned", "10.9.0.2", "10.9.0.1", true)

	// Switched off: nothing would be blocked, and nothing is changed.
	run(t, "ufw disable")
	if err := next.Apply(t.Context(), bans); err != errInactive {
		t.Errorf("got %v, want that ufw is not active", err)
	}
	run(t, "ufw --force enable")
	if err := next.Apply(t.Context(), bans); err != nil {
		t.Error(err)
	}
	passes("switched on again", "fd09::2", "fd09::1", false)
}

// ufw accepts what belongs to a connection that is there; Kill ends it.
func TestRealUFWKill(t *testing.T) {
	u := realUFW(t)
	needProgram(t, "ss")
	u.Kill = "ss"
	p := newPeer(t, []string{"10.9.0.1/24", "fd09::1/64"}, []string{"10.9.0.2/24", "10.9.0.3/24", "fd09::2/64"})
	echo(t, 7777)
	conns := make(map[string]net.Conn)
	for _, from := range []string{"10.9.0.2", "10.9.0.3", "fd09::2"} {
		p.do(func() {
			to := "10.9.0.1:7777"
			if strings.Contains(from, ":") {
				to = "[fd09::1]:7777"
			}
			c, err := (&net.Dialer{Timeout: 2 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", to)
			if err != nil {
				t.Errorf("%s: %v", from, err)
				return
			}
			conns[from] = c
		})
	}
	if t.Failed() {
		return
	}
	alive := func(when string, want ...string) {
		t.Helper()
		var got []string
		for from, c := range conns {
			if word(c, 3*time.Second) == nil {
				got = append(got, from)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: got connections of %v, want %v", when, got, want)
		}
	}
	alive("before", "10.9.0.2", "10.9.0.3", "fd09::2")
	until := time.Now().Add(time.Hour)
	if err := u.Apply(t.Context(), []pipeline.Action{ban("10.9.0.2/32", until), ban("10.9.0.3/32", until, pipeline.PortRange{First: 22, Last: 22})}); err != nil {
		t.Fatal(err)
	}
	alive("one banned, one on another port", "10.9.0.3", "fd09::2")
	if err := u.Apply(t.Context(), []pipeline.Action{ban("fd09::2/128", until, pipeline.PortRange{First: 7000, Last: 8000})}); err != nil {
		t.Fatal(err)
	}
	alive("both families", "10.9.0.3")
}
