package pipeline

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Who stands for others is banned by no path, and it is said whose address the log names.
func TestProxies(t *testing.T) {
	jails := map[string]Jail{
		"web":  {MaxRetry: 1, Trusted: prefixes("192.0.2.1/32", "198.51.100.0/24", "2001:db8:cd::/48"), Ignore: prefixes("192.0.2.0/28")},
		"sshd": {MaxRetry: 1},
		"self": {MaxRetry: 1, BanSelf: true},
	}
	proxies := []Proxy{
		{Prefix: netip.MustParsePrefix("172.17.0.0/16"), Why: "is in the network of the bridge docker0", Self: true},
		{Prefix: netip.MustParsePrefix("10.0.0.2/32"), Jails: []string{"web"}, Why: "has most lines"},
	}
	hit := func(jail, addr string) Batch { return Batch{Records: []Record{offence(jail, addr, 1, t0)}} }
	hand := func(prefix, jail string, forced, restored bool) Batch {
		a := ban(prefix, jail, t0.Add(time.Hour))
		a.Forced, a.Restored = forced, restored
		return Batch{Actions: []Action{a}}
	}
	for _, c := range []struct {
		name   string
		b      Batch
		want   string // the action, or why there is none
		spared string
	}{
		{"trusted", hit("web", "192.0.2.1"), "", "web 192.0.2.1/32 is in trusted_proxies"},
		{"trusted network", hit("web", "198.51.100.9"), "", "web 198.51.100.0/24 is in trusted_proxies"},
		{"trusted, IPv6", hit("web", "2001:db8:cd::9"), "", "web 2001:db8:cd::/48 is in trusted_proxies"},
		{"trusted by another jail", hit("sshd", "192.0.2.1"), "ban 192.0.2.1/32 sshd for 10m0s", ""},
		{"ignored is no proxy", hit("web", "192.0.2.2"), "", ""},
		{"bridge", hit("sshd", "172.17.0.3"), "", "sshd 172.17.0.0/16 is in the network of the bridge docker0"},
		{"bridge, where the jail may", hit("self", "172.17.0.3"), "ban 172.17.0.3/32 self for 10m0s", ""},
		{"beside the bridge", hit("sshd", "172.18.0.3"), "ban 172.18.0.3/32 sshd for 10m0s", ""},
		{"held", hit("web", "10.0.0.2"), "", "web 10.0.0.2/32 has most lines"},
		{"held in another jail", hit("sshd", "10.0.0.2"), "ban 10.0.0.2/32 sshd for 10m0s", ""},
		{"loopback", hit("web", "127.0.0.1"), "", "web 127.0.0.0/8 is never banned (loopback)"},
		{"loopback, IPv6", hit("web", "::1"), "", "web ::1/128 is never banned (loopback)"},
		{"own is no proxy", hit("web", "203.0.113.1"), "", ""},
		{"own, where the jail may", hit("self", "203.0.113.1"), "ban 203.0.113.1/32 self for 10m0s", ""},
		{"link-local is no proxy", hit("web", "fe80::1"), "", ""},
		{"by hand", hand("192.0.2.1/32", Manual, false, false), "192.0.2.1/32 is in trusted_proxies", ""},
		{"a wider one by hand", hand("198.51.0.0/16", Manual, false, false), "198.51.100.0/24 is in trusted_proxies", ""},
		{"by hand in a jail that does not trust it", hand("198.51.100.9/32", "sshd", false, false), "ban 198.51.100.9/32 sshd for 1h0m0s", ""},
		{"held, by hand", hand("10.0.0.0/24", Manual, false, false), "10.0.0.2/32 has most lines", ""},
		{"by force", hand("192.0.2.1/32", Manual, true, false), "ban 192.0.2.1/32 manual for 1h0m0s", ""},
		{"loopback by force", hand("127.0.0.1/32", Manual, true, false), "127.0.0.0/8 is never banned (loopback)", ""},
		{"taken over from the kernel", hand("198.51.100.9/32", "restored", false, true), "198.51.100.0/24 is in trusted_proxies", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &Decide{
				Jails: jails, Now: func() time.Time { return t0 },
				Own: func() []prefix { return prefixes("203.0.113.1/32") }, Proxies: func() []Proxy { return proxies },
			}
			got := strings.Join(decide(t, d, &c.b), "; ")
			for _, err := range c.b.fails {
				got += strings.TrimPrefix(err.Error(), "ban "+c.b.fails[0].(*RefusedError).Actions[0].Prefix.String()+": ")
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			spared := ""
			for _, x := range d.Spared() {
				spared += fmt.Sprint(x.Jail, " ", x.Prefix, " ", x.Why)
			}
			if spared != c.spared {
				t.Errorf("got spared %q, want %q", spared, c.spared)
			}
		})
	}
}

// TestProxiesRestored: what was banned before it was trusted is not taken over.
func TestProxiesRestored(t *testing.T) {
	old := &Decide{Jails: map[string]Jail{"web": {MaxRetry: 1}}, Now: func() time.Time { return t0 }}
	decide(t, old, &Batch{Records: []Record{offence("web", "192.0.2.1", 1, t0), offence("web", "192.0.2.7", 1, t0)}})
	saved := map[string][]byte{}
	old.Save(true, func(k, v []byte) { saved[string(k)] = v })
	d := &Decide{Jails: map[string]Jail{"web": {MaxRetry: 1, Trusted: prefixes("192.0.2.1/32")}}, Now: func() time.Time { return t0 }}
	err := d.Load(func(yield func(k, v []byte) bool) {
		for k, v := range saved {
			if !yield([]byte(k), v) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(decide(t, d, &Batch{}), "; "), "ban 192.0.2.7/32 web for 10m0s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestProxiesSaid: it is logged once, counted every time, and what is remembered is bounded.
func TestProxiesSaid(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	now := t0
	d := &Decide{
		Jails: map[string]Jail{"web": {MaxRetry: 1, Trusted: prefixes("192.0.2.0/24")}}, Now: func() time.Time { return now }, Logger: zap.New(core),
		Proxies: func() []Proxy { return nil },
	}
	for i := range 5 {
		now = now.Add(time.Second)
		decide(t, d, &Batch{Records: []Record{offence("web", fmt.Sprintf("192.0.2.%d", i), 1, now)}})
	}
	if n := logs.FilterMessage("a proxy is not banned for its clients").Len(); n != 1 {
		t.Errorf("got %d log lines, want one", n)
	}
	all := d.Spared()
	if len(all) != 1 || all[0].Count != 5 || all[0].Addr != netip.MustParseAddr("192.0.2.4") || !all[0].Last.Equal(now) {
		t.Errorf("got %+v, want five of the network, the last one 192.0.2.4", all)
	}
	if text := all[0].String(); !strings.Contains(text, "set_real_ip_from 192.0.2.4;") {
		t.Errorf("got %q, want the setting of nginx in it", text)
	}
	var many []Proxy
	for i := range 2 * maxSpared {
		many = append(many, Proxy{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32), Why: "x"})
	}
	d.Proxies = func() []Proxy { return many }
	for i := range many {
		now = now.Add(time.Second)
		decide(t, d, &Batch{Records: []Record{offence("web", many[i].Prefix.Addr().String(), 1, now)}})
	}
	if all := d.Spared(); len(all) != maxSpared || all[0].Prefix != many[len(many)-1].Prefix {
		t.Errorf("got %d, the latest %v, want %d and %v", len(all), all[0].Prefix, maxSpared, many[len(many)-1].Prefix)
	}
}

// TestNewlyOwn: bans that hold what has become this machine's own, or a proxy, are lifted.
func TestNewlyOwn(t *testing.T) {
	own, proxies := prefixes("203.0.113.1/32"), []Proxy(nil)
	d := &Decide{
		Jails: map[string]Jail{"j": {MaxRetry: 1}, "k": {MaxRetry: 1, BanSelf: true}}, Now: func() time.Time { return t0 },
		Own: func() []prefix { return own }, Proxies: func() []Proxy { return proxies },
	}
	forced := ban("192.0.2.4/32", Manual, time.Time{})
	forced.Forced = true
	steps := []struct {
		name string
		do   func()
		b    Batch
		want string
	}{
		{"banned", func() {}, Batch{
			Records: []Record{offence("j", "192.0.2.1", 1, t0), offence("k", "192.0.2.1", 1, t0), offence("j", "192.0.2.2", 1, t0)},
			Actions: []Action{ban("198.51.100.0/24", Manual, time.Time{}), forced},
		}, "ban 198.51.100.0/24 manual; ban 192.0.2.4/32 manual; ban 192.0.2.1/32 j for 10m0s; ban 192.0.2.1/32 k for 10m0s; ban 192.0.2.2/32 j for 10m0s"},
		{"nothing new", func() {}, Batch{}, ""},
		{"an address comes", func() { own = prefixes("203.0.113.1/32", "192.0.2.1/32") }, Batch{}, "unban 192.0.2.1/32 j"},
		{"it stays", func() {}, Batch{}, ""},
		{"it is not banned again", func() {}, Batch{Records: []Record{offence("j", "192.0.2.1", 1, t0.Add(time.Second))}}, ""},
		{"a gateway inside a banned network", func() { own = prefixes("198.51.100.1/32") }, Batch{}, "unban 198.51.100.0/24 manual"},
		{"the old one is banned again", func() {}, Batch{Records: []Record{offence("j", "192.0.2.1", 1, t0)}}, "ban 192.0.2.1/32 j for 10m0s"},
		{"a proxy is found", func() { proxies = []Proxy{{Prefix: netip.MustParsePrefix("192.0.2.2/32"), Jails: []string{"j"}}} }, Batch{}, "unban 192.0.2.2/32 j"},
		{"what was forced stays", func() { own = prefixes("192.0.2.4/32") }, Batch{}, ""},
	}
	for _, s := range steps {
		s.do()
		if got := strings.Join(decide(t, d, &s.b), "; "); got != s.want {
			t.Errorf("%s: got %q, want %q", s.name, got, s.want)
		}
	}
}

// A proxy that was found by watching is known to the next run, until it has seen for itself or a day has passed.
func TestLearned(t *testing.T) {
	now, said := t0, []Proxy(nil)
	saved := map[string][]byte{}
	next := func() *Decide {
		t.Helper()
		d := &Decide{
			Jails: map[string]Jail{"web": {MaxRetry: 1}, "sshd": {MaxRetry: 1}},
			Now:   func() time.Time { return now }, Proxies: func() []Proxy { return said },
		}
		if err := d.Load(func(yield func(k, v []byte) bool) {
			for k, v := range saved {
				if !yield([]byte(k), v) {
					return
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		return d
	}
	save := func(d *Decide, full bool) {
		if full {
			clear(saved)
		}
		d.Save(full, func(k, v []byte) {
			if saved[string(k)] = v; v == nil {
				delete(saved, string(k))
			}
		})
	}
	bans := func(d *Decide, jail string) bool {
		t.Helper()
		return strings.Contains(strings.Join(decide(t, d, &Batch{Records: []Record{offence(jail, "10.0.0.2", 1, now)}}), ";"), "ban 10.0.0.2/32 "+jail)
	}
	held := []Proxy{{Prefix: netip.MustParsePrefix("10.0.0.2/32"), Jails: []string{"web", "other"}, Why: "has most lines", Learned: true}}
	bridge := []Proxy{{Prefix: netip.MustParsePrefix("172.17.0.0/16"), Why: "bridge"}}

	d := next()
	said = append(held, bridge...)
	if bans(d, "web") || !bans(d, "sshd") {
		t.Error("held: want it spared in its jails, and only there")
	}
	save(d, false)
	if len(saved) != 2 {
		t.Errorf("got %d keys, want the proxy that was learnt and the ban in sshd", len(saved))
	}
	save(d, true)
	said = bridge
	d = next()
	if bans(d, "web") || len(d.Spared()) != 1 || d.Spared()[0].Why != "has most lines" {
		t.Errorf("the next run: got %v spared, want it spared for what was learnt", d.Spared())
	}
	said = held
	bans(d, "web")
	said = nil
	if !bans(d, "web") {
		t.Error("seen, and no longer said: want it banned")
	}
	save(next(), false)
	now = now.Add(25 * time.Hour)
	d = next()
	if !bans(d, "web") {
		t.Error("a day later: want it banned")
	}
	save(d, false)
	for k := range saved {
		if strings.HasPrefix(k, learnedPrefix) {
			t.Errorf("got %q in the state, want it forgotten", k)
		}
	}
	for _, damaged := range []string{"", "x", string(banKey{"", netip.MustParsePrefix("10.0.0.2/32")}.bytes())} {
		if _, err := d.learned.load([]byte(learnedPrefix+damaged), nil); err == nil {
			t.Errorf("%q: got no error", damaged)
		}
	}
}
