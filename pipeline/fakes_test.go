package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// t0 is the event time of the first line in tests that do not care.
var t0 = time.Date(2026, 11, 22, 7, 23, 11, 0, time.UTC)

// lines is a resumable source of lines that were there from the start.
type lines struct {
	name  string
	all   []string
	at    func(i int) time.Time // nil: the same moment
	batch int                   // lines per Read; 0: until Full
	fail  func(read int) error  // asked before each Read
	hang  bool                  // block at the end until ctx is done, instead of io.EOF

	next  int
	reads atomic.Int32
}

func (l *lines) Name() string { return l.name }

func (l *lines) Resume(cursors map[string][]byte) {
	if c, ok := cursors[l.name]; ok {
		l.next = int(binary.BigEndian.Uint64(c))
	}
}

func (l *lines) Read(ctx context.Context, b *Batch) error {
	reads := int(l.reads.Add(1))
	if l.fail != nil {
		if err := l.fail(reads); err != nil {
			return err
		}
	}
	for n := 0; l.next < len(l.all) && !b.Full() && (l.batch == 0 || n < l.batch); n++ {
		at := t0
		if l.at != nil {
			at = l.at(l.next)
		}
		b.Append([]byte(l.all[l.next]), at)
		l.next++
	}
	b.Cursor = binary.BigEndian.AppendUint64(b.Cursor[:0], uint64(l.next))
	switch {
	case l.next < len(l.all):
		return nil
	case l.hang && len(b.Records) > 0:
		return nil
	case l.hang:
		<-ctx.Done()
		return ctx.Err()
	default:
		return io.EOF
	}
}

func numbered(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = strconv.Itoa(i)
	}
	return all
}

// hits makes every line a hit in jail "j" by the address 192.0.2.(line modulo n), or the address that it names.
func hits(n int) Stage {
	return StageFunc(func(_ context.Context, b *Batch) error {
		for i := range b.Records {
			r := &b.Records[i]
			r.Kind, r.Jail = Hit, "j"
			if k, err := strconv.Atoi(string(r.Line)); err == nil {
				r.Addr = netip.AddrFrom4([4]byte{192, 0, byte(2 + k%n/256), byte(k % n)})
			} else {
				r.Addr = netip.MustParseAddr(string(r.Line))
			}
		}
		return nil
	})
}

// collect keeps the lines that pass it.
type collect struct {
	mu    sync.Mutex
	lines []string
	seen  func(line string) // nil: nothing
}

func (c *collect) Process(_ context.Context, b *Batch) error {
	for _, r := range b.Records {
		c.mu.Lock()
		c.lines = append(c.lines, string(r.Line))
		c.mu.Unlock()
		if c.seen != nil {
			c.seen(string(r.Line))
		}
	}
	return nil
}

// fakeSink keeps what it is given, as a back end would, and every call.
type fakeSink struct {
	name  string
	apply func(call int, actions []Action) error // nil: succeeds
	block func(ctx context.Context)              // nil: at once

	mu    sync.Mutex
	calls [][]Action
	held  map[netip.Prefix]Action
}

func (s *fakeSink) Name() string { return s.name }

func (s *fakeSink) Apply(ctx context.Context, actions []Action) error {
	if s.block != nil {
		s.block(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, slices.Clone(actions))
	if s.apply != nil {
		if err := s.apply(len(s.calls), actions); err != nil {
			return err
		}
	}
	if s.held == nil {
		s.held = make(map[netip.Prefix]Action)
	}
	for _, a := range actions {
		delete(s.held, a.Prefix)
		if a.Op == Ban {
			s.held[a.Prefix] = a
		}
	}
	return nil
}

func (s *fakeSink) all() (all []Action) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		all = append(all, c...)
	}
	return all
}

func (s *fakeSink) holds(p string) (Action, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.held[netip.MustParsePrefix(p)]
	return a, ok
}

func ban(prefix, jail string, until time.Time) Action {
	return Action{Op: Ban, Prefix: netip.MustParsePrefix(prefix), Jail: jail, Until: until}
}

func unban(prefix, jail string) Action {
	return Action{Op: Unban, Prefix: netip.MustParsePrefix(prefix), Jail: jail}
}

// emit is a stage whose batches carry the actions that a line stands for.
func emit(actions map[string][]Action) Stage {
	return StageFunc(func(_ context.Context, b *Batch) error {
		for _, r := range b.Records {
			b.Actions = append(b.Actions, actions[string(r.Line)]...)
		}
		return nil
	})
}

// brokenStore fails as long as told.
type brokenStore struct {
	MemStore
	mu      sync.Mutex
	err     error
	commits []Checkpoint
	slow    func()
}

func (s *brokenStore) Commit(ctx context.Context, c *Checkpoint) error {
	if s.slow != nil {
		s.slow()
	}
	s.mu.Lock()
	s.commits = append(s.commits, *c)
	err := s.err
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.MemStore.Commit(ctx, c)
}

func (s *brokenStore) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func mustRun(t *testing.T, p *Pipeline) {
	t.Helper()
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

var errTest = errors.New("as the test wants")

func wantLines(t *testing.T, got []string, want []string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("line %d: got %q, want %q", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("got %d lines, want %d", len(got), len(want))
	}
}
