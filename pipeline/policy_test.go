package pipeline

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A court is Window and Decide as they stand in a line, with a clock.
type court struct {
	t      *testing.T
	jails  map[string]Jail
	own    []netip.Prefix
	now    time.Time
	saved  map[string]map[string][]byte // by stage
	window *Window
	decide *Decide
	logs   *observer.ObservedLogs
}

func newCourt(t *testing.T, jails map[string]Jail, own ...string) *court {
	c := &court{t: t, jails: jails, own: prefixes(own...), now: t0, saved: map[string]map[string][]byte{"window": {}, "decide": {}}}
	c.start()
	return c
}

// start makes new stages of what is saved, and returns what they restore.
func (c *court) start() []Action {
	core, logs := observer.New(zap.DebugLevel)
	now, own := func() time.Time { return c.now }, func() []netip.Prefix { return c.own }
	c.window = &Window{Jails: c.jails, Own: own, Now: now}
	c.decide = &Decide{Jails: c.jails, Own: own, Now: now, Logger: zap.New(core)}
	c.logs = logs
	load(c.t, c.window, c.saved["window"])
	load(c.t, c.decide, c.saved["decide"])
	return c.send(&Batch{})
}

// restart saves, with everything or with what changed, and starts anew.
func (c *court) restart(full bool) []Action {
	c.save(full)
	return c.start()
}

func (c *court) save(full bool) {
	save(c.window, full, c.saved["window"])
	save(c.decide, full, c.saved["decide"])
}

// send puts a batch through and returns its actions.
func (c *court) send(b *Batch) []Action {
	c.t.Helper()
	for _, s := range []Stage{c.window, c.decide} {
		if err := s.Process(c.t.Context(), b); err != nil {
			c.t.Fatal(err)
		}
	}
	return b.Actions
}

// hits sends n offences of an address, a second apart, and returns what came of them, in words.
func (c *court) hits(jail, addr string, n int) string {
	c.t.Helper()
	b := &Batch{}
	for range n {
		c.now = c.now.Add(time.Second)
		b.Records = append(b.Records, Record{Kind: Hit, Jail: jail, Addr: netip.MustParseAddr(addr), Time: c.now})
	}
	return words(c.send(b))
}

func (c *court) login(jail, addr string, at time.Time) string {
	c.t.Helper()
	return words(c.send(&Batch{Records: []Record{{Kind: Login, Jail: jail, Addr: netip.MustParseAddr(addr), Time: at}}}))
}

func (c *court) order(a Action) string {
	c.t.Helper()
	b := &Batch{Actions: []Action{a}}
	got := words(c.send(b))
	for _, err := range b.fails {
		got += "refused: " + err.Error()
	}
	return got
}

// words are actions, a short one for each.
func words(actions []Action) string {
	all := make([]string, len(actions))
	for i, a := range actions {
		all[i] = fmt.Sprintf("%v %s %s", a.Op, word(a.Prefix), a.Jail)
		if a.Op.begin() == Hold {
			all[i] = fmt.Sprintf("%v %s", a.Op, a.Jail)
		}
	}
	return strings.Join(all, "; ")
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestNetworks(t *testing.T) {
	jails := map[string]Jail{
		"j":    {MaxRetry: 3, BanTime: time.Hour, Prefix6: 64, Ignore: prefixes("2001:db8:1::1/128", "192.0.2.1/32"), Trusted: prefixes("2001:db8:4::1/128")},
		"wide": {MaxRetry: 3, BanTime: time.Hour, Prefix4: 24, Prefix6: 48},
	}
	for _, s := range []struct {
		name string
		jail string
		from []string
		want string
	}{
		{"a /64 is one offender", "j", []string{"2001:db8::1", "2001:db8::ffff:1", "2001:db8::2"}, "ban 2001:db8::/64 j"},
		{"two are two", "j", []string{"2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:1::1"}, ""},
		{"IPv4 is counted by address", "j", []string{"192.0.2.7", "192.0.2.8", "192.0.2.9"}, ""},
		{"and banned so", "j", []string{"192.0.2.7", "192.0.2.7", "192.0.2.7"}, "ban 192.0.2.7 j"},
		{"where somebody in it is ignored each is counted by itself", "j", []string{"2001:db8:1::2", "2001:db8:1::3", "2001:db8:1::2"}, ""},
		{"and banned so", "j", []string{"2001:db8:1::2", "2001:db8:1::2", "2001:db8:1::2"}, "ban 2001:db8:1::2 j"},
		{"and where a proxy is", "j", []string{"2001:db8:4::2", "2001:db8:4::3", "2001:db8:4::2"}, ""},
		{"and where this machine is", "j", []string{"2001:db8:2::2", "2001:db8:2::3", "2001:db8:2::3", "2001:db8:2::3"}, "ban 2001:db8:2::3 j"},
		{"as wide as one likes", "wide", []string{"192.0.2.7", "192.0.2.8", "192.0.2.9"}, "ban 192.0.2.0/24 wide"},
		{"of both families", "wide", []string{"2001:db8:9::1", "2001:db8:9:1::1", "2001:db8:9:2::1"}, "ban 2001:db8:9::/48 wide"},
	} {
		t.Run(s.name, func(t *testing.T) {
			c := newCourt(t, jails, "2001:db8:2::1/128")
			var got []string
			for _, addr := range s.from {
				c.restart(false)
				if a := c.hits(s.jail, addr, 1); a != "" {
					got = append(got, a)
				}
			}
			expect(t, s.name, strings.Join(got, "; "), s.want)
		})
	}
}

func TestNetworkOrders(t *testing.T) {
	c := newCourt(t, map[string]Jail{"j": {MaxRetry: 3, BanTime: time.Hour, Prefix6: 64}})
	expect(t, "banned", c.hits("j", "2001:db8::1", 3), "ban 2001:db8::/64 j")
	expect(t, "an unban of any address in it", c.order(unban("2001:db8::99/128", "")), "unban 2001:db8::/64 j")
	expect(t, "two hits", c.hits("j", "2001:db8::1", 2), "")
	expect(t, "an unban forgets what its network did", c.order(unban("2001:db8::7/128", "")), "unban 2001:db8::7 ")
	expect(t, "so two more are two", c.hits("j", "2001:db8::1", 2), "")
	expect(t, "the third bans", c.hits("j", "2001:db8::2", 1), "ban 2001:db8::/64 j")
	expect(t, "allow lifts what holds the address", c.order(Action{Op: Allow, Prefix: prefixes("2001:db8::5/128")[0]}), "unban 2001:db8::/64 j; allow 2001:db8::5 manual")
	expect(t, "then it is the address alone", c.hits("j", "2001:db8::1", 3), "ban 2001:db8::1 j")
	expect(t, "and never the one that is allowed", c.hits("j", "2001:db8::5", 3), "")
}

func TestAggregate(t *testing.T) {
	jail := Jail{MaxRetry: 1, BanTime: time.Hour, Prefix6: 64, Aggregate: Aggregate{V4: 24, V6: 48, After: 3}, Ignore: prefixes("198.51.100.200/32")}
	c := newCourt(t, map[string]Jail{"j": jail, "other": {MaxRetry: 1, BanTime: time.Hour}})
	expect(t, "one", c.hits("j", "192.0.2.1", 1), "ban 192.0.2.1 j")
	expect(t, "another jail's count for nothing", c.hits("other", "192.0.2.9", 1), "ban 192.0.2.9 other")
	expect(t, "two", c.hits("j", "192.0.2.2", 1), "ban 192.0.2.2 j")
	c.restart(true)
	expect(t, "three, over a restart", c.hits("j", "192.0.2.3", 1), "ban 192.0.2.0/24 j")
	expect(t, "a fourth makes the network's longer", c.hits("j", "192.0.2.4", 1), "ban 192.0.2.0/24 j")
	expect(t, "next door", c.hits("j", "192.0.3.1", 1), "ban 192.0.3.1 j")
	byHand := ban("10.0.0.0/16", "j", c.now.Add(time.Minute))
	expect(t, "a network by hand", c.order(byHand), "ban 10.0.0.0/16 j")
	expect(t, "is not made longer for one in it", c.hits("j", "10.0.0.1", 1), "ban 10.0.0.1 j")
	byHand.Until = c.now.Add(24 * time.Hour)
	c.order(byHand)
	expect(t, "who needs no ban of his own if it lasts longer", c.hits("j", "10.0.0.2", 1), "")
	c.order(unban("10.0.0.0/16", "j"))

	expect(t, "IPv6, one", c.hits("j", "2001:db8:0:1::1", 1), "ban 2001:db8:0:1::/64 j")
	expect(t, "the same again", c.hits("j", "2001:db8:0:1::2", 1), "ban 2001:db8:0:1::/64 j")
	expect(t, "two", c.hits("j", "2001:db8:0:2::1", 1), "ban 2001:db8:0:2::/64 j")
	expect(t, "three", c.hits("j", "2001:db8:0:3::1", 1), "ban 2001:db8::/48 j")

	for i := range 5 { // somebody in it is spared
		addr := fmt.Sprint("198.51.100.", i)
		expect(t, "single hosts", c.hits("j", addr, 1), "ban "+addr+" j")
	}
	expect(t, "nor him", c.hits("j", "198.51.100.200", 1), "")
	held := c.decide.live[banKey{"j", prefixes("198.51.100.4/32")[0]}]
	if want := "1 hits in 10m0s; not all of 198.51.100.0/24: 198.51.100.200/32 is in ignoreip"; held.reason != want {
		t.Errorf("got the reason %q, want %q", held.reason, want)
	}

	c.now = c.now.Add(2 * time.Hour) // the bans end, and with them the crowd
	expect(t, "one of three again", c.hits("j", "192.0.2.1", 1), "ban 192.0.2.1 j")
	expect(t, "two", c.hits("j", "192.0.2.2", 1), "ban 192.0.2.2 j")
	c.order(unban("192.0.2.2/32", "j"))
	expect(t, "two, less one", c.hits("j", "192.0.2.3", 1), "ban 192.0.2.3 j")
}

func TestWeightsInWords(t *testing.T) {
	c := newCourt(t, map[string]Jail{"j": {MaxRetry: 5}, "scan": {MaxRetry: 6, Distinct: true}})
	send := func(jail, key string, weight int) []Action {
		c.now = c.now.Add(time.Second)
		return c.send(&Batch{Records: []Record{{Kind: Hit, Jail: jail, Addr: someone, Time: c.now, Weight: weight, Key: []byte(key)}}})
	}
	for _, s := range []struct {
		jail    string
		weights []int
		hits    int
		reason  string
	}{
		{"j", []int{1, 1, 1, 1, 1}, 5, "5 hits in 10m0s"},
		{"j", []int{2, 2, 2}, 3, "3 hits with a score of 6 in 10m0s"},
		{"j", []int{9}, 1, "1 hits with a score of 9 in 10m0s"},
		{"scan", []int{2, 1, 3}, 3, "3 hits with a score of 6 in 10m0s"},
	} {
		var last []Action
		for i, w := range s.weights {
			last = send(s.jail, fmt.Sprint(i), w)
		}
		if len(last) != 1 || last[0].Hits != s.hits || last[0].Reason != s.reason {
			t.Errorf("%v: got %+v, want %d hits: %s", s.weights, last, s.hits, s.reason)
		}
		c.order(unban("192.0.2.7/32", ""))
	}
}

func TestRecidives(t *testing.T) {
	jails := map[string]Jail{
		"a":        {MaxRetry: 1, BanTime: time.Minute},
		"b":        {MaxRetry: 1, BanTime: time.Minute, Ports: []PortRange{{80, 80}}},
		"watch":    {MaxRetry: 1, BanTime: time.Minute, Observe: true},
		"recidive": {MaxRetry: 3, FindTime: time.Hour, BanTime: 24 * time.Hour, CountsBans: true},
		"trial":    {MaxRetry: 2, FindTime: time.Hour, BanTime: 24 * time.Hour, CountsBans: true, Observe: true},
	}
	addr := "192.0.2.7"
	for _, c := range []struct {
		name string
		do   []string // "hit JAIL", "wait", "restart", "unban", "ban"
		want string
	}{
		{"three bans", []string{"hit a", "wait", "hit b", "wait", "hit a"}, "ban a; ban b; ban trial; ban a; ban recidive"},
		{"over a restart", []string{"hit a", "wait", "hit b", "restart", "wait", "hit a"}, "ban a; ban b; ban trial; ban a; ban recidive"},
		{"a ban that is made longer is none", []string{"hit a", "hit a", "hit a", "hit a"}, "ban a; ban a; ban a; ban a"},
		{"nor one by hand", []string{"ban", "unban", "ban", "unban", "ban", "unban"}, "ban manual; unban manual; ban manual; unban manual; ban manual; unban manual"},
		{"what is only observed is for those who observe", []string{"hit watch", "wait", "hit watch", "wait", "hit watch"}, "ban watch; ban watch; ban trial; ban watch"},
		{"an unban forgets", []string{"hit a", "wait", "hit a", "unban", "wait", "hit a"}, "ban a; ban a; ban trial; unban a; unban trial; ban a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			court := newCourt(t, jails)
			var got []string
			note := func(actions []Action) {
				for _, a := range actions {
					if !a.Restored {
						got = append(got, fmt.Sprintf("%v %s", a.Op, a.Jail))
					}
				}
			}
			for _, do := range c.do {
				court.now = court.now.Add(time.Second)
				verb, jail, _ := strings.Cut(do, " ")
				switch verb {
				case "hit":
					note(court.send(&Batch{Records: []Record{{Kind: Hit, Jail: jail, Addr: netip.MustParseAddr(addr), Time: court.now, Line: []byte("line")}}}))
				case "wait":
					court.now = court.now.Add(2 * time.Minute)
				case "restart":
					note(court.restart(false))
				case "unban":
					b := &Batch{Actions: []Action{unban(addr+"/32", "")}}
					court.send(b)
					slices.SortFunc(b.Actions, func(x, y Action) int { return strings.Compare(x.Jail, y.Jail) })
					note(b.Actions)
				case "ban":
					note(court.send(&Batch{Actions: []Action{ban(addr+"/32", Manual, court.now.Add(time.Hour))}}))
				}
			}
			expect(t, c.name, strings.Join(got, "; "), c.want)
		})
	}
}

// What led to a recidive's ban is an offence in its jail, for the counts, the window and the history.
func TestRecidiveRecords(t *testing.T) {
	c := newCourt(t, map[string]Jail{"a": {MaxRetry: 1, BanTime: time.Minute}, "recidive": {MaxRetry: 2, CountsBans: true}})
	b := &Batch{Records: []Record{{Kind: Hit, Jail: "a", Addr: someone, Time: t0, Line: []byte("the line")}}}
	c.send(b)
	if len(b.Records) != 2 || b.Records[1].Jail != "recidive" || string(b.Records[1].Line) != "the line" || b.Records[1].Hits != 1 {
		t.Errorf("got %+v, want the ban as a record of the jail recidive", b.Records)
	}
	if n := c.decide.Tracked("recidive"); n != 1 {
		t.Errorf("got %d tracked, want 1", n)
	}
}

func TestBreaker(t *testing.T) {
	jails := map[string]Jail{
		"mad":  {MaxRetry: 1, BanTime: time.Hour, MaxBansPerMinute: 10},
		"good": {MaxRetry: 1, BanTime: time.Hour, MaxBansPerMinute: 10},
		"any":  {MaxRetry: 1, BanTime: time.Hour},
	}
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	n := 0
	// crowd has count addresses offend, each some time after the one before, and says how many were banned.
	crowd := func(c *court, jail string, count int, apart time.Duration) (banned int, others []string) {
		for range count {
			n++
			c.now = c.now.Add(apart)
			for _, a := range c.send(&Batch{Records: []Record{{Kind: Hit, Jail: jail, Addr: addr(n), Time: c.now}}}) {
				if a.Op == Ban {
					banned++
				} else {
					others = append(others, fmt.Sprintf("%v %s", a.Op, a.Jail))
				}
			}
		}
		return banned, others
	}
	t.Run("stops within a minute", func(t *testing.T) {
		c := newCourt(t, jails)
		banned, others := crowd(c, "mad", 1000, 100*time.Millisecond)
		if banned != 10 || strings.Join(others, "; ") != "hold mad" {
			t.Errorf("got %d bans and %q, want 10 and one hold", banned, others)
		}
		if banned, _ := crowd(c, "good", 5, 100*time.Millisecond); banned != 5 {
			t.Errorf("another jail: got %d bans, want 5", banned)
		}
	})
	t.Run("as many as may be", func(t *testing.T) {
		c := newCourt(t, jails)
		if banned, others := crowd(c, "mad", 1000, 6*time.Second); banned != 1000 || len(others) > 0 {
			t.Errorf("got %d bans and %q, want all", banned, others)
		}
		if banned, others := crowd(c, "any", 1000, time.Millisecond); banned != 1000 || len(others) > 0 {
			t.Errorf("without a limit: got %d bans and %q, want all", banned, others)
		}
	})
	t.Run("goes on by itself, and stops for longer", func(t *testing.T) {
		c := newCourt(t, jails)
		crowd(c, "mad", 20, time.Millisecond)
		for _, hold := range []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute} {
			c.now = c.now.Add(hold - time.Second)
			if banned, others := crowd(c, "mad", 5, time.Millisecond); banned != 0 || len(others) > 0 {
				t.Errorf("before %v: got %d bans and %q, want none", hold, banned, others)
			}
			c.now = c.now.Add(2 * time.Second)
			banned, others := crowd(c, "mad", 20, time.Millisecond)
			if banned != 10 || strings.Join(others, "; ") != "release mad; hold mad" {
				t.Errorf("after %v: got %d bans and %q, want ten more and another hold", hold, banned, others)
			}
		}
		c.now = c.now.Add(80*time.Minute + time.Second)
		crowd(c, "mad", 1, 0) // it closes
		c.now = c.now.Add(2 * time.Hour)
		crowd(c, "mad", 20, time.Millisecond) // it has been calm
		c.now = c.now.Add(10*time.Minute + time.Second)
		if banned, _ := crowd(c, "mad", 1, 0); banned != 1 {
			t.Error("after a calm hour it holds for longer than the first time")
		}
	})
	t.Run("what does not count", func(t *testing.T) {
		c := newCourt(t, jails)
		for i := range 30 {
			p := hostPrefix(netip.AddrFrom4([4]byte{11, 0, 0, byte(i)}))
			c.send(&Batch{Actions: []Action{{Op: Ban, Prefix: p, Jail: "mad", Until: c.now.Add(time.Hour)}}}) // by hand
		}
		c.restart(true) // 30 restored
		for range 30 {  // one that is made longer
			c.now = c.now.Add(time.Second)
			c.hits("mad", "11.0.0.1", 1)
		}
		if banned, others := crowd(c, "mad", 10, time.Millisecond); banned != 10 || len(others) > 0 {
			t.Errorf("got %d bans and %q, want all ten", banned, others)
		}
	})
	t.Run("resume, and a new start", func(t *testing.T) {
		c := newCourt(t, jails)
		crowd(c, "mad", 20, time.Millisecond)
		expect(t, "resume", c.order(Action{Op: Resume}), "release mad; resume invalid Prefix manual")
		if banned, _ := crowd(c, "mad", 20, time.Millisecond); banned != 10 {
			t.Errorf("got %d bans after resume, want 10", banned)
		}
		c.restart(false)
		if banned, _ := crowd(c, "mad", 20, time.Millisecond); banned != 10 {
			t.Errorf("got %d bans after a new start, want 10", banned)
		}
		expect(t, "by hand it cannot be tripped", c.order(Action{Op: Hold, Jail: "good"}), "refused: hold: a jail's breaker does that by itself")
	})
	t.Run("by the lines' own time", func(t *testing.T) {
		c := newCourt(t, jails)
		b := &Batch{}
		for i := range 50 { // a backlog of fifty minutes, read at once
			n++
			b.Records = append(b.Records, Record{Kind: Hit, Jail: "mad", Addr: addr(n), Time: t0.Add(time.Duration(i-50) * time.Minute)})
		}
		if got := len(c.send(b)); got != 50 {
			t.Errorf("got %d actions, want 50 bans", got)
		}
	})
}

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

func TestOffendersBound(t *testing.T) {
	d := &Decide{
		Jails: map[string]Jail{"j": {MaxRetry: 1, BanTime: time.Minute, Escalation: &Escalation{}}},
		Now:   func() time.Time { return t0 }, Memory: time.Hour, MaxOffenders: 100,
	}
	for i := range 1000 {
		decide(t, d, &Batch{Records: []Record{offence("j", fmt.Sprintf("10.0.%d.%d", i/250, i%250), 1, t0.Add(time.Duration(i)*time.Millisecond))}})
	}
	if n := len(d.past.past); n != 100 {
		t.Errorf("got %d remembered, want the youngest 100", n)
	}
	if _, ok := d.past.past[banKey{"j", prefixes("10.0.3.249/32")[0]}]; !ok {
		t.Error("the youngest is gone")
	}
	d.Now = func() time.Time { return t0.Add(2 * time.Hour) }
	decide(t, d, &Batch{})
	if len(d.past.past) != 0 || len(d.past.ends) != 0 {
		t.Errorf("got %d remembered for ever", len(d.past.past))
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
