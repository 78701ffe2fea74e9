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
