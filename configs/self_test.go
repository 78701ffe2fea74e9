package configs

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOwn(t *testing.T) {
	own := Own()
	if got := own(); !slices.Contains(got, netip.MustParsePrefix("127.0.0.1/32")) {
		t.Errorf("got %v, want 127.0.0.1/32 among them", got)
	}
	if a, b := own(), own(); len(a) > 0 && &a[0] != &b[0] {
		t.Error("asked twice, want the same answer")
	}
}

// TestOwnChanges: addresses, routes and bridges that come are known at once, not after ten seconds.
func TestOwnChanges(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	ip := func(args string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	ip("link set lo up")
	m := newMachine()
	start := time.Now()
	has := func(want string) bool {
		for time.Since(start) < selfAge/2 { // the kernel's word for it comes after the change
			if slices.Contains(m.ownNow(), netip.MustParsePrefix(want)) {
				return true
			}
			time.Sleep(5 * time.Millisecond)
		}
		return false
	}
	for _, step := range []struct{ do, want string }{
		{"addr add 203.0.113.1/24 dev lo", "203.0.113.1/32"},
		{"-6 addr add 2001:db8::1/64 dev lo nodad", "2001:db8::1/128"},
		{"route add default via 203.0.113.254 dev lo", "203.0.113.254/32"},
	} {
		if ip(step.do); !has(step.want) {
			t.Errorf("ip %s: got %v, want %s among them", step.do, m.ownNow(), step.want)
		}
	}
	before := m.ownNow()
	ip("addr del 203.0.113.1/24 dev lo")
	for slices.Equal(before, m.ownNow()) && time.Since(start) < selfAge/2 {
		time.Sleep(5 * time.Millisecond)
	}
	if got := m.ownNow(); slices.Contains(got, netip.MustParsePrefix("203.0.113.1/32")) {
		t.Errorf("got %v, want the address gone", got)
	}
}

// TestMachineIsCheap: whoever asks all the time has it looked at every ten seconds, unless something changes.
func TestMachineIsCheap(t *testing.T) {
	m := &machine{}
	m.ownNow()
	asked := m.asked
	for range 1000 {
		m.ownNow()
		m.bridgesNow()
	}
	if !m.asked.Equal(asked) {
		t.Error("got another look at once, want none")
	}
	m.stale, m.took = true, time.Hour // an enormous table of routes
	if m.ownNow(); !m.asked.Equal(asked) {
		t.Error("got another look after one that took an hour, want none")
	}
	m.took = 0
	if m.ownNow(); m.asked.Equal(asked) || m.stale {
		t.Error("got no look although something has changed")
	}
}

func TestNameservers(t *testing.T) {
	const text = "# a comment\nsearch example.com\nnameserver 192.0.2.53\n  nameserver\t2001:db8::53 \nnameserver fe80::1%eth0\nnameserver ::ffff:198.51.100.53\nnameserver\nnameserver resolver.example\n; nameserver 203.0.113.1\n"
	var want []netip.Prefix
	for _, s := range []string{"192.0.2.53/32", "2001:db8::53/128", "fe80::1/128", "198.51.100.53/32"} {
		want = append(want, netip.MustParsePrefix(s))
	}
	if got := nameservers(strings.NewReader(text)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := resolvers([3]string{"/dev/null", t.TempDir(), "/none"}); len(got) != 0 {
		t.Errorf("got %v, want none of files that are not there", got)
	}
}
