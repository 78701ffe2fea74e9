package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// An outbox stands between the end of the line and one sink: a set of targets whose state has changed.
// Putting never blocks; what comes while the sink is at work leaves with its next call.
type outbox struct {
	Output
	ledger *ledger
	orphan func(jail string) bool // no output lists it
	log    *zap.Logger
	giveUp time.Duration // once closed: how long a sink may fail before what is left is given up

	wake chan struct{} // has room for one

	mu sync.Mutex
	// guarded by mu
	order  []target // changed, oldest first
	listed map[target]Action
	resync bool // the back end was changed by others, or may have been
	state  SinkStats
	closed bool
}

func newOutbox(o Output, all []Output, l *ledger, log *zap.Logger, giveUp time.Duration) *outbox {
	_, keeper := o.Sink.(Keeper)
	return &outbox{
		Output: o, ledger: l, giveUp: giveUp,
		orphan: func(jail string) bool {
			return !slices.ContainsFunc(all, func(o Output) bool { return o.Jails == nil || slices.Contains(o.Jails, jail) })
		},
		log:    log.Named("sink." + o.Sink.Name()),
		wake:   make(chan struct{}, 1),
		listed: make(map[target]Action),
		resync: keeper,
	}
}

// serves reports whether the sink gets the actions of jail: those that it lists, and those that no sink lists: a
// ban that was taken over from a back end, or whose jail is no longer configured, must not be lifted for that.
func (o *outbox) serves(jail string) bool {
	return o.Jails == nil || jail == Manual || jail == "" || slices.Contains(o.Jails, jail) || o.orphan(jail)
}

// lifts reports whether a pause means that the sink holds nothing: one that cannot let packets through in spite of its
// bans, and whose bans can be put back.
func (o *outbox) lifts() bool {
	_, gate := o.Sink.(Gate)
	_, keeper := o.Sink.(Keeper)
	l, unsure := o.Sink.(Lifter)
	return keeper && !gate && !o.Observe && (!unsure || l.Lifts())
}

// paused says until when the sink holds nothing; zero: it holds what is live.
func (o *outbox) paused() time.Time {
	if !o.lifts() {
		return time.Time{}
	}
	return o.ledger.paused()
}

// wants reports whether the sink is told of such a target at all.
func (o *outbox) wants(t target) bool {
	_, gate := o.Sink.(Gate)
	return (o.Observe || !t.observe) && (t.op == Ban || gate && t.op != Hold)
}

func (o *outbox) put(a Action) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case a.Op.begin() == Pause && o.lifts():
	case !o.serves(a.Jail) || !o.wants(targetOf(a)):
		return
	default:
		o.list(targetOf(a), a)
	}
	o.signal()
}

// list notes that a target has changed; the action counts only if nobody holds the target any more.
func (o *outbox) list(t target, a Action) {
	if _, ok := o.listed[t]; !ok {
		o.order = append(o.order, t)
	}
	o.listed[t] = a
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// askResync has the back end brought to what is live.
func (o *outbox) askResync() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resync = true
	o.signal()
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.signal()
}

// note keeps how the last call went.
func (o *outbox) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.state.Applied, o.state.Failing, o.state.Error = time.Now(), time.Time{}, ""
		return
	}
	if o.state.Failing.IsZero() {
		o.state.Failing = time.Now()
	}
	o.state.Error = err.Error()
}

func (o *outbox) stats() SinkStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.state
	s.Sink, s.Waiting = o.Sink.Name(), len(o.order)
	_, s.Gate = o.Sink.(Gate)
	s.Lifts = o.lifts()
	return s
}

// take empties the outbox: what changed, as it stands now. While the sink is paused there is nothing to tell it: it
// is synchronised afterwards.
func (o *outbox) take(paused bool) (actions []Action, resync, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, t := range o.order {
		if paused {
			break
		}
		a, ok := o.ledger.result(t, o.serves)
		if !ok {
			a = o.listed[t]
			a.Op, a.Until = a.Op.end(), time.Time{}
		}
		actions = append(actions, a)
	}
	o.order = o.order[:0]
	clear(o.listed)
	resync, o.resync = o.resync, false
	return actions, resync, o.closed
}

// putBack returns what a failed call left undone. A Keeper may be anywhere now, so it is synchronised.
func (o *outbox) putBack(actions []Action) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range actions {
		t := targetOf(a)
		if _, newer := o.listed[t]; !newer {
			o.list(t, a)
		}
	}
	_, o.resync = o.Sink.(Keeper)
}

// deliver brings actions to the sink until the outbox is closed and empty, or ctx is done. The error
// says what was not delivered.
func (o *outbox) deliver(ctx context.Context) error {
	var wait backoff
	var failing time.Time // since when, once closed
	lifted := false       // the last thing the sink was told is to hold nothing
	for {
		pause := o.paused()
		if paused := !pause.IsZero(); paused != lifted {
			lifted = paused
			o.askResync()
		}
		actions, resync, closed := o.take(lifted)
		if len(actions) == 0 && !resync {
			if closed {
				return nil
			}
			o.await(ctx, pause)
			if ctx.Err() != nil {
				return nil
			}
			continue
		}
		err := o.apply(ctx, actions, resync, lifted)
		o.note(err)
		if err == nil {
			wait.reset()
			failing = time.Time{}
			continue
		}
		o.putBack(actions)
		if closed && failing.IsZero() {
			failing = time.Now()
		}
		if ctx.Err() != nil || closed && time.Since(failing) >= o.giveUp {
			return fmt.Errorf("sink %s: %d actions not delivered: %w", o.Sink.Name(), len(actions), err)
		}
		d := wait.next()
		o.log.Warn("sink failed, will be tried again", zap.Error(err), zap.Int("actions", len(actions)), zap.Duration("in", d))
		sleep(ctx, d)
	}
}

// await returns when there may be something to do: the outbox has changed, the pause is over, or ctx is done.
func (o *outbox) await(ctx context.Context, pause time.Time) {
	var over <-chan time.Time
	if !pause.IsZero() {
		// Timers stand still while the machine sleeps, and do not notice that the clock was set.
		t := time.NewTimer(min(max(pause.Sub(o.ledger.now()), 0), time.Minute))
		defer t.Stop()
		over = t.C
	}
	select {
	case <-o.wake:
	case <-over:
	case <-ctx.Done():
	}
}

func (o *outbox) apply(ctx context.Context, actions []Action, resync, lifted bool) error {
	var err error
	if k, ok := o.Sink.(Keeper); ok && resync {
		var live []Action
		if !lifted {
			live = o.ledger.live(o.serves, o.wants)
		}
		err = k.Sync(ctx, slices.Values(live))
	} else {
		err = o.Sink.Apply(ctx, actions)
	}
	var refused *RefusedError
	if errors.As(err, &refused) {
		for _, a := range refused.Actions {
			o.log.Error("action refused", zap.Stringer("op", a.Op), zap.Stringer("addr", a.Prefix), zap.String("jail", a.Jail), zap.Error(refused.Err))
		}
		return nil
	}
	return err
}

// watch has the back end of a Keeper put right whenever somebody else has changed it.
func (o *outbox) watch(ctx context.Context, k Keeper) {
	var wait backoff
	for ctx.Err() == nil {
		err := k.Watch(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d := wait.next()
			o.log.Warn("sink cannot be watched", zap.Error(err), zap.Duration("again_in", d))
			sleep(ctx, d)
		} else {
			wait.reset()
			o.log.Warn("somebody else changed the back end; live bans are put back")
		}
		o.askResync()
	}
}
