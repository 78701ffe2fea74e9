package pipeline

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

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
