package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// depth is how many batches a channel holds: enough that a stage need not wait for the next one to be
// scheduled, few enough that what is under way stays small (some 30 batches of 140 KiB).
const depth = 4

// grace is how long a component may take to notice that its context is done.
const grace = time.Second

// ErrNotRunning is returned by Do when no Run is going on.
var ErrNotRunning = errors.New("the pipeline is not running")

// A run is one call of Run: its channels and goroutines.
//
//	source ─┐                                             ┌─► outbox ─ deliver ─ sink
//	source ─┼─► first ─► stage ─► … ─► stage ─► finish ───┼─► outbox ─ deliver ─ sink
//	clerk  ─┘                                             └─► saver ─ store
//
// The clerk sends what comes from elsewhere (actions by hand, checkpoints by time) and closes first when the
// sources are done; each stage closes its own output when its input is closed, so the line drains by itself.
type run struct {
	*Pipeline
	log    *zap.Logger
	ledger *ledger
	boxes  []*outbox
	saver  *saver
	hand   chan order      // from Do to the clerk
	ended  chan struct{}   // closed when Run returns
	free   chan *Batch     // used batches
	known  map[string]bool // the Batch.Sources that had a cursor at the start

	// finish's alone
	cursors map[string]*cursor
	samples samples
	events  []Event // since the last checkpoint
}

// A cursor is where a source stood when its last batch reached the end of the line.
type cursor struct {
	at      []byte
	changed bool
	gone    bool // the next checkpoint deletes it
}

// An order is one call of Do.
type order struct {
	actions []Action
	answer  chan error // has room for one
}

// Run loads what the Store has, brings the sinks up to it, and reads until every source has ended or
// ctx is done; then it lets what was read reach the store and the sinks, and returns. It returns nil at
// such an end. It returns an error if the state cannot be loaded, a stage fails, a component does not stop
// within DrainTimeout, or a sink goes on failing for that long after the end; in the last case its bans are in
// the store and will be put at the next start. One Run of a Pipeline may follow another, not overlap it.
func (p *Pipeline) Run(ctx context.Context) error {
	r := p.newRun()
	if !p.current.CompareAndSwap(nil, r) {
		return errors.New("the pipeline is running already")
	}
	defer func() {
		left := StateStats{Kept: p.Store != nil}
		r.saver.stats(&left)
		p.left.Store(&left)
		p.current.Store(nil)
		close(r.ended)
	}()
	if err := r.load(ctx); err != nil {
		return err
	}
	return r.flow(ctx)
}

// Do puts actions by hand through the stages, the window and decide among them, and returns when they
// are saved; the sinks follow at once. An error says which were refused and why, or that what was done
// could not be saved, or that ctx ended before the answer (they may still be carried out).
func (p *Pipeline) Do(ctx context.Context, actions ...Action) error {
	r := p.current.Load()
	if r == nil {
		return ErrNotRunning
	}
	o := order{actions: actions, answer: make(chan error, 1)}
	select {
	case r.hand <- o:
	case <-r.ended:
		return ErrNotRunning
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-o.answer:
		return err
	case <-r.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	select { // Run may have answered and ended
	case err := <-o.answer:
		return err
	default:
		return ErrNotRunning
	}
}

func (p *Pipeline) newRun() *run {
	r := &run{
		Pipeline: p,
		log:      p.Logger,
		hand:     make(chan order),
		ended:    make(chan struct{}),
		free:     make(chan *Batch, 2*depth*(len(p.Stages)+2)),
		cursors:  make(map[string]*cursor),
		known:    make(map[string]bool),
	}
	if r.log == nil {
		r.log = zap.NewNop()
	}
	now := p.Now
	if now == nil {
		now = time.Now
	}
	r.ledger = newLedger(now)
	for _, o := range p.Outputs {
		r.boxes = append(r.boxes, newOutbox(o, p.Outputs, r.ledger, r.log, r.drainTimeout()))
	}
	r.saver = &saver{store: p.Store, log: r.log.Named("store"), now: time.Now, wake: make(chan struct{}, 1)}
	return r
}

func (r *run) drainTimeout() time.Duration { return orDefault(r.DrainTimeout, 10*time.Second) }

// flow starts every goroutine of the run and waits for all of them.
func (r *run) flow(ctx context.Context) error {
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	// What was read must reach the end of the line after ctx is done: SIGTERM loses nothing.
	work, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	defer context.AfterFunc(ctx, func() {
		sleep(work, r.drainTimeout())
		abort(fmt.Errorf("not all that was read could be worked off within %v", r.drainTimeout()))
	})()
	fail := func(err error) error {
		stopReading()
		abort(err)
		return err
	}

	var all, sources errgroup.Group
	first := make(chan *Batch, depth)
	for _, s := range r.Sources {
		sources.Go(func() error { r.read(reading, work, s, first); return nil })
	}
	read := make(chan struct{})
	all.Go(func() error { defer close(read); return sources.Wait() })
	all.Go(func() error { r.clerk(work, read, first); return nil })
	last := r.chain(work, &all, first, fail)
	all.Go(func() error { r.finish(work, last); return nil })
	all.Go(func() error { r.saver.run(work); return nil })
	for _, o := range r.boxes {
		watching, stopWatching := context.WithCancel(work)
		all.Go(func() error { defer stopWatching(); return o.deliver(work) })
		if k, ok := o.Sink.(Keeper); ok {
			all.Go(func() error { o.watch(watching, k); return nil })
		}
	}
	return r.wait(work, &all)
}

// wait returns when every goroutine has, or a second after they should have: a component that ignores its
// context must not keep the program from ending.
func (r *run) wait(work context.Context, all *errgroup.Group) error {
	var err error
	done := make(chan struct{})
	go func() { defer close(done); err = all.Wait() }()
	select {
	case <-done:
	case <-work.Done():
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-done:
		case <-t.C:
			return fmt.Errorf("a source, stage or sink did not stop: %w", context.Cause(work))
		}
	}
	if cause := context.Cause(work); cause != nil {
		return cause
	}
	return err
}
