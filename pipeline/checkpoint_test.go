package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// attack is a stream in which addresses offend at random, some often enough.
func attack(n int) []string {
	rnd := rand.New(rand.NewPCG(7, 7))
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("192.0.%d.%d", 2+rnd.IntN(2), rnd.IntN(200))
	}
	return all
}

// Rule 9: a run that is cut anywhere and resumed from its last checkpoint bans exactly what an uncut one bans. Cut
// means killed: what the stages knew and the store did not is gone.
func TestCutAndResume(t *testing.T) {
	const n = 5_000
	at := func(i int) time.Time { return t0.Add(time.Duration(i) * time.Second) }
	jails := map[string]Jail{"j": {MaxRetry: 3, FindTime: 5 * time.Minute, BanTime: time.Hour}}
	run := func(store Store, cut int) (banned []string) {
		synctest.Test(t, func(t *testing.T) {
			ctx, kill := context.WithCancel(t.Context())
			defer kill()
			sink := &fakeSink{name: "s"}
			src := &lines{name: "a", all: attack(n), at: at, batch: 13}
			seen := 0
			die := StageFunc(func(_ context.Context, b *Batch) error {
				time.Sleep(10 * time.Millisecond) // so that checkpoints come in between
				if seen += len(b.Records); cut > 0 && seen >= cut {
					return errTest
				}
				return nil
			})
			p := &Pipeline{
				Sources: []Source{src},
				Stages: []Stage{
					Concurrent(3, func() Stage { return hits(200) }), &Window{Jails: jails, Now: func() time.Time { return at(n) }}, die,
					&Decide{Jails: jails, Now: func() time.Time { return t0 }},
				},
				Outputs: []Output{{Sink: sink}},
				Store:   store, CheckpointEvery: 200 * time.Millisecond,
				Now: func() time.Time { return t0 },
			}
			err := p.Run(ctx)
			if (cut > 0) != errors.Is(err, errTest) {
				t.Fatalf("got %v, cut at %d", err, cut)
			}
			for _, a := range sink.all() {
				banned = append(banned, a.Prefix.String()+" until "+a.Until.Format(time.RFC3339))
			}
		})
		return banned
	}
	want := run(nil, 0)
	if len(want) < 100 {
		t.Fatalf("got %d bans in the uncut run, want many", len(want))
	}
	for _, cut := range []int{1, 100, 511, 513, 3_000, 4_999} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			store := &MemStore{}
			got := run(store, cut)
			got = append(got, run(store, 0)...)
			if a, b := distinct(want), distinct(got); !slices.Equal(a, b) {
				t.Errorf("got %d different bans, want %d", len(b), len(a))
			}
		})
	}
	t.Run("again and again", func(t *testing.T) {
		store := &MemStore{}
		var got []string
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 20 {
			got = append(got, run(store, 1+rnd.IntN(600))...)
		}
		got = append(got, run(store, 0)...)
		if a, b := distinct(want), distinct(got); !slices.Equal(a, b) {
			t.Errorf("got %d different bans, want %d", len(b), len(a))
		}
	})
}

func distinct(s []string) []string {
	set := make(map[string]bool)
	for _, x := range s {
		set[x] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// After a failed commit the next checkpoint is full, and the stream has not noticed.
func TestFullAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{err: errTest}
		jails := map[string]Jail{"j": {}}
		w := &Window{Jails: jails}
		heal := StageFunc(func(_ context.Context, b *Batch) error {
			for _, r := range b.Records {
				time.Sleep(time.Second)
				if string(r.Line) == "50" {
					store.set(nil)
				}
			}
			return nil
		})
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: numbered(100), batch: 1}},
			Stages:  []Stage{heal, hits(100), w},
			Store:   store,
		})
		good := slices.IndexFunc(store.commits, func(c Checkpoint) bool { return c.Full })
		if good < 1 || store.commits[0].Full {
			t.Fatalf("got the first full checkpoint as number %d, want a later one", good)
		}
		var k int
		store.Load("window", func(saved iter.Seq2[[]byte, []byte]) error {
			for range saved {
				k++
			}
			return nil
		})
		if k != 100 {
			t.Errorf("got %d saved windows, want 100", k)
		}
	})
}

// A slow commit holds up nobody; what comes meanwhile is merged.
func TestSlowCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var last time.Duration
		store := &brokenStore{slow: func() { time.Sleep(time.Minute) }}
		c := collect{seen: func(string) { last = time.Since(start) }}
		tick := StageFunc(func(_ context.Context, b *Batch) error { time.Sleep(100 * time.Millisecond); return nil })
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: numbered(300), batch: 1}},
			Stages:  []Stage{tick, hits(20), &Window{Jails: map[string]Jail{"j": {}}}, &c},
			Store:   store,
		})
		if last > 35*time.Second {
			t.Errorf("got the last line after %v, want 30 s", last)
		}
		if n := len(store.commits); n != 2 {
			t.Errorf("got %d commits, want 2: the first, and the rest as one", n)
		}
	})
}

// Do is durable before it answers, and says what was refused.
func TestDo(t *testing.T) {
	until := time.Now().Add(time.Hour)
	for _, c := range []struct {
		name   string
		action Action
		broken bool
		want   string // part of the error; "" none
		saved  int
	}{
		{"a ban", ban("192.0.2.7/32", Manual, until), false, "", 1},
		{"loopback", ban("127.0.0.1/32", Manual, until), false, "never banned", 0},
		{"a net around an ignored host", ban("198.51.100.0/24", Manual, until), false, "ignoreip", 0},
		{"an own address", ban("203.0.113.5/32", Manual, until), false, "own address", 0},
		{"an end in the past", ban("192.0.2.7/32", Manual, time.Unix(1, 0)), false, "past", 0},
		{"a store that fails", ban("192.0.2.7/32", Manual, until), true, "could not be saved", 0},
		{"an unban of nobody", unban("192.0.2.7/32", ""), false, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &brokenStore{}
				if c.broken {
					store.err = errTest
				}
				p := controlled(store)
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- p.Run(ctx) }()
				synctest.Wait()
				err := p.Do(ctx, c.action)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if n := len(store.saved["decide"]); n != c.saved {
					t.Errorf("got %d saved bans at the time of the answer, want %d", n, c.saved)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if err := p.Do(t.Context(), c.action); !errors.Is(err, ErrNotRunning) {
					t.Errorf("after the end: got %v, want ErrNotRunning", err)
				}
			})
		})
	}
}

func controlled(store Store) *Pipeline {
	jails := map[string]Jail{"j": {Ignore: prefixes("198.51.100.7/32")}}
	return &Pipeline{
		Sources: []Source{&lines{name: "a", hang: true}},
		Stages:  []Stage{&Window{Jails: jails}, &Decide{Jails: jails, Own: func() []prefix { return prefixes("203.0.113.5/32") }}},
		Store:   store,
	}
}

// A ban by hand is in the store and in the sinks, also of the next run.
func TestBansOutliveARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &MemStore{}
		until := time.Now().Add(time.Hour)
		p := controlled(store)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		if err := p.Do(ctx, ban("192.0.2.7/32", Manual, until), ban("192.0.2.8/32", Manual, time.Now().Add(time.Minute))); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-ended

		time.Sleep(10 * time.Minute) // the second ban ends meanwhile
		sink := &keeper{fakeSink: fakeSink{name: "k"}, flushed: make(chan struct{})}
		p = controlled(store)
		p.Outputs = []Output{{Sink: sink}}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if a, ok := sink.holds("192.0.2.7/32"); !ok || !a.Until.Equal(until.Truncate(time.Microsecond)) || len(sink.held) != 1 {
			t.Errorf("got %v, want the one ban that is left, until %v", sink.held, until)
		}
	})
}

// adopter is a keeper that an earlier run has left bans in.
type adopter struct {
	keeper
	left []Action
	err  error
}

func (a *adopter) Held(context.Context) ([]Action, error) { return a.left, a.err }

// Without a state, what the back end holds is taken over, not wiped; with one, the state decides.
func TestAdoption(t *testing.T) {
	never := time.Time{}
	run := func(t *testing.T, store Store, sink *adopter) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p := controlled(store)
		p.Outputs = []Output{{Sink: sink, Jails: []string{"j"}}} // the jail of a ban that is taken over is nobody's
		return p.Run(ctx)
	}
	newSink := func(err error) *adopter {
		return &adopter{
			keeper{fakeSink: fakeSink{name: "a"}, flushed: make(chan struct{})},
			[]Action{ban("192.0.2.7/32", "restored", never), ban("198.51.100.7/32", "restored", never)},
			err,
		}
	}
	t.Run("nothing saved", func(t *testing.T) {
		sink := newSink(nil)
		if err := run(t, &MemStore{}, sink); err != nil {
			t.Fatal(err)
		}
		if _, ok := sink.holds("192.0.2.7/32"); !ok || len(sink.held) != 1 {
			t.Errorf("got %v, want the held ban without the one that ignoreip names", sink.held)
		}
	})
	t.Run("a state", func(t *testing.T) {
		store := &MemStore{}
		store.Commit(t.Context(), &Checkpoint{Changes: []Change{{Owner: Cursors, Key: []byte("a"), Value: make([]byte, 8)}}})
		sink := newSink(nil)
		if err := run(t, store, sink); err != nil {
			t.Fatal(err)
		}
		if len(sink.held) != 0 {
			t.Errorf("got %v, want what the state has: nothing", sink.held)
		}
	})
	t.Run("not readable", func(t *testing.T) {
		sink := newSink(errTest)
		if err := run(t, &MemStore{}, sink); !errors.Is(err, errTest) || sink.syncs.Load() != 0 {
			t.Errorf("got %v and %d syncs, want the error and none", err, sink.syncs.Load())
		}
	})
}

// A ban that two back ends hold is taken over once, with the jail that one of them knows; unless the other's is longer.
func TestAdoptionFromTwo(t *testing.T) {
	at := func(minutes int) time.Time { return time.Now().Add(time.Duration(minutes) * time.Minute) }
	kernel := &adopter{keeper: keeper{fakeSink: fakeSink{name: "kernel"}, flushed: make(chan struct{})}, left: []Action{
		ban("192.0.2.7/32", RestoredJail, at(10)), ban("192.0.2.8/32", RestoredJail, at(20)), ban("192.0.2.9/32", RestoredJail, at(10)), ban("192.0.2.10/32", RestoredJail, at(10)),
	}}
	program := &adopter{keeper: keeper{fakeSink: fakeSink{name: "program"}, flushed: make(chan struct{})}, left: []Action{
		ban("192.0.2.7/32", "j", at(10)), ban("192.0.2.8/32", "j", at(10)), ban("192.0.2.10/32", "j", time.Time{}),
	}}
	p := &Pipeline{Sources: []Source{&lines{name: "none", hang: true}}, Stages: []Stage{&Decide{}}, Outputs: []Output{{Sink: kernel}, {Sink: program}}, Store: &MemStore{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for p.Do(ctx) == ErrNotRunning {
	}
	var got []string
	for a := range p.Live() {
		got = append(got, a.Prefix.Addr().String()+" "+a.Jail)
	}
	slices.Sort(got)
	if want := []string{"192.0.2.10 j", "192.0.2.7 j", "192.0.2.8 j", "192.0.2.8 restored", "192.0.2.9 restored"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestStateThatCannotBeLoaded(t *testing.T) {
	store := &MemStore{}
	store.Commit(t.Context(), &Checkpoint{Changes: []Change{{Owner: "decide", Key: []byte("x"), Value: []byte("y")}}})
	err := controlled(store).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "load the state of decide") {
		t.Errorf("got %v, want whose state it was", err)
	}
}

func TestOneRunAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := controlled(nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		if err := p.Run(ctx); err == nil {
			t.Error("got no error from a second Run beside the first")
		}
		cancel()
		<-ended
	})
}

// The history has every ban with the lines that led to it, also those of a time when nothing could be saved.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{err: errTest}
		jails := map[string]Jail{"j": {MaxRetry: 2, BanTime: -1}}
		heal := StageFunc(func(_ context.Context, b *Batch) error {
			if time.Sleep(5 * time.Second); len(b.Records) > 0 && string(b.Records[0].Line) == "192.0.2.2" {
				store.set(nil)
			}
			return nil
		})
		all := []string{"192.0.2.1", "192.0.2.9", "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3", "192.0.2.3"}
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: all, batch: 1}},
			Stages:  []Stage{heal, hits(1), &Window{Jails: jails, Now: func() time.Time { return t0 }}, &Decide{Jails: jails}},
			Store:   store,
		})
		var got []string
		for _, e := range store.events {
			got = append(got, e.Action.Prefix.Addr().String()+" "+strings.Join(e.Lines, ","))
		}
		want := []string{"192.0.2.1 192.0.2.1,192.0.2.1", "192.0.2.2 192.0.2.2,192.0.2.2", "192.0.2.3 192.0.2.3,192.0.2.3"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A departing source reads a line of a log, says that it is gone, and reads another log.
type departing struct{ read int }

func (d *departing) Name() string { return "logs" }

func (d *departing) Read(_ context.Context, b *Batch) error {
	d.read++
	switch d.read {
	case 1:
		b.Source, b.Cursor = "old", append(b.Cursor, "end"...)
		b.Append([]byte("0"), t0)
	case 2:
		b.Source, b.Gone = "old", true
	case 3:
		b.Source, b.Cursor = "new", append(b.Cursor, "end"...)
		b.Append([]byte("1"), t0)
	default:
		return io.EOF
	}
	return nil
}

// The cursor of a log that is gone is deleted from the store, one saved by an earlier run too.
func TestCursorOfALogThatIsGone(t *testing.T) {
	store := &MemStore{}
	store.Commit(t.Context(), &Checkpoint{Changes: []Change{{Owner: Cursors, Key: []byte("old"), Value: []byte("earlier")}}})
	p := &Pipeline{Sources: []Source{&departing{}}, Store: store}
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	store.Load(Cursors, func(saved iter.Seq2[[]byte, []byte]) error {
		for k, v := range saved {
			got[string(k)] = string(v)
		}
		return nil
	})
	if len(got) != 1 || got["new"] != "end" {
		t.Errorf("got cursors %q, want that of the new log alone", got)
	}
}
