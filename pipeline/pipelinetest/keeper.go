package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

func checkSync(ctx context.Context, b *Backend) error {
	keeper := b.Sink.(pipeline.Keeper)
	sync := func(live ...pipeline.Action) error {
		if err := keeper.Sync(ctx, slices.Values(live)); err != nil {
			return fmt.Errorf("sync %d bans: %w", len(live), err)
		}
		return b.expect(live)
	}
	stays, moved := banFor(host4, time.Hour), banFor(net6, time.Hour, ssh...)
	if err := b.hold(ctx, []pipeline.Action{stays, moved, banFor(other4, time.Hour), banFor(net4, time.Hour, web...)},
		stays, moved, banFor(other4, time.Hour), banFor(net4, time.Hour, web...)); err != nil {
		return err
	}
	moved.Until = moved.Until.Add(5 * time.Hour)
	ever := banFor(host6, 0)
	ever.Until = time.Time{}
	live := []pipeline.Action{stays, moved, ever, banFor(net4, time.Hour), banFor(other4, time.Hour, web...)}
	for range 2 {
		if err := sync(live...); err != nil {
			return err
		}
	}
	past := slices.Values(append(slices.Clone(live), banFor(net6, -time.Second)))
	if err := keeper.Sync(ctx, past); err != nil {
		return err
	}
	if err := b.expect(live); err != nil {
		return fmt.Errorf("with a live ban that has just ended: %w", err)
	}
	return errors.Join(sync(b.many()...), sync(), sync(live...))
}

// watching runs Watch beside do and returns what Watch said within the time limit, or errWatches. Then it is
// cancelled, and must end.
func watching(ctx context.Context, k pipeline.Keeper, limit time.Duration, do func(cancel func()) error) (error, error) {
	ctx, cancel := context.WithCancel(ctx)
	said := make(chan error, 1)
	go func() { said <- k.Watch(ctx) }()
	err := do(cancel)
	var watch error
	select {
	case watch = <-said:
		cancel()
	case <-time.After(limit):
		watch = errWatches
		cancel()
		select {
		case <-said:
		case <-time.After(5 * time.Second):
			err = errors.Join(err, errors.New("its context is done, but Watch goes on"))
		}
	}
	return watch, err
}

var errWatches = errors.New("watch goes on")

func checkWatchDone(ctx context.Context, b *Backend) error {
	watch, _ := watching(ctx, b.Sink.(pipeline.Keeper), 5*time.Second, func(cancel func()) error { cancel(); return nil })
	if watch == nil || watch == errWatches {
		return fmt.Errorf("a done context: got %v, want the context's error", watch)
	}
	_, err := watching(ctx, b.Sink.(pipeline.Keeper), 50*time.Millisecond, func(func()) error { return nil })
	return err
}

// A Watch that takes the sink's own work for somebody else's leads to a Sync without end.
func checkWatchOwn(ctx context.Context, b *Backend) error {
	keeper := b.Sink.(pipeline.Keeper)
	bans := []pipeline.Action{banFor(host4, time.Hour), banFor(net6, time.Hour, ssh...)}
	live := slices.Values(bans[:1])
	if err := keeper.Sync(ctx, live); err != nil {
		return err
	}
	watch, err := watching(ctx, keeper, 200*time.Millisecond, func(func()) error {
		return errors.Join(b.hold(ctx, bans, bans...), keeper.Sync(ctx, live), b.hold(ctx, []pipeline.Action{lift(host4)}))
	})
	if watch != errWatches {
		return fmt.Errorf("got %v, want Watch to go on", watch)
	}
	return err
}

func checkWatchOthers(ctx context.Context, b *Backend) error {
	keeper := b.Sink.(pipeline.Keeper)
	bans := []pipeline.Action{banFor(host4, time.Hour), banFor(net6, time.Hour, ssh...)}
	if err := keeper.Sync(ctx, slices.Values(bans)); err != nil {
		return err
	}
	// Twice: also what happens before Watch is called again must be noticed.
	for range 2 {
		b.Disturb()
		if watch, _ := watching(ctx, keeper, 10*time.Second, func(func()) error { return nil }); watch != nil {
			return fmt.Errorf("disturbed: got %v, want nil", watch)
		}
		if err := keeper.Sync(ctx, slices.Values(bans)); err != nil {
			return err
		}
		if err := b.expect(bans); err != nil {
			return fmt.Errorf("disturbed, then Sync: %w", err)
		}
	}
	return nil
}

func checkHeld(ctx context.Context, b *Backend) error {
	adopter := b.Sink.(pipeline.Adopter)
	held, err := adopter.Held(ctx)
	if err != nil || len(held) > 0 {
		return fmt.Errorf("empty back end: got %d bans, %v, want none", len(held), err)
	}
	bans := []pipeline.Action{banFor(host4, time.Hour), banFor(host6, 2*time.Hour, web...), banFor(net4, 3*time.Hour, ssh...), banFor(net6, 4*time.Hour)}
	bans[3].Until = time.Time{}
	if err := b.hold(ctx, bans, bans...); err != nil {
		return err
	}
	held, err = adopter.Held(ctx)
	if err != nil {
		return err
	}
	for _, a := range held {
		if a.Op != pipeline.Ban || a.Jail == "" {
			return fmt.Errorf("%s: got %v of jail %q, want a ban with a jail", a.Prefix, a.Op, a.Jail)
		}
	}
	return b.compare(held, bans)
}
