package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A checkpoint rides on a batch through the stages; each adds what changed since the last one. Because
// batches never overtake one another, what arrives at the end describes one moment of the log.
type checkpoint struct {
	Checkpoint
	answers []answer // of the Do calls that wait for its commit
	arena   []byte   // behind Changes: one growing block instead of two allocations a key
}

// An answer goes to one Do call.
type answer struct {
	to  chan<- error // has room for one
	err error        // what the stages refused
}

func (c *checkpoint) put(owner string) func(key, value []byte) {
	return func(key, value []byte) {
		ch := Change{Owner: owner, Key: c.copy(key)}
		if value != nil {
			ch.Value = c.copy(value)
		}
		c.Changes = append(c.Changes, ch)
	}
}

func (c *checkpoint) copy(p []byte) []byte {
	if cap(c.arena)-len(c.arena) < len(p) {
		// The old block stays with the changes that lie in it.
		c.arena = make([]byte, 0, max(4096, 2*cap(c.arena), len(p)))
		if cap(c.arena) > 1<<20 {
			c.arena = make([]byte, 0, max(1<<20, len(p)))
		}
	}
	start := len(c.arena)
	c.arena = append(c.arena, p...)
	return c.arena[start:len(c.arena):len(c.arena)]
}

func (c *checkpoint) empty() bool { return len(c.Changes) == 0 && len(c.Events) == 0 && !c.Full }

// add appends what the later checkpoint d holds.
func (c *checkpoint) add(d *checkpoint) {
	if d.Full {
		c.Full, c.Changes = true, nil
	}
	c.Changes = append(c.Changes, d.Changes...)
	c.Events = append(c.Events, d.Events...)
	c.answers = append(c.answers, d.answers...)
}

func (c *checkpoint) reply(err error) {
	for _, a := range c.answers {
		a.to <- errors.Join(a.err, err)
	}
	c.answers = nil
}

// A saver commits checkpoints beside the stream: one at a time, those that come meanwhile merge. After
// a failure it takes only a full one, since the changes that were lost are in none of the others.
type saver struct {
	store Store // nil: nothing is kept, and every checkpoint is as good as saved
	log   *zap.Logger
	now   func() time.Time

	wake chan struct{} // has room for one
	mu   sync.Mutex
	// guarded by mu
	next    *checkpoint // waits to be committed
	busy    bool        // one is being committed
	broken  bool        // the last commit failed
	unsaved []Event     // of failed checkpoints: a full one does not have them by itself
	retry   time.Time   // not before: the next full one
	wait    backoff
	closed  bool
	saved   time.Time // when a commit last succeeded
	err     error     // of the last commit
}

func (s *saver) stats(out *StateStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Saved = s.saved
	if s.err != nil {
		out.Error = s.err.Error()
	}
}

// want says whether a checkpoint by time is due, and whether it has to be full.
func (s *saver) want() (full, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy || s.next != nil { // the stages go on collecting
		return false, false
	}
	return s.broken, !s.broken || !s.now().Before(s.retry)
}

func (s *saver) needFull() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// put hands a checkpoint over and never blocks.
func (s *saver) put(c *checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.store == nil || c.empty() && s.next == nil && !s.busy && !s.broken:
		c.reply(nil)
		return
	case s.broken && !c.Full:
		// It was collected before the failure was known.
		s.keep(c.Events)
		c.reply(errNotSaved)
		return
	case s.next != nil:
		s.next.add(c)
	default:
		s.next = c
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

var errNotSaved = errors.New("done, but it could not be saved and will be lost if banpipe is restarted now")

func (s *saver) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run commits until close was called and nothing waits, or ctx is done.
func (s *saver) run(ctx context.Context) {
	for {
		s.mu.Lock()
		c, closed := s.next, s.closed
		s.next, s.busy = nil, c != nil
		s.mu.Unlock()
		switch {
		case c != nil:
			s.commit(ctx, c)
		case closed:
			return
		default:
			select {
			case <-s.wake:
			case <-ctx.Done():
				return
			}
		}
	}
}

// keep holds on to events until a checkpoint can carry them; of too many the oldest go.
func (s *saver) keep(events []Event) {
	s.unsaved = append(s.unsaved, events...)
	if n := len(s.unsaved) - maxEvents; n > 0 {
		s.unsaved = append(s.unsaved[:0], s.unsaved[n:]...)
	}
}

func (s *saver) commit(ctx context.Context, c *checkpoint) {
	s.mu.Lock()
	c.Events = append(s.unsaved, c.Events...)
	s.unsaved = nil
	s.mu.Unlock()
	err := s.store.Commit(ctx, &c.Checkpoint)
	s.mu.Lock()
	s.busy, s.err = false, err
	if err == nil {
		s.saved = time.Now()
		if s.broken {
			s.log.Info("state is saved again")
		}
		s.broken = false
		s.wait.reset()
		s.mu.Unlock()
		c.reply(nil)
		return
	}
	s.keep(c.Events)
	lost := s.next // it builds on what was not saved
	if lost != nil {
		s.keep(lost.Events)
	}
	s.next, s.broken = nil, true
	wait := s.wait.next()
	s.retry = s.now().Add(wait)
	s.mu.Unlock()
	s.log.Warn("state not saved, banning goes on", zap.Error(err), zap.Duration("again_in", wait))
	c.reply(fmt.Errorf("%w: %w", errNotSaved, err))
	if lost != nil {
		lost.reply(fmt.Errorf("%w: %w", errNotSaved, err))
	}
}
