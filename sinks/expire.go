package sinks

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// Expire ends the bans of a back end that has no timeouts of its own: when the time of one is up, it gets an
// Unban. The ends are not saved here: after a restart they come back with the live bans, in Sync, and bans whose
// time was up meanwhile go because they are not among them.
//
// Watch is what waits for the ends, so bans end only while it runs, as pipeline.Pipeline has it. A failed Unban makes
// Watch return the error, and the Sync that follows does it again. Memory is bounded by what the back end accepts: a
// ban that it refuses is forgotten. While the back end is at work, ends wait; they are at most as late as that takes.
type Expire struct {
	Sink   pipeline.Keeper  // also a pipeline.Adopter, if it is to be asked what it holds
	Now    func() time.Time // the clock that Until is read by; nil means time.Now
	Logger *zap.Logger      // nil means no logs

	mu sync.Mutex
	// guarded by mu
	ends map[banKey]pipeline.Action // bans that end
	wake chan struct{}              // has room for one: ends has changed
}

// A banKey is what a back end has one entry for.
type banKey struct {
	prefix netip.Prefix
	ports  string // pipeline.PortsString
}

func keyOf(a *pipeline.Action) banKey {
	return banKey{a.Prefix, pipeline.PortsString(a.Ports)}
}

var (
	_ pipeline.Keeper  = (*Expire)(nil)
	_ pipeline.Adopter = (*Expire)(nil)
	_ pipeline.Lifter  = (*Expire)(nil)
)

// Name is that of the sink.
func (e *Expire) Name() string { return e.Sink.Name() }

// Lifts says whether the sink can end bans.
func (e *Expire) Lifts() bool {
	l, unsure := e.Sink.(pipeline.Lifter)
	return !unsure || l.Lifts()
}

// Held is what the sink holds; nothing if it cannot say.
func (e *Expire) Held(ctx context.Context) ([]pipeline.Action, error) {
	if a, ok := e.Sink.(pipeline.Adopter); ok {
		return a.Held(ctx)
	}
	return nil, nil
}

func (e *Expire) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

// Apply passes the actions on and notes when the bans end. One that has ended already is passed on as an Unban, since it
// replaces the one that is there.
func (e *Expire) Apply(ctx context.Context, actions []pipeline.Action) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.changed()
	now := e.now()
	passed := make([]pipeline.Action, len(actions))
	for i, a := range actions {
		if a.Op == pipeline.Ban && !a.Until.IsZero() && !a.Until.After(now) {
			a.Op, a.Until = pipeline.Unban, time.Time{}
		}
		passed[i] = a
		e.note(a)
	}
	return e.settle(e.Sink.Apply(ctx, passed))
}

// Sync passes the live bans on and notes when they end.
func (e *Expire) Sync(ctx context.Context, live iter.Seq[pipeline.Action]) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.changed()
	now := e.now()
	e.ends = nil
	return e.settle(e.Sink.Sync(ctx, func(yield func(pipeline.Action) bool) {
		for a := range live {
			if a.Until.IsZero() || a.Until.After(now) {
				e.note(a)
				if !yield(a) {
					return
				}
			}
		}
	}))
}

// note books one action. After an error the ban may be there or not; an Unban too many does no harm.
func (e *Expire) note(a pipeline.Action) {
	if a.Observe {
		return
	}
	if a.Op == pipeline.Ban && !a.Until.IsZero() {
		if e.ends == nil {
			e.ends = make(map[banKey]pipeline.Action)
		}
		e.ends[keyOf(&a)] = a
	} else {
		delete(e.ends, keyOf(&a))
	}
}

// settle forgets what was refused.
func (e *Expire) settle(err error) error {
	if refused := (*pipeline.RefusedError)(nil); errors.As(err, &refused) {
		for i := range refused.Actions {
			delete(e.ends, keyOf(&refused.Actions[i]))
		}
	}
	return err
}

func (e *Expire) changed() {
	select {
	case e.wakes() <- struct{}{}:
	default:
	}
}

// wakes is the channel that tells of changes; mu is held.
func (e *Expire) wakes() chan struct{} {
	if e.wake == nil {
		e.wake = make(chan struct{}, 1)
	}
	return e.wake
}

// longestNap is how long Watch sleeps at most before it looks at the clock: timers stand still while the machine
// sleeps, and do not notice that the clock was set.
const longestNap = time.Minute

// Watch ends bans until ctx is done or the sink's own Watch returns.
func (e *Expire) Watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	said := make(chan error, 1)
	gone := make(chan struct{})
	go func() { defer close(gone); said <- e.Sink.Watch(ctx) }()
	defer func() { cancel(); <-gone }()
	e.mu.Lock()
	wake := e.wakes()
	e.mu.Unlock()
	nap := time.NewTimer(0)
	defer nap.Stop()
	for {
		select {
		case err := <-said:
			return err
		case <-wake:
		case <-nap.C:
		}
		next, err := e.expire(ctx)
		if err != nil {
			return fmt.Errorf("bans that have ended are not lifted yet: %w", err)
		}
		nap.Reset(next)
	}
}

// expire lifts what has ended and says how long to sleep.
func (e *Expire) expire(ctx context.Context) (nap time.Duration, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	nap = longestNap
	var over []pipeline.Action
	// A walk over all costs 0.1 ms for 10,000, and the cheapest program that lifts one a millisecond.
	for _, a := range e.ends {
		if left := a.Until.Sub(now); left > 0 {
			nap = min(nap, left)
			continue
		}
		a.Op, a.Until = pipeline.Unban, time.Time{}
		over = append(over, a)
	}
	if len(over) == 0 {
		return nap, nil
	}
	err = e.Sink.Apply(ctx, over)
	if refused := (*pipeline.RefusedError)(nil); errors.As(err, &refused) {
		e.log().Error("a ban that has ended cannot be lifted", zap.Int("bans", len(refused.Actions)), zap.Error(err))
		err = nil
	}
	if err != nil {
		return 0, err
	}
	for i := range over {
		delete(e.ends, keyOf(&over[i]))
	}
	e.log().Debug("ended", zap.Int("bans", len(over)))
	return nap, nil
}

func (e *Expire) log() *zap.Logger {
	if e.Logger == nil {
		return zap.NewNop()
	}
	return e.Logger.Named(e.Sink.Name())
}

// Close closes the sink, if it can be.
func (e *Expire) Close() error {
	if c, ok := e.Sink.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}
