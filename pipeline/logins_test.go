package pipeline

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestLogins(t *testing.T) {
	jails := map[string]Jail{
		"sshd":     {MaxRetry: 2, BanTime: time.Hour, Prefix6: 64, Ports: []PortRange{{22, 22}}, ProtectLogins: true, Aggregate: Aggregate{V4: 24, After: 2}},
		"web":      {MaxRetry: 2, BanTime: time.Hour, Ports: []PortRange{{80, 80}, {443, 443}}, ProtectLogins: true},
		"all":      {MaxRetry: 2, BanTime: time.Hour, ProtectLogins: true},
		"ruthless": {MaxRetry: 2, BanTime: time.Hour},
	}
	c := newCourt(t, jails)
	expect(t, "before", c.hits("sshd", "192.0.2.1", 2), "ban 192.0.2.1 sshd")
	expect(t, "a login lifts what it should not have met", c.login("sshd", "192.0.2.1", c.now), "unban 192.0.2.1 sshd")
	expect(t, "he keeps ssh", c.hits("sshd", "192.0.2.1", 6), "")
	expect(t, "and is not banned for all ports", c.hits("all", "192.0.2.1", 2), "")
	expect(t, "but for others", c.hits("web", "192.0.2.1", 2), "ban 192.0.2.1 web")
	expect(t, "and where the jail does not care", c.hits("ruthless", "192.0.2.1", 2), "ban 192.0.2.1 ruthless")
	if n := c.logs.FilterMessage("not banned").FilterLevelExact(zap.InfoLevel).Len(); n != 4 {
		t.Errorf("got %d words on it, want one for each time that he would have been banned", n)
	}
	expect(t, "a neighbour", c.hits("sshd", "192.0.2.2", 2), "ban 192.0.2.2 sshd")
	expect(t, "and no crowd, since he is in it", c.hits("sshd", "192.0.2.3", 2), "ban 192.0.2.3 sshd")
	got := c.order(ban("192.0.2.1/32", Manual, c.now.Add(time.Hour)))
	if !strings.HasPrefix(got, "refused: ban 192.0.2.1/32: somebody logged in from 192.0.2.1 at ") {
		t.Errorf("by hand: got %q, want a refusal", got)
	}
	forced := ban("192.0.2.0/24", Manual, c.now.Add(time.Hour))
	forced.Forced = true
	expect(t, "but with force", c.order(forced), "ban 192.0.2.0/24 manual")
	c.order(unban("192.0.2.0/24", ""))

	c.restart(false)
	expect(t, "over a restart", c.hits("sshd", "192.0.2.1", 2), "")
	c.restart(true)
	expect(t, "and another", c.hits("sshd", "192.0.2.1", 2), "")
	if why := c.decide.LoggedIn(netip.MustParseAddr("192.0.2.1")); why == nil || why.Jail != "sshd" {
		t.Errorf("got %v, want the login", why)
	}

	c.login("sshd", "2001:db8::1", c.now)
	expect(t, "his other addresses of IPv6", c.hits("sshd", "2001:db8::99", 2), "")
	expect(t, "the /64 next door", c.hits("sshd", "2001:db8:0:1::1", 2), "ban 2001:db8:0:1::/64 sshd")

	c.login("sshd", "198.51.100.7", c.now.Add(-8*24*time.Hour))
	expect(t, "long ago", c.hits("sshd", "198.51.100.7", 2), "ban 198.51.100.7 sshd")
	c.login("ruthless", "198.51.100.8", c.now)
	expect(t, "where the jail does not look", c.hits("ruthless", "198.51.100.8", 2), "ban 198.51.100.8 ruthless")
	c.now = c.now.Add(LoginAge + time.Minute)
	expect(t, "after a week", c.hits("sshd", "192.0.2.1", 2), "ban 192.0.2.1 sshd")
	c.save(true)
	for k := range c.saved["decide"] {
		if strings.HasPrefix(k, loginPrefix) {
			t.Errorf("got %q saved, want no old login", k)
		}
	}
}

// A saved ban of somebody who has logged in since, or who was spared in the meantime, is not taken up again, whatever
// the order in which the state is read.
func TestLoadRefuses(t *testing.T) {
	j := Jail{MaxRetry: 1, BanTime: time.Hour, Prefix6: 64, ProtectLogins: true}
	for range 20 { // maps are in random order
		c := newCourt(t, map[string]Jail{"j": j})
		c.hits("j", "192.0.2.1", 1)
		c.hits("j", "192.0.2.2", 1)
		c.hits("j", "2001:db8::1", 1)
		c.hits("j", "192.0.2.3", 1)
		c.save(true)
		c.decide.logins.add(banKey{"j", prefixes("192.0.2.1/32")[0]}, c.now, c.now)
		c.decide.pass.set(netip.MustParseAddr("192.0.2.2"), pass{since: c.now})
		c.own = prefixes("2001:db8::5/128")
		expect(t, "restored", words(c.restart(false)[:1]), "ban 192.0.2.3 j")
	}
}

func TestLoginsBound(t *testing.T) {
	l := &logins{}
	for i := range 3 * maxLogins {
		at := t0.Add(time.Duration(i) * time.Second)
		l.add(banKey{"j", hostPrefix(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))}, at, at)
	}
	if n := len(l.seen); n > maxLogins || n < maxLogins*8/10 {
		t.Errorf("got %d logins, want some %d", n, maxLogins)
	}
}
