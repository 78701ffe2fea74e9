package sinks

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

// A memory is a back end without timeouts.
type memory struct {
	mu      sync.Mutex
	held    map[banKey]pipeline.Action
	fail    error
	refuse  string // this prefix
	calls   int
	changed chan struct{} // makes Watch return
	watches int
}

func newMemory() *memory {
	return &memory{held: map[banKey]pipeline.Action{}, changed: make(chan struct{})}
}

func (*memory) Name() string { return "memory" }

func (m *memory) Apply(ctx context.Context, actions []pipeline.Action) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if err := errors.Join(ctx.Err(), m.fail); err != nil {
		return err
	}
	var refused refusals
	for _, a := range actions {
		switch {
		case a.Prefix.String() == m.refuse:
			refused.add(a, errors.New("no"))
		case a.Op == pipeline.Ban:
			m.held[keyOf(&a)] = a
		default:
			delete(m.held, keyOf(&a))
		}
	}
	return refused.err()
}

func (m *memory) Sync(ctx context.Context, live iter.Seq[pipeline.Action]) error {
	if err := m.Apply(ctx, nil); err != nil {
		return err
	}
	m.mu.Lock()
	clear(m.held)
	m.mu.Unlock()
	return m.Apply(ctx, slices.Collect(live))
}

func (m *memory) Watch(ctx context.Context) error {
	m.watches++
	select {
	case <-m.changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *memory) called() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.calls
}

func TestExpireContract(t *testing.T) {
	pipelinetest.TestSink(t, func(t *testing.T) pipelinetest.Backend {
		m := newMemory()
		return pipelinetest.Backend{
			Sink: struct{ pipeline.Keeper }{&Expire{Sink: m}}, // less Held, which a memory has not
			Held: func() ([]pipeline.Action, error) { return slices.Collect(maps.Values(m.held)), nil },
			Break: func() func() {
				m.fail = errors.New("broken")
				return func() { m.fail = nil }
			},
		}
	})
}

// expire runs a test of Expire with its Watch beside it; said is what Watch returned, once it did.
func expire(t *testing.T, test func(t *testing.T, e *Expire, m *memory, said <-chan error)) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		e := &Expire{Sink: m, Now: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		said := make(chan error, 1)
		go func() { said <- e.Watch(ctx) }()
		test(t, e, m, said)
		cancel()
		synctest.Wait()
	})
}

// after lets time pass and expects the prefixes to be held.
func (m *memory) after(t *testing.T, d time.Duration, want ...string) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	var got []string
	for k := range m.held {
		got = append(got, k.prefix.Addr().String()+k.ports)
	}
	slices.Sort(got)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("after %v: got %v, want %v", d, got, want)
	}
}

func TestExpireEnds(t *testing.T) {
	expire(t, func(t *testing.T, e *Expire, m *memory, _ <-chan error) {
		now := time.Now()
		ssh := pipeline.PortRange{First: 22, Last: 22}
		apply := func(actions ...pipeline.Action) {
			if err := e.Apply(t.Context(), actions); err != nil {
				t.Fatal(err)
			}
		}
		apply(ban("192.0.2.1/32", now.Add(10*time.Second)), ban("192.0.2.2/32", now.Add(time.Hour)), ban("192.0.2.3/32", time.Time{}))
		apply(ban("192.0.2.1/32", now.Add(20*time.Second), ssh), ban("192.0.2.4/32", now.Add(15*time.Second)))
		m.after(t, 9999*time.Millisecond, "192.0.2.1", "192.0.2.122", "192.0.2.2", "192.0.2.3", "192.0.2.4")
		m.after(t, time.Millisecond, "192.0.2.122", "192.0.2.2", "192.0.2.3", "192.0.2.4")
		apply(ban("192.0.2.4/32", now.Add(40*time.Second)), unban("192.0.2.1/32", ssh), ban("192.0.2.5/32", now.Add(-time.Second)))
		m.after(t, 10*time.Second, "192.0.2.2", "192.0.2.3", "192.0.2.4") // the later end counts
		calls := m.called()
		m.after(t, 19*time.Second, "192.0.2.2", "192.0.2.3", "192.0.2.4")
		if more := m.called() - calls; more != 0 {
			t.Errorf("got %d calls while nothing ends", more)
		}
		m.after(t, time.Second, "192.0.2.2", "192.0.2.3")
		apply(ban("192.0.2.2/32", time.Time{})) // now for ever
		m.after(t, 2*time.Hour, "192.0.2.2", "192.0.2.3")
		e.mu.Lock()
		defer e.mu.Unlock()
		if len(e.ends) != 0 {
			t.Errorf("got %d ends left, want none", len(e.ends))
		}
	})
}

// After a restart the live bans come with Sync, each with its old end.
func TestExpireRestart(t *testing.T) {
	expire(t, func(t *testing.T, e *Expire, m *memory, _ <-chan error) {
		now := time.Now()
		left := ban("192.0.2.9/32", time.Time{}) // of the earlier run; it ended meanwhile
		m.held[keyOf(&left)] = left
		live := []pipeline.Action{ban("192.0.2.1/32", now.Add(time.Minute)), ban("192.0.2.2/32", now.Add(-time.Second)), ban("192.0.2.3/32", time.Time{})}
		if err := e.Sync(t.Context(), slices.Values(live)); err != nil {
			t.Fatal(err)
		}
		m.after(t, 59*time.Second, "192.0.2.1", "192.0.2.3")
		m.after(t, time.Second, "192.0.2.3")
	})
}

// The clock is set: ends go by it, not by the time that passes here.
func TestExpireClockJumps(t *testing.T) {
	expire(t, func(t *testing.T, e *Expire, m *memory, _ <-chan error) {
		var jump atomic.Int64
		e.Now = func() time.Time { return time.Now().Add(time.Duration(jump.Load())) }
		if err := e.Apply(t.Context(), []pipeline.Action{ban("192.0.2.1/32", time.Now().Add(24*time.Hour))}); err != nil {
			t.Fatal(err)
		}
		m.after(t, time.Hour, "192.0.2.1")
		jump.Store(int64(23 * time.Hour)) // the machine slept
		m.after(t, longestNap)
	})
}

// While the back end fails, Watch says so, and the ban is lifted once it works again.
func TestExpireFails(t *testing.T) {
	expire(t, func(t *testing.T, e *Expire, m *memory, said <-chan error) {
		if err := e.Apply(t.Context(), []pipeline.Action{ban("192.0.2.1/32", time.Now().Add(time.Second))}); err != nil {
			t.Fatal(err)
		}
		broken := func(err error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.fail = err
		}
		broken(errTest)
		m.after(t, time.Second, "192.0.2.1")
		if err := <-said; !errors.Is(err, errTest) {
			t.Errorf("got %v, want that it is broken", err)
		}
		broken(nil)
		go e.Watch(t.Context())
		m.after(t, 0)
	})
}

var errTest = errors.New("broken by the test")

func TestExpireWatchesToo(t *testing.T) {
	expire(t, func(t *testing.T, e *Expire, m *memory, said <-chan error) {
		synctest.Wait()
		m.changed <- struct{}{}
		if err := <-said; err != nil || m.watches != 1 {
			t.Errorf("got %v after %d, want the sink's nil", err, m.watches)
		}
	})
}

// What is refused is neither held nor lifted later.
func TestExpireForgetsTheRefused(t *testing.T) {
	m := newMemory()
	m.refuse = "192.0.2.1/32"
	e := &Expire{Sink: m}
	actions := []pipeline.Action{ban(m.refuse, time.Now().Add(time.Hour)), ban("192.0.2.2/32", time.Now().Add(time.Hour))}
	for _, err := range []error{e.Apply(t.Context(), actions), e.Sync(t.Context(), slices.Values(actions))} {
		if !errors.As(err, new(*pipeline.RefusedError)) || len(e.ends) != 1 {
			t.Errorf("got %v and %d ends, want a refusal and one", err, len(e.ends))
		}
	}
}

// Expire in front of a program, in a pipeline that is started again: the end survives.
func TestExpireInPipeline(t *testing.T) {
	f := newFakeBlocker(t)
	x := func() *Expire { return &Expire{Sink: f.exec()} }
	prefix := netip.MustParsePrefix("192.0.2.7/32")
	first := x()
	until := time.Now().Add(1500 * time.Millisecond)
	if err := first.Apply(t.Context(), []pipeline.Action{ban(prefix.String(), until)}); err != nil {
		t.Fatal(err)
	}
	// The next run: nobody watched in between.
	second := x()
	p := &pipeline.Pipeline{
		Sources: []pipeline.Source{silent{}}, Stages: []pipeline.Stage{&pipeline.Decide{}}, Outputs: []pipeline.Output{{Sink: second}},
		Store: &pipeline.MemStore{},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		held, err := f.held()
		if err != nil {
			t.Fatal(err)
		}
		if len(held) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the ban of the earlier run does not end")
		}
	}
	if early := time.Until(until); early > 0 {
		t.Errorf("it ended %v early", early)
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// silent is a source that has nothing to say.
type silent struct{}

func (silent) Name() string { return "silent" }
func (silent) Read(ctx context.Context, _ *pipeline.Batch) error {
	<-ctx.Done()
	return ctx.Err()
}
