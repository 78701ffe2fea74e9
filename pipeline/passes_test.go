package pipeline

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func byHand(op Op, p string, until time.Time) *Batch {
	a := Action{Op: op, Jail: Manual, Until: until}
	if p != "" {
		a.Prefix = netip.MustParsePrefix(p)
	}
	return &Batch{Actions: []Action{a}}
}

// What is allowed is let go at once and not banned again, and a restart changes nothing of it.
func TestPassesOutliveARestart(t *testing.T) {
	now := t0
	fresh := func() *Decide {
		return &Decide{Jails: map[string]Jail{"j": {MaxRetry: 1, BanTime: time.Hour}}, Now: func() time.Time { return now }}
	}
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprintf("full %v", full), func(t *testing.T) {
			now = t0
			d := fresh()
			if err := d.Load(func(func(k, v []byte) bool) {}); err != nil {
				t.Fatal(err)
			}
			expect := func(d *Decide, b *Batch, want ...string) {
				t.Helper()
				got := decide(t, d, b)
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			}
			hit := func(addr string) *Batch { return &Batch{Records: []Record{offence("j", addr, 1, now)}} }
			expect(d, hit("192.0.2.7"), "ban 192.0.2.7/32 j for 1h0m0s")
			expect(d, byHand(Allow, "::ffff:192.0.2.7/128", t0.Add(30*time.Minute)), "unban 192.0.2.7/32 j", "allow 192.0.2.7/32 manual")
			expect(d, byHand(Allow, "2001:db8::7/128", time.Time{}), "allow 2001:db8::7/128 manual")
			expect(d, byHand(Pause, "", t0.Add(10*time.Minute)), "pause invalid Prefix manual")
			expect(d, hit("192.0.2.7"))
			if d.Live("j") != 0 {
				t.Errorf("got %d live bans, want none", d.Live("j"))
			}

			saved := map[string][]byte{}
			d.Save(full, func(k, v []byte) { saved[string(k)] = slices.Clone(v) })
			again := fresh()
			if err := again.Load(func(yield func(k, v []byte) bool) {
				for k, v := range saved {
					if v != nil && !yield([]byte(k), v) {
						return
					}
				}
			}); err != nil {
				t.Fatal(err)
			}
			expect(again, &Batch{}, "allow 192.0.2.7/32 manual", "allow 2001:db8::7/128 manual", "pause invalid Prefix manual")
			expect(again, hit("192.0.2.7"))
			now = t0.Add(31 * time.Minute)
			expect(again, hit("192.0.2.7"), "ban 192.0.2.7/32 j for 1h31m0s")
			expect(again, hit("2001:db8::7"))
			expect(again, byHand(Disallow, "2001:db8::7/128", time.Time{}), "disallow 2001:db8::7/128 manual")
			expect(again, hit("2001:db8::7"), "ban 2001:db8::7/128 j for 1h31m0s")
		})
	}
}

func TestPassesRefused(t *testing.T) {
	d := &Decide{Now: func() time.Time { return t0 }}
	for _, b := range []*Batch{
		byHand(Allow, "192.0.2.0/24", time.Time{}),
		byHand(Allow, "192.0.2.7/32", t0.Add(-time.Second)),
		byHand(Pause, "", time.Time{}),
		byHand(Pause, "", t0),
		byHand(Disallow, "", time.Time{}),
	} {
		t.Run(fmt.Sprint(b.Actions[0]), func(t *testing.T) {
			if got := decide(t, d, b); len(got) != 0 || len(b.fails) != 1 {
				t.Errorf("got %q and %v, want a refusal", got, b.fails)
			}
		})
	}
}

// A gateSink is a fakeSink that lets packets through.
type gateSink struct {
	fakeSink
	left []Action // of an earlier run
}

func (g *gateSink) Passing(context.Context) ([]Action, error) { return g.left, nil }

// Without a state, whom the back end lets through is taken over, as its bans are.
func TestPassesAreAdopted(t *testing.T) {
	end := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	gate := &gateSink{fakeSink: fakeSink{name: "gate"}, left: []Action{
		{Op: Allow, Prefix: netip.MustParsePrefix("192.0.2.7/32"), Until: end}, {Op: Pause, Until: end},
	}}
	store := &MemStore{}
	p := &Pipeline{
		Sources: []Source{&lines{name: "none", hang: true}},
		Stages:  []Stage{&Window{}, &Decide{}},
		Outputs: []Output{{Sink: gate}},
		Store:   store,
	}
	for range 2 { // the second time the state has them
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		err := ErrNotRunning
		for err == ErrNotRunning {
			err = p.Do(t.Context(), byHand(Ban, "192.0.2.7/32", end).Actions...)
		}
		if s := p.Snapshot(); err == nil || !s.Paused.Equal(end) || s.Allowed != 1 {
			t.Errorf("got %v and %+v, want one who is allowed and a pause", err, s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		gate.left = nil
	}
}

func ops(actions []Action) (all []Op) {
	for _, a := range actions {
		all = append(all, a.Op)
	}
	return all
}

// Only a Gate sees what lets packets through, and when it starts, too.
func TestGate(t *testing.T) {
	plain, gate := &fakeSink{name: "plain"}, &gateSink{fakeSink: fakeSink{name: "gate"}}
	p := &Pipeline{
		Sources: []Source{&lines{name: "none", hang: true}},
		Stages:  []Stage{&Window{}, &Decide{}},
		Outputs: []Output{{Sink: plain}, {Sink: gate}},
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- p.Run(ctx) }()
	for p.Do(t.Context(), byHand(Pause, "", time.Now().Add(time.Hour)).Actions...) == ErrNotRunning {
	}
	for _, b := range []*Batch{byHand(Allow, "192.0.2.7/32", time.Time{}), byHand(Ban, "192.0.2.8/32", time.Time{}), byHand(Disallow, "192.0.2.7/32", time.Time{}), byHand(Resume, "", time.Time{})} {
		if err := p.Do(t.Context(), b.Actions...); err != nil {
			t.Fatal(err)
		}
	}
	if s := p.Snapshot(); !s.Paused.IsZero() || s.Allowed != 0 || len(s.Jails) != 1 || s.Jails[0].Live != 1 {
		t.Errorf("got %+v, want one ban by hand", s)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := ops(plain.all()); !slices.Equal(got, []Op{Ban}) {
		t.Errorf("plain: got %v, want the ban", got)
	}
	if got := ops(gate.all()); !slices.Contains(got, Disallow) || !slices.Contains(got, Resume) {
		t.Errorf("gate: got %v, want all", got)
	}
}

// A Keeper that cannot let packets through holds nothing for the time of a pause, over a restart too, and gets all back
// afterwards: what was banned before it and within, less what was lifted.
func TestPauseOfAKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{fakeSink: fakeSink{name: "k"}, flushed: make(chan struct{})}
		p := &Pipeline{
			Sources: []Source{&lines{name: "none", hang: true}},
			Stages:  []Stage{&Window{}, &Decide{}},
			Outputs: []Output{{Sink: k}},
			Store:   &MemStore{},
		}
		var cancel func()
		done := make(chan error, 1)
		run := func() {
			var ctx context.Context
			ctx, cancel = context.WithCancel(t.Context())
			go func() { done <- p.Run(ctx) }()
			synctest.Wait()
		}
		do := func(op Op, addr string, until time.Time) {
			t.Helper()
			if err := p.Do(t.Context(), byHand(op, addr, until).Actions...); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		holds := func(when string, want ...string) {
			t.Helper()
			var got []string
			k.mu.Lock()
			for _, a := range k.held {
				got = append(got, a.Prefix.Addr().String())
			}
			k.mu.Unlock()
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", when, got, want)
			}
		}
		run()
		do(Ban, "192.0.2.1/32", time.Time{})
		do(Ban, "192.0.2.2/32", time.Time{})
		do(Pause, "", time.Now().Add(time.Hour))
		holds("paused")
		do(Ban, "192.0.2.3/32", time.Time{})
		do(Unban, "192.0.2.1/32", time.Time{})
		holds("banned within")
		k.flushed <- struct{}{}
		synctest.Wait()
		holds("somebody has changed it")
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		run()
		holds("after a restart")
		time.Sleep(61 * time.Minute)
		synctest.Wait()
		holds("over by itself", "192.0.2.2", "192.0.2.3")
		do(Pause, "", time.Now().Add(time.Hour))
		holds("paused again")
		do(Resume, "", time.Time{})
		holds("resumed", "192.0.2.2", "192.0.2.3")
		do(Ban, "192.0.2.4/32", time.Time{})
		holds("as ever", "192.0.2.2", "192.0.2.3", "192.0.2.4")
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// A pause that ends while the sink is still lifting its bans is followed by all of them.
func TestPauseOverWhileLifting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{fakeSink: fakeSink{name: "k"}, flushed: make(chan struct{})}
		k.apply = func(_ int, actions []Action) error {
			time.Sleep(time.Minute)
			return nil
		}
		p := &Pipeline{Sources: []Source{&lines{name: "none", hang: true}}, Stages: []Stage{&Window{}, &Decide{}}, Outputs: []Output{{Sink: k}}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		for _, b := range []*Batch{byHand(Ban, "192.0.2.1/32", time.Time{}), byHand(Pause, "", time.Now().Add(time.Second))} {
			if err := p.Do(t.Context(), b.Actions...); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if a, ok := k.holds("192.0.2.1/32"); !ok {
			t.Errorf("got %v, want the ban back", a)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// A back end whose bans cannot be ended keeps them in a pause, and says so.
func TestPauseOfWhatCannotLift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &stuck{keeper{fakeSink: fakeSink{name: "k"}, flushed: make(chan struct{})}}
		p := &Pipeline{Sources: []Source{&lines{name: "none", hang: true}}, Stages: []Stage{&Window{}, &Decide{}}, Outputs: []Output{{Sink: k}}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		for _, b := range []*Batch{byHand(Ban, "192.0.2.1/32", time.Time{}), byHand(Pause, "", time.Now().Add(time.Hour))} {
			if err := p.Do(t.Context(), b.Actions...); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if _, ok := k.holds("192.0.2.1/32"); !ok || p.Snapshot().Sinks[0].Lifts {
			t.Errorf("got %v and %+v, want the ban to stay", k.held, p.Snapshot().Sinks)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

type stuck struct{ keeper }

func (*stuck) Lifts() bool { return false }
