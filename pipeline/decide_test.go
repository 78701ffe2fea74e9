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

type prefix = netip.Prefix

func prefixes(all ...string) []prefix {
	out := make([]prefix, len(all))
	for i, s := range all {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// decide sends records and actions through d and returns what came out, a line each.
func decide(t *testing.T, d *Decide, b *Batch) (got []string) {
	t.Helper()
	if err := d.Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	for _, a := range b.Actions {
		s := fmt.Sprintf("%v %v %s", a.Op, a.Prefix, a.Jail)
		if a.Op == Ban && !a.Until.IsZero() {
			s += " for " + a.Until.Sub(t0).String()
		}
		if a.Observe {
			s += " observed"
		}
		if len(a.Ports) > 0 {
			s += " ports " + PortsString(a.Ports)
		}
		got = append(got, s)
	}
	return got
}

func offence(jail, addr string, hits int, at time.Time) Record {
	return Record{Kind: Hit, Jail: jail, Addr: netip.MustParseAddr(addr), Hits: hits, Time: at}
}

func TestDecide(t *testing.T) {
	jails := map[string]Jail{
		"j":       {MaxRetry: 3, BanTime: time.Hour, Ignore: prefixes("192.0.2.8/32", "198.51.100.0/24", "2001:db8:1::/48", "::ffff:203.0.113.9/128")},
		"forever": {MaxRetry: 1, BanTime: -1},
		"self":    {MaxRetry: 1, BanSelf: true},
		"watch":   {MaxRetry: 1, Observe: true},
		"web":     {MaxRetry: 1, Ports: []PortRange{{80, 80}, {443, 443}}},
	}
	for _, c := range []struct {
		name string
		r    Record
		want string
	}{
		{"too few", offence("j", "192.0.2.7", 2, t0), ""},
		{"enough", offence("j", "192.0.2.7", 3, t0), "ban 192.0.2.7/32 j for 1h0m0s"},
		{"IPv6", offence("j", "2001:db8::7", 3, t0), "ban 2001:db8::7/128 j for 1h0m0s"},
		{"from the offence, not from now", offence("j", "192.0.2.7", 3, t0.Add(-50*time.Minute)), "ban 192.0.2.7/32 j for 10m0s"},
		{"over already", offence("j", "192.0.2.7", 3, t0.Add(-time.Hour)), ""},
		{"never ends", offence("forever", "192.0.2.7", 1, t0), "ban 192.0.2.7/32 forever"},
		{"never ends, long ago", offence("forever", "192.0.2.7", 1, t0.Add(-1000*time.Hour)), "ban 192.0.2.7/32 forever"},
		{"observed", offence("watch", "192.0.2.7", 1, t0), "ban 192.0.2.7/32 watch for 10m0s observed"},
		{"ports", offence("web", "192.0.2.7", 1, t0), "ban 192.0.2.7/32 web for 10m0s ports 80,443"},
		{"ignored host", offence("j", "192.0.2.8", 3, t0), ""},
		{"ignored net", offence("j", "198.51.100.77", 3, t0), ""},
		{"ignored v6 net", offence("j", "2001:db8:1::5", 3, t0), ""},
		{"ignored as a mapped address", offence("j", "203.0.113.9", 3, t0), ""},
		{"ignored elsewhere only", offence("web", "192.0.2.8", 1, t0), "ban 192.0.2.8/32 web for 10m0s ports 80,443"},
		{"own", offence("j", "203.0.113.1", 3, t0), ""},
		{"own, where the jail may", offence("self", "203.0.113.1", 1, t0), "ban 203.0.113.1/32 self for 10m0s"},
		{"gateway", offence("j", "fd00::1", 3, t0), ""},
		{"loopback", offence("j", "127.0.0.1", 3, t0), ""},
		{"v6 loopback", offence("j", "::1", 3, t0), ""},
		{"link-local", offence("j", "fe80::1", 3, t0), ""},
		{"multicast", offence("j", "224.0.0.1", 3, t0), ""},
		{"broadcast", offence("j", "255.255.255.255", 3, t0), ""},
		{"unspecified", offence("j", "0.0.0.0", 3, t0), ""},
		{"not a hit", Record{Kind: Note, Jail: "j", Addr: netip.MustParseAddr("192.0.2.7"), Hits: 3, Time: t0}, ""},
		{"unknown jail", offence("?", "192.0.2.7", 3, t0), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &Decide{Jails: jails, Now: func() time.Time { return t0 }, Own: func() []prefix { return prefixes("203.0.113.1/32", "fd00::1/128") }}
			got := strings.Join(decide(t, d, &Batch{Records: []Record{c.r}}), "; ")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What happens to one address, step by step.
// A ban ends by the clock, and not by the time that the machine was awake: its end has no monotonic reading (package time).
func TestBansEndByTheClock(t *testing.T) {
	now := time.Now()
	d := &Decide{Jails: map[string]Jail{"j": {MaxRetry: 1, BanTime: time.Hour}}, Now: func() time.Time { return now }}
	hand := Action{Op: Ban, Jail: Manual, Prefix: netip.MustParsePrefix("192.0.2.8/32"), Until: now.Add(time.Hour)}
	b := &Batch{Records: []Record{offence("j", "192.0.2.7", 1, now)}, Actions: []Action{hand}}
	if err := d.Process(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if len(b.Actions) != 2 {
		t.Fatalf("got %v, want two bans", b.Actions)
	}
	for _, a := range b.Actions {
		if a.Until != a.Until.Round(0) {
			t.Errorf("got %v until %v, want no monotonic reading", a.Prefix, a.Until)
		}
	}
	now = now.Add(2 * time.Hour) // suspended
	if err := d.Process(t.Context(), &Batch{}); err != nil {
		t.Fatal(err)
	}
	if n := d.Live("j") + d.Live(Manual); n != 0 {
		t.Errorf("got %d live bans, want none", n)
	}
}

func TestDecideLive(t *testing.T) {
	now := t0
	jails := map[string]Jail{"j": {MaxRetry: 1, BanTime: time.Hour}}
	d := &Decide{Jails: jails, Now: func() time.Time { return now }}
	addr := "192.0.2.7"
	hour := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Hour) }
	for _, s := range []struct {
		name string
		at   time.Time
		b    Batch
		want string
	}{
		{"banned", t0, Batch{Records: []Record{offence("j", addr, 1, t0)}}, "ban 192.0.2.7/32 j for 1h0m0s"},
		{"an older offence changes nothing", t0, Batch{Records: []Record{offence("j", addr, 1, t0.Add(-time.Minute))}}, ""},
		{"a younger one makes it longer", t0, Batch{Records: []Record{offence("j", addr, 1, t0.Add(time.Minute))}}, "ban 192.0.2.7/32 j for 1h1m0s"},
		{"by hand as well", t0, Batch{Actions: []Action{ban(addr+"/32", Manual, hour(3))}}, "ban 192.0.2.7/32 manual for 3h0m0s"},
		{"by hand it can be made shorter", t0, Batch{Actions: []Action{ban(addr+"/32", Manual, hour(2))}}, "ban 192.0.2.7/32 manual for 2h0m0s"},
		{"unbanned by one", t0, Batch{Actions: []Action{unban(addr+"/32", Manual)}}, "unban 192.0.2.7/32 manual"},
		{"unbanned by all", t0, Batch{Actions: []Action{unban("::ffff:192.0.2.7/128", "")}}, "unban 192.0.2.7/32 j"},
		{"unbanned by nobody", t0, Batch{Actions: []Action{unban(addr+"/32", "")}}, "unban 192.0.2.7/32 "},
		{"banned again", t0, Batch{Records: []Record{offence("j", addr, 1, t0)}}, "ban 192.0.2.7/32 j for 1h0m0s"},
		{"and again when it is over", hour(2), Batch{Records: []Record{offence("j", addr, 1, hour(2))}}, "ban 192.0.2.7/32 j for 3h0m0s"},
	} {
		now = s.at
		if got := strings.Join(decide(t, d, &s.b), "; "); got != s.want {
			t.Errorf("%s: got %q, want %q", s.name, got, s.want)
		}
	}
}

// At the limit the ban that ends first goes, loudly.
func TestMaxBans(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	d := &Decide{Jails: map[string]Jail{"j": {MaxRetry: 1, BanTime: time.Hour}}, Now: func() time.Time { return t0 }, MaxBans: 2, Logger: zap.New(core)}
	b := &Batch{}
	for i, after := range []int{5, 1, 9} {
		b.Records = append(b.Records, offence("j", fmt.Sprintf("192.0.2.%d", i), 1, t0.Add(time.Duration(after)*time.Minute)))
	}
	got := strings.Join(decide(t, d, b), "; ")
	want := "ban 192.0.2.0/32 j for 1h5m0s; ban 192.0.2.1/32 j for 1h1m0s; ban 192.0.2.2/32 j for 1h9m0s; unban 192.0.2.1/32 j"
	if got != want || logs.Len() != 1 {
		t.Errorf("got %q and %d warnings, want %q and 1", got, logs.Len(), want)
	}
}

// Bans survive Save and Load as they were, less those that are over or may not be any more.
func TestDecideSaves(t *testing.T) {
	now := t0
	clock := func() time.Time { return now }
	jails := map[string]Jail{
		"j":       {MaxRetry: 1, BanTime: time.Hour, Ports: []PortRange{{22, 22}, {8000, 8100}}},
		"short":   {MaxRetry: 1, BanTime: time.Minute},
		"forever": {MaxRetry: 1, BanTime: -1},
		"watch":   {MaxRetry: 1, BanTime: time.Hour, Observe: true},
	}
	saved := make(map[string][]byte)
	d := &Decide{Jails: jails, Now: clock}
	load(t, d, saved)
	decide(t, d, &Batch{Records: []Record{
		offence("j", "192.0.2.1", 3, t0), offence("short", "192.0.2.2", 1, t0), offence("forever", "2001:db8::3", 1, t0),
		offence("watch", "192.0.2.4", 1, t0), offence("j", "192.0.2.5", 1, t0), offence("j", "192.0.2.6", 1, t0),
	}})
	save(d, false, saved)
	decide(t, d, &Batch{Actions: []Action{unban("192.0.2.6/32", "j")}})
	save(d, false, saved)

	now = t0.Add(30 * time.Minute)
	spared := jails["j"]
	spared.Ignore = prefixes("192.0.2.5/32")
	jails["j"] = spared
	d = &Decide{Jails: jails, Now: clock}
	load(t, d, saved)
	b := &Batch{}
	got := decide(t, d, b)
	want := map[string]bool{
		"ban 192.0.2.1/32 j for 1h0m0s ports 22,8000-8100": true,
		"ban 2001:db8::3/128 forever":                      true,
		"ban 192.0.2.4/32 watch for 1h0m0s observed":       true,
	}
	for i, s := range got {
		if !want[s] || !b.Actions[i].Restored || b.Actions[i].Reason == "" {
			t.Errorf("got %q (%+v), not among the wanted", s, b.Actions[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %q, want %v", got, want)
	}
	if again := decide(t, d, &Batch{}); len(again) != 0 {
		t.Errorf("the second batch carries them again: %q", again)
	}
	save(d, false, saved)
	if len(saved) != 3 {
		t.Errorf("got %d saved bans, want 3: what is over is deleted", len(saved))
	}
}

func FuzzDecodeBan(f *testing.F) {
	f.Add(liveBan{hits: 5, until: t0, ports: []PortRange{{1, 2}}, reason: "x"}.encode())
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, v []byte) {
		a, err := decodeBan(v, "")
		if err != nil {
			return
		}
		b, err := decodeBan(a.encode(), a.reason)
		if err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("got %v, %v, want %v", b, err, a)
		}
	})
}

func TestActionJSON(t *testing.T) {
	until := time.Date(2026, 11, 23, 8, 23, 11, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		a    Action
		want string
	}{
		{
			Action{Op: Ban, Prefix: prefixes("192.0.2.7/32")[0], Jail: "sshd", Until: until, Hits: 5, Reason: "5 hits in 10m0s"},
			`{"op":"ban","prefix":"192.0.2.7/32","jail":"sshd","until":"2026-11-23T07:23:11Z","hits":5,"reason":"5 hits in 10m0s"}`,
		},
		{
			Action{Op: Unban, Prefix: prefixes("2001:db8::/64")[0], Jail: "j", Ports: []PortRange{{80, 80}, {1, 9}}, Observe: true, Restored: true},
			`{"op":"unban","prefix":"2001:db8::/64","jail":"j","hits":0,"reason":"","ports":"80,1-9","observe":true,"restored":true}`,
		},
	} {
		got, err := c.a.MarshalJSON()
		if err != nil || string(got) != c.want {
			t.Errorf("got %s, %v, want %s", got, err, c.want)
		}
	}
}
