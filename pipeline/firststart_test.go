package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// backlog is a batch of offences of n addresses, in jail j, at a time.
func backlog(source, jail string, n int, at time.Time) Batch {
	b := Batch{Source: source, Backlog: true}
	for i := range n {
		b.Records = append(b.Records, offence(jail, fmt.Sprintf("192.0.2.%d", i+1), 1, at))
	}
	return b
}

// What a first start bans, and when it says so.
func TestFirstStart(t *testing.T) {
	old := t0.Add(-time.Hour)
	type step struct {
		name string
		at   time.Duration
		b    Batch
		want int    // bans that come out
		said string // the warning
	}
	arrived := Batch{Source: "a", Live: true}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"a few are banned when all is read", []step{
			{"old lines", 0, backlog("a", "j", 10, old), 0, ""},
			{"a checkpoint", time.Second, Batch{}, 0, ""},
			{"the end", 2 * time.Second, arrived, 10, ""},
		}},
		{"or soon after", []step{
			{"old lines", 0, backlog("a", "j", 3, old), 0, ""},
			{"still reading", 4 * time.Second, backlog("a", "j", 0, old), 0, ""},
			{"long enough", firstGather, Batch{}, 3, ""},
			{"more of them are gathered again", firstGather, backlog("a", "j", 4, old), 0, ""},
			{"and banned, three of them again", firstGather, arrived, 1, ""},
		}},
		{"many are said before", []step{
			{"old lines", 0, backlog("a", "j", 11, old), 0, ""},
			{"the end", time.Second, arrived, 0, "j 11 30s"},
			{"not yet", 30 * time.Second, Batch{}, 0, ""},
			{"now", 31 * time.Second, Batch{}, 11, ""},
			{"nothing is left", 100 * time.Second, Batch{}, 0, ""},
		}},
		{"of each jail apart", []step{
			{"old lines", 0, backlog("a", "j", 11, old), 0, ""},
			{"of another", 0, backlog("a", "k", 10, old), 0, ""},
			{"the end", time.Second, arrived, 10, "j 11 30s"},
			{"now", 31 * time.Second, Batch{}, 11, ""},
		}},
		{"another source goes on", []step{
			{"old lines", 0, backlog("a", "j", 2, old), 0, ""},
			{"of another", 0, backlog("b", "k", 1, old), 0, ""},
			{"the end of one", time.Second, arrived, 0, ""},
			{"of both", time.Second, Batch{Source: "b", Live: true}, 3, ""},
		}},
		{"what came late is banned at once when it has been said", []step{
			{"old lines", 0, backlog("a", "j", 11, old), 0, ""},
			{"said", firstGather, backlog("a", "j", 0, old), 0, "j 11 30s"},
			{"more meanwhile", 10 * time.Second, backlog("a", "j", 20, old), 0, ""},
			{"now", 36 * time.Second, Batch{}, 20, ""},
			{"the rest", 37 * time.Second, backlog("a", "j", 25, old), 5, ""},
		}},
		{"who offends anew is banned at once", []step{
			{"old lines", 0, backlog("a", "j", 11, old), 0, ""},
			{"the end", 0, arrived, 0, "j 11 30s"},
			{"a new one", time.Second, Batch{Source: "a", Live: true, Records: []Record{offence("j", "192.0.2.1", 1, t0.Add(time.Second))}}, 1, ""},
			{"the others", 30 * time.Second, Batch{}, 10, ""},
		}},
		{"new lines of a log that is not at its end", []step{
			{"not old", 0, backlog("a", "j", 20, t0), 20, ""},
		}},
		{"a log that was read before", []step{
			{"old lines", 0, Batch{Source: "a", Records: backlog("a", "j", 20, old).Records}, 20, ""},
		}},
		{"a jail that only observes", []step{
			{"old lines", 0, backlog("a", "watch", 20, old), 20, ""},
		}},
		{"unbanned by hand before", []step{
			{"old lines", 0, backlog("a", "j", 12, old), 0, ""},
			{"the end", 0, arrived, 0, "j 12 30s"},
			{"of the jail", time.Second, Batch{Actions: []Action{unban("192.0.2.1/32", "j")}}, 1, ""},
			{"of another", time.Second, Batch{Actions: []Action{unban("192.0.2.2/32", "k")}}, 1, ""},
			{"a network", time.Second, Batch{Actions: []Action{unban("192.0.2.8/30", "")}}, 1, ""},
			{"the others", 30 * time.Second, Batch{}, 7, ""},
		}},
		{"over by then", []step{
			{"old lines", 0, backlog("a", "j", 11, t0.Add(-2*time.Hour+10*time.Second)), 0, ""},
			{"the end", 0, arrived, 0, "j 11 30s"},
			{"nobody is left to ban", 30 * time.Second, Batch{}, 0, ""},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := t0
			core, logs := observer.New(zap.WarnLevel)
			jails := map[string]Jail{"j": {MaxRetry: 1, BanTime: 2 * time.Hour}, "k": {MaxRetry: 1, BanTime: 2 * time.Hour}, "watch": {MaxRetry: 1, BanTime: 2 * time.Hour, Observe: true}}
			d := &Decide{Jails: jails, Now: func() time.Time { return now }, Notice: 30 * time.Second, Logger: zap.New(core)}
			decide(t, d, &Batch{})
			for _, s := range c.steps {
				now = t0.Add(s.at)
				got := decide(t, d, &s.b)
				said := ""
				for _, e := range logs.TakeAll() {
					said += fmt.Sprint(e.ContextMap()["jail"], " ", e.ContextMap()["addrs"], " ", e.ContextMap()["in"])
				}
				if len(got) != s.want || said != s.said {
					t.Errorf("%s: got %d, %q and said %q, want %d and %q", s.name, len(got), got, said, s.want, s.said)
				}
				if s.said != "" && (len(d.Pending()) != 1 || !strings.Contains(d.Pending()[0].String(), fmt.Sprintf("will ban %d addresses at", d.Pending()[0].Addrs))) {
					t.Errorf("%s: got %v pending", s.name, d.Pending())
				}
			}
			if len(d.Pending()) != 0 {
				t.Errorf("got %v pending in the end, want nothing", d.Pending())
			}
		})
	}
}

// What is held back is neither lost nor forgotten by a stop, and a jail that only observes by then bans nobody.
func TestFirstStartSaved(t *testing.T) {
	now := t0
	clock := func() time.Time { return now }
	jails := map[string]Jail{"j": {MaxRetry: 1, BanTime: 2 * time.Hour}, "k": {MaxRetry: 1, BanTime: 2 * time.Hour}}
	first := &Decide{Jails: jails, Now: clock, Notice: 30 * time.Second}
	saved := map[string][]byte{}
	save := func(d *Decide, full bool) {
		d.Save(full, func(k, v []byte) {
			if v == nil {
				delete(saved, string(k))
			} else {
				saved[string(k)] = slices.Clone(v)
			}
		})
	}
	load := func(d *Decide) {
		t.Helper()
		if err := d.Load(func(yield func(k, v []byte) bool) {
			for k, v := range saved {
				if !yield([]byte(k), v) {
					return
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	load(first)
	many := backlog("a", "j", 12, t0.Add(-time.Hour))
	decide(t, first, &many)
	few := backlog("a", "k", 2, t0.Add(-time.Hour))
	decide(t, first, &few)
	save(first, false)
	if len(saved) != 14 {
		t.Fatalf("got %d keys, want 14", len(saved))
	}
	save(first, false)
	clear(saved)
	save(first, true)
	if len(saved) != 14 {
		t.Fatalf("got %d keys of a full checkpoint, want 14", len(saved))
	}
	second := &Decide{Jails: jails, Now: clock, Notice: 30 * time.Second}
	load(second)
	if got := decide(t, second, &Batch{}); len(got) != 2 || len(second.Pending()) != 1 {
		t.Errorf("got %q and %v pending, want the few of k banned, and j to say it again", got, second.Pending())
	}
	save(second, false)
	now = now.Add(30 * time.Second)
	if got := decide(t, second, &Batch{}); len(got) != 12 {
		t.Errorf("got %q, want the twelve", got)
	}
	for _, c := range []struct {
		name string
		jail Jail
		want string
	}{
		{"observes now", Jail{MaxRetry: 1, BanTime: 2 * time.Hour, Observe: true}, "observed"},
		{"ignores them now", Jail{MaxRetry: 1, Ignore: prefixes("192.0.2.0/24")}, ""},
	} {
		d := &Decide{Jails: map[string]Jail{"j": c.jail}, Now: clock, Notice: 30 * time.Second}
		load(d)
		got := decide(t, d, &Batch{})
		now = now.Add(30 * time.Second)
		for _, line := range append(got, decide(t, d, &Batch{})...) {
			if strings.Contains(line, " j ") && (c.want == "" || !strings.HasSuffix(line, c.want)) {
				t.Errorf("%s: got %q", c.name, line)
			}
		}
	}
	save(second, false)
	for k := range saved {
		if strings.HasPrefix(k, firstPrefix) {
			t.Errorf("got %q in the state, want nothing held back", k)
		}
	}
	for _, damaged := range []string{"j", "j\x00short", strings.Repeat("x", 20)} {
		if err := (&Decide{Jails: jails}).Load(func(yield func(k, v []byte) bool) { yield([]byte(firstPrefix+damaged), []byte{1}) }); err == nil {
			t.Errorf("%q: got no error", damaged)
		}
	}
}

// TestFirstStartRun: the sources say which lines are old; a second start has none.
func TestFirstStartRun(t *testing.T) {
	store := &MemStore{}
	run := func(all []string) (banned []string) {
		synctest.Test(t, func(t *testing.T) {
			sink := &fakeSink{name: "s"}
			src := &lines{name: "a", all: all, at: func(int) time.Time { return time.Now().Add(-time.Minute) }, hang: true}
			jails := map[string]Jail{"j": {MaxRetry: 1, BanTime: time.Hour}}
			p := &Pipeline{
				Sources: []Source{src}, Stages: []Stage{hits(200), &Window{Jails: jails}, &Decide{Jails: jails, Notice: 30 * time.Second}},
				Outputs: []Output{{Sink: sink}}, Store: store,
			}
			done := make(chan error)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { done <- p.Run(ctx) }()
			for _, s := range []time.Duration{time.Second, firstGather + 10*time.Second, 30 * time.Second} {
				time.Sleep(s)
				synctest.Wait()
				banned = append(banned, fmt.Sprint(len(sink.all())))
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return banned
	}
	if got, want := run(numbered(20)), []string{"0", "0", "20"}; !slices.Equal(got, want) {
		t.Errorf("first start: got %q bans, want %q", got, want)
	}
	if got, want := run(numbered(40)), []string{"40", "40", "40"}; !slices.Equal(got, want) {
		t.Errorf("second start: got %q bans, 20 restored, want %q", got, want)
	}
}

// The slow twin: a Decide that bans at once. Whatever comes, in the end both have the same bans with the same ends, also
// over restarts in between; nobody is banned for old lines of a jail that would ban more than ten before it has been said.
func FuzzFirstStart(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 11))
		now := t0
		clock := func() time.Time { return now }
		jails := map[string]Jail{
			"j": {MaxRetry: 1, BanTime: 48 * time.Hour, Prefix6: 64}, "k": {MaxRetry: 1, BanTime: -1}, "watch": {MaxRetry: 1, BanTime: 48 * time.Hour, Observe: true},
		}
		names := []string{"j", "k", "watch"}
		store, twinStore := map[string][]byte{}, map[string][]byte{}
		restart := func(d *Decide, saved map[string][]byte, notice time.Duration) *Decide {
			if d != nil {
				full := r.IntN(2) == 0
				if full {
					clear(saved)
				}
				d.Save(full, func(k, v []byte) {
					if saved[string(k)] = slices.Clone(v); v == nil {
						delete(saved, string(k))
					}
				})
			}
			next := &Decide{Jails: jails, Now: clock, Notice: notice}
			if err := next.Load(func(yield func(k, v []byte) bool) {
				for k, v := range saved {
					if !yield([]byte(k), v) {
						return
					}
				}
			}); err != nil {
				t.Fatal(err)
			}
			return next
		}
		d, twin := restart(nil, store, 30*time.Second), restart(nil, twinStore, 0)
		people := 5 + r.IntN(30)
		send := func(b Batch) {
			other := b
			other.Records, other.Actions = slices.Clone(b.Records), slices.Clone(b.Actions)
			decide(t, d, &b)
			decide(t, twin, &other)
		}
		reading := true
		for range 60 {
			now = now.Add(time.Duration(r.IntN(3)) * time.Second)
			b := Batch{Source: "a", Backlog: reading}
			for range r.IntN(12) {
				addr := fmt.Sprintf("192.0.2.%d", 1+r.IntN(people))
				if r.IntN(4) == 0 {
					addr = fmt.Sprintf("2001:db8:0:%d::%d", r.IntN(people), r.IntN(3))
				}
				at := t0.Add(-time.Duration(r.IntN(24*60)) * time.Minute)
				if r.IntN(5) == 0 || !reading {
					at = now
				}
				b.Records = append(b.Records, offence(names[r.IntN(3)], addr, 1, at))
			}
			if r.IntN(40) == 0 {
				b.Actions = append(b.Actions, Action{Op: Unban, Prefix: hostPrefix(netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", 1+r.IntN(people))))})
			}
			send(b)
			if r.IntN(15) == 0 {
				d, twin = restart(d, store, 30*time.Second), restart(twin, twinStore, 0)
			}
			reading = reading && r.IntN(20) > 0
		}
		for range 20 {
			now = now.Add(firstGather)
			send(Batch{Source: "a", Live: true})
		}
		if len(d.live) != len(twin.live) || len(d.Pending()) > 0 {
			t.Fatalf("got %d bans and %v pending, want %d", len(d.live), d.Pending(), len(twin.live))
		}
		for k, want := range twin.live {
			if got, ok := d.live[k]; !ok || !got.until.Equal(want.until) || got.observe != want.observe {
				t.Errorf("%v: got until %v, %v, want %v", k, got.until, ok, want.until)
			}
		}
	})
}
