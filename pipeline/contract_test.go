package pipeline

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Rule 1: what a stage was given is not touched by anybody else until it returns.
func TestOwnership(t *testing.T) {
	var c collect
	scribble := StageFunc(func(_ context.Context, b *Batch) error {
		for i := range b.Records {
			for j := range b.Records[i].Line {
				b.Records[i].Line[j] = 'x'
			}
		}
		return nil
	})
	mustRun(t, &Pipeline{
		Sources: []Source{&lines{name: "a", all: numbered(20_000)}},
		Stages:  []Stage{&c, scribble},
	})
	wantLines(t, c.lines, numbered(20_000))
}

// Rule 2: a lone line leaves at once, and batches are bounded.
func TestBatching(t *testing.T) {
	t.Run("a lone line leaves at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			c := collect{seen: func(string) { cancel() }}
			start := time.Now()
			p := &Pipeline{Sources: []Source{&lines{name: "a", all: numbered(1), hang: true}}, Stages: []Stage{&c}}
			if err := p.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != 0 {
				t.Errorf("got %v, want at once", took)
			}
		})
	})
	t.Run("512 records", func(t *testing.T) {
		b := &Batch{}
		for !b.Full() {
			b.Append([]byte("x"), t0)
		}
		if len(b.Records) != 512 {
			t.Errorf("got %d records, want 512", len(b.Records))
		}
	})
	t.Run("64 KiB", func(t *testing.T) {
		b := &Batch{}
		for !b.Full() {
			b.Append(make([]byte, 1000), t0)
		}
		if len(b.Records) != 66 {
			t.Errorf("got %d records, want 66", len(b.Records))
		}
	})
}

// Rule 3: when a stage stands still, the source is soon not read any more, and nothing is dropped.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &lines{name: "a", all: numbered(5_000), batch: 1}
		var c collect
		gate := make(chan struct{})
		stop := StageFunc(func(context.Context, *Batch) error { <-gate; return nil })
		go func() {
			gate <- struct{}{} // the batch at the start
			time.Sleep(time.Hour)
			if n := src.reads.Load(); n > 2*depth {
				t.Errorf("got %d reads before a blocked stage, want no more than the channel holds", n)
			}
			close(gate)
		}()
		mustRun(t, &Pipeline{Sources: []Source{src}, Stages: []Stage{stop, &c}})
		wantLines(t, c.lines, numbered(5_000))
	})
}

// Rule 4: a busy source and a quiet one alternate.
func TestFairness(t *testing.T) {
	var order []string
	note := StageFunc(func(_ context.Context, b *Batch) error {
		if len(b.Records) > 0 {
			order = append(order, b.Source)
		}
		time.Sleep(time.Millisecond)
		return nil
	})
	synctest.Test(t, func(t *testing.T) {
		mustRun(t, &Pipeline{
			Sources: []Source{
				&lines{name: "busy", all: numbered(1_000), batch: 1},
				&lines{name: "quiet", all: numbered(20), batch: 1},
			},
			Stages: []Stage{note},
		})
	})
	last := len(order) - 1 - slices.Index(reversed(order), "quiet")
	if last > 100 {
		t.Errorf("got the 20th quiet line as number %d, want it among the first 100", last)
	}
}

func reversed(s []string) []string { s = slices.Clone(s); slices.Reverse(s); return s }

// Rule 5: order holds through concurrent stages of uneven speed.
func TestOrder(t *testing.T) {
	var c collect
	uneven := func() Stage {
		return StageFunc(func(_ context.Context, b *Batch) error {
			time.Sleep(rand.N(time.Second))
			return nil
		})
	}
	synctest.Test(t, func(t *testing.T) {
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: numbered(100_000), batch: 100}},
			Stages:  []Stage{Concurrent(4, uneven), Concurrent(3, uneven), &c},
		})
	})
	wantLines(t, c.lines, numbered(100_000))
}

// A Concurrent stage works on n batches at once.
func TestConcurrentIsConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := func() Stage {
			return StageFunc(func(_ context.Context, b *Batch) error { time.Sleep(time.Second); return nil })
		}
		start := time.Now()
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: numbered(100), batch: 1}},
			Stages:  []Stage{Concurrent(4, second)},
		})
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("got %v for 100 batches of 1 s, want a quarter", took)
		}
	})
}

// tally counts records; every checkpoint that it fills says how many it had seen.
type tally struct {
	name string
	n    int
}

func (s *tally) Name() string                              { return s.name }
func (s *tally) Load(iter.Seq2[[]byte, []byte]) error      { return nil }
func (s *tally) Process(_ context.Context, b *Batch) error { s.n += len(b.Records); return nil }
func (s *tally) Save(_ bool, put func(key, value []byte)) {
	put([]byte("n"), []byte(strconv.Itoa(s.n)))
}

// Rules 5 and 9: a checkpoint describes one moment. Two stateful stages with a concurrent one between them
// and the cursor agree in every checkpoint.
func TestCheckpointIsOneMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &brokenStore{}
		slow := func() Stage {
			return StageFunc(func(context.Context, *Batch) error { time.Sleep(rand.N(50 * time.Millisecond)); return nil })
		}
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: numbered(20_000), batch: 7}},
			Stages:  []Stage{&tally{name: "front"}, Concurrent(4, slow), &tally{name: "back"}},
			Store:   store, CheckpointEvery: 100 * time.Millisecond,
		})
		if len(store.commits) < 20 {
			t.Fatalf("got %d checkpoints, want many", len(store.commits))
		}
		for i, c := range store.commits {
			var front, back, cursor string
			for _, ch := range c.Changes {
				switch ch.Owner {
				case "front":
					front = string(ch.Value)
				case "back":
					back = string(ch.Value)
				case Cursors:
					cursor = strconv.Itoa(int(ch.Value[6])<<8 | int(ch.Value[7]))
				}
			}
			if front != back || cursor != "" && cursor != front {
				t.Fatalf("checkpoint %d: front %s, back %s, cursor %s: not one moment", i, front, back, cursor)
			}
		}
	})
}

// Rule 6: what was read when ctx ends still reaches the end.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		src := &lines{name: "a", all: numbered(10_000), batch: 3}
		slow := StageFunc(func(_ context.Context, b *Batch) error { time.Sleep(10 * time.Millisecond); return nil })
		var c collect
		time.AfterFunc(time.Second, cancel)
		p := &Pipeline{Sources: []Source{src}, Stages: []Stage{slow, &c}}
		if err := p.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if src.next == 0 || src.next == 10_000 {
			t.Fatalf("got %d lines read, want the middle", src.next)
		}
		wantLines(t, c.lines, numbered(src.next))
	})
}

// Rule 6: the drain is bounded, also by a component that does not look at its context.
func TestDrainTimeout(t *testing.T) {
	for name, stage := range map[string]StageFunc{
		"a stage that waits for ctx": func(ctx context.Context, b *Batch) error {
			if len(b.Records) > 0 {
				<-ctx.Done()
			}
			return nil
		},
		"a stage that ignores ctx": func(_ context.Context, b *Batch) error {
			if len(b.Records) > 0 {
				time.Sleep(time.Hour)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				p := &Pipeline{Sources: []Source{&lines{name: "a", all: numbered(10), hang: true}}, Stages: []Stage{stage}, DrainTimeout: 5 * time.Second}
				err := p.Run(ctx)
				if took := time.Since(start); err == nil || took < 6*time.Second || took > 7*time.Second {
					t.Errorf("got %v after %v, want an error after 6 to 7 s", err, took)
				}
				time.Sleep(2 * time.Hour) // the stage that was left behind ends
			})
		})
	}
}

// Rule 7: the edges retry.
func TestSourceRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c collect
		start := time.Now()
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: numbered(100), batch: 10, fail: func(read int) error {
				if read >= 3 && read < 8 {
					return errTest
				}
				return nil
			}}},
			Stages: []Stage{&c},
		})
		wantLines(t, c.lines, numbered(100))
		if took := time.Since(start); took < 24*time.Second || took > 31*time.Second {
			t.Errorf("got five retries in %v, want 1+2+4+8+16 s less a fifth at most", took)
		}
	})
}

// Rule 7: lines that come with an error count.
func TestSourceReturnsLinesAndError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c collect
		n := 0
		src := sourceFunc(func(_ context.Context, b *Batch) error {
			if n++; n == 3 {
				return io.EOF
			}
			b.Append([]byte(strconv.Itoa(n-1)), t0)
			return errTest
		})
		mustRun(t, &Pipeline{Sources: []Source{src}, Stages: []Stage{&c}})
		wantLines(t, c.lines, numbered(2))
	})
}

type sourceFunc func(ctx context.Context, b *Batch) error

func (f sourceFunc) Name() string                             { return "func" }
func (f sourceFunc) Read(ctx context.Context, b *Batch) error { return f(ctx, b) }

// Rule 7: the middle is fatal, through a Concurrent stage as well.
func TestStageErrorEndsTheRun(t *testing.T) {
	bad := func() Stage {
		return StageFunc(func(_ context.Context, b *Batch) error {
			for _, r := range b.Records {
				if string(r.Line) == "700" {
					return errTest
				}
			}
			return nil
		})
	}
	for name, stage := range map[string]Stage{"plain": bad(), "concurrent": Concurrent(3, bad)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &Pipeline{Sources: []Source{&lines{name: "a", all: numbered(1_000), batch: 10, hang: true}}, Stages: []Stage{stage}}
				err := p.Run(t.Context())
				if err == nil || !strings.Contains(err.Error(), "stage 0") || !strings.Contains(err.Error(), errTest.Error()) {
					t.Errorf("got %v, want the stage and its error", err)
				}
			})
		})
	}
}

// Rule 7: a sink that fails is tried again and in the end holds everything.
func TestSinkRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{name: "flaky", apply: func(call int, _ []Action) error {
			if call < 4 {
				return errTest
			}
			return nil
		}}
		never := time.Time{}
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: []string{"1", "2"}, batch: 1}},
			Stages: []Stage{emit(map[string][]Action{
				"1": {ban("192.0.2.1/32", "j", never)},
				"2": {ban("192.0.2.2/32", "j", never)},
			})},
			Outputs: []Output{{Sink: sink}},
		})
		if len(sink.held) != 2 {
			t.Errorf("got %v, want both bans", sink.held)
		}
	})
}

// A sink that goes on failing after the end is given up after DrainTimeout, and Run says what is missing.
func TestSinkGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{name: "dead", apply: func(int, []Action) error { return errTest }}
		p := &Pipeline{
			Sources: []Source{&lines{name: "a", all: []string{"1"}}},
			Stages:  []Stage{emit(map[string][]Action{"1": {ban("192.0.2.1/32", "j", time.Time{})}})},
			Outputs: []Output{{Sink: sink}}, DrainTimeout: 5 * time.Second,
		}
		err := p.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "sink dead: 1 actions not delivered") {
			t.Errorf("got %v, want the sink and the number of actions", err)
		}
	})
}

// Rule 7: refused actions are not tried again, and hold up no others.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{name: "picky", apply: func(_ int, actions []Action) error {
			return &RefusedError{Actions: actions[:1], Err: errTest}
		}}
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: []string{"1"}}},
			Stages:  []Stage{emit(map[string][]Action{"1": {ban("192.0.2.1/32", "j", time.Time{})}})},
			Outputs: []Output{{Sink: sink}},
		})
		if len(sink.calls) != 1 {
			t.Errorf("got %d calls, want 1", len(sink.calls))
		}
	})
}

// Rule 8: a sink that hangs for an hour holds up neither the reading nor the other sinks.
func TestHungSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var lineAt, banAt time.Duration
		hung := &fakeSink{name: "hung", block: func(ctx context.Context) { sleep(ctx, time.Hour) }}
		good := &fakeSink{name: "good", block: func(context.Context) { banAt = time.Since(start) }}
		c := collect{seen: func(string) { lineAt = time.Since(start) }}
		many := make(map[string][]Action)
		for i := range 10_000 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)
			many[strconv.Itoa(i)] = []Action{{Op: Ban, Prefix: p, Jail: "j"}}
		}
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: numbered(10_000), batch: 10}},
			Stages:  []Stage{emit(many), &c},
			Outputs: []Output{{Sink: hung}, {Sink: good}},
		})
		if lineAt > 0 || banAt > 0 {
			t.Errorf("got the last line after %v and the last ban after %v, want both at once", lineAt, banAt)
		}
		if len(good.held) != 10_000 || len(hung.held) != 10_000 {
			t.Errorf("got %d and %d bans, want 10000 in both", len(good.held), len(hung.held))
		}
	})
}

// Rule 8: a burst during one Apply leaves as the next one, as its result.
func TestOutboxMergesABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(24 * time.Hour)
		busy := false
		sink := &fakeSink{name: "s", block: func(context.Context) {
			if !busy {
				busy = true
				time.Sleep(time.Minute)
			}
		}}
		many := map[string][]Action{}
		for i := range 5_000 {
			p := fmt.Sprintf("192.0.2.%d/32", i%100)
			many[strconv.Itoa(i)] = []Action{ban(p, "j", until.Add(time.Duration(i)*time.Second)), unban(p, "j"), ban(p, "j", until.Add(time.Duration(i)*time.Second))}
		}
		first := StageFunc(func(_ context.Context, b *Batch) error {
			if len(b.Records) > 0 {
				time.Sleep(time.Millisecond) // the first Apply begins
			}
			return nil
		})
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: numbered(5_000), batch: 1}},
			Stages:  []Stage{first, emit(many)},
			Outputs: []Output{{Sink: sink}},
		})
		if len(sink.calls) != 2 || len(sink.calls[1]) != 100 {
			t.Fatalf("got %d calls, want the first and one with the other 100 targets", len(sink.calls))
		}
		for _, a := range sink.calls[1] {
			if i := int(a.Prefix.Addr().As4()[3]); !a.Until.Equal(until.Add(time.Duration(4_900+i) * time.Second)) {
				t.Errorf("%v: got the end %v, want the last one put", a.Prefix, a.Until)
			}
		}
	})
}

// Rule 8: two jails hold one address. The longer end stands; lifting one leaves the other.
func TestTwoJailsOneAddress(t *testing.T) {
	const addr = "192.0.2.7/32"
	synctest.Test(t, func(t *testing.T) {
		short, long := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
		sink := &fakeSink{name: "s"}
		type step struct {
			do   Action
			want string // the end that the sink must hold
		}
		steps := []step{
			{ban(addr, "a", long), "long"},
			{ban(addr, "b", short), "long"},
			{unban(addr, "a"), "short"},
			{ban(addr, "a", long), "long"},
			{unban(addr, "b"), "long"},
			{ban(addr, "b", short), "long"},
			{ban(addr, "c", time.Time{}), "ever"},
			{unban(addr, "c"), "long"},
			{unban(addr, ""), "none"},
			{ban(addr, "a", short), "short"},
			{unban(addr, "b"), "short"}, // does not hold it
			{unban(addr, "a"), "none"},
		}
		script := map[string][]Action{}
		for i, s := range steps {
			script[strconv.Itoa(i)] = []Action{s.do}
		}
		verify := StageFunc(func(_ context.Context, b *Batch) error {
			for _, r := range b.Records {
				time.Sleep(time.Second) // what went before has been applied
				i, _ := strconv.Atoi(string(r.Line))
				if i == 0 {
					continue
				}
				got := "none"
				if a, ok := sink.holds(addr); ok {
					got = map[time.Time]string{short: "short", long: "long", {}: "ever"}[a.Until]
				}
				if s := steps[i-1]; got != s.want {
					t.Errorf("after step %d, %v by %s: got %s, want %s", i-1, s.do.Op, s.do.Jail, got, s.want)
				}
			}
			return nil
		})
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "x", all: numbered(len(steps) + 1), batch: 1}},
			Stages:  []Stage{verify, emit(script)},
			Outputs: []Output{{Sink: sink}},
		})
	})
}

// Outputs get the actions of their jails; bans by hand reach all, observed ones only who asks.
func TestOutputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, all, report := &fakeSink{name: "web"}, &fakeSink{name: "all"}, &fakeSink{name: "report"}
		observed := ban("192.0.2.4/32", "web", time.Time{})
		observed.Observe = true
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: []string{"1"}}},
			Stages: []Stage{emit(map[string][]Action{"1": {
				ban("192.0.2.1/32", "web", time.Time{}), ban("192.0.2.2/32", "sshd", time.Time{}), ban("192.0.2.3/32", Manual, time.Time{}), observed,
			}})},
			Outputs: []Output{{Sink: web, Jails: []string{"web"}}, {Sink: all}, {Sink: report, Jails: []string{}, Observe: true}},
		})
		for _, c := range []struct {
			sink *fakeSink
			want string
		}{{web, "1 3"}, {all, "1 2 3"}, {report, "3"}} {
			var got []string
			for _, a := range c.sink.all() {
				got = append(got, strconv.Itoa(int(a.Prefix.Addr().As4()[3])))
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s: got %s, want %s", c.sink.name, s, c.want)
			}
		}
	})
}

// keeper is a fakeSink whose back end others change.
type keeper struct {
	fakeSink
	flushed chan struct{}
	syncs   atomic.Int32
}

func (k *keeper) Sync(ctx context.Context, live iter.Seq[Action]) error {
	k.syncs.Add(1)
	k.mu.Lock()
	k.held = nil
	k.mu.Unlock()
	return k.fakeSink.Apply(ctx, slices.Collect(live))
}

func (k *keeper) Watch(ctx context.Context) error {
	select {
	case <-k.flushed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A Keeper is synchronised at the start, after a failure, and when somebody else changed its back end.
func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{fakeSink: fakeSink{name: "k"}, flushed: make(chan struct{})}
		k.apply = func(call int, _ []Action) error {
			if call == 2 {
				k.held = nil // the failed call left it in pieces
				return errTest
			}
			return nil
		}
		flush := collect{seen: func(line string) {
			time.Sleep(10 * time.Second)
			if line == "2" {
				k.mu.Lock()
				k.held = nil
				k.mu.Unlock()
				k.flushed <- struct{}{}
				time.Sleep(time.Second)
			}
		}}
		mustRun(t, &Pipeline{
			Sources: []Source{&lines{name: "a", all: []string{"0", "1", "2"}, batch: 1}},
			Stages: []Stage{&flush, emit(map[string][]Action{
				"0": {ban("192.0.2.0/32", "j", time.Time{})},
				"1": {ban("192.0.2.1/32", "j", time.Time{})},
			})},
			Outputs: []Output{{Sink: k}},
		})
		if len(k.held) != 2 || k.syncs.Load() != 3 {
			t.Errorf("got %d bans and %d syncs, want 2 and 3 (start, failure, flush)", len(k.held), k.syncs.Load())
		}
	})
}
