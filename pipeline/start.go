package pipeline

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.uber.org/zap"
)

// load gives the stages and sources back what was saved, and lets one empty batch through the stages:
// it carries the live bans to the ledger, or what the back ends still hold if nothing was saved.
func (r *run) load(ctx context.Context) error {
	saved := 0
	count := func(seq iter.Seq2[[]byte, []byte]) iter.Seq2[[]byte, []byte] {
		return func(yield func(k, v []byte) bool) {
			seq(func(k, v []byte) bool { saved++; return yield(k, v) })
		}
	}
	if r.Store != nil {
		for _, s := range r.stateful() {
			load := func(seq iter.Seq2[[]byte, []byte]) error { return s.Load(count(seq)) }
			if err := r.Store.Load(s.Name(), load); err != nil {
				return fmt.Errorf("load the state of %s: %w", s.Name(), err)
			}
		}
		if err := r.resume(count); err != nil {
			return fmt.Errorf("load the cursors: %w", err)
		}
	}
	b := &Batch{}
	if saved == 0 {
		if err := r.adopt(ctx, b); err != nil {
			return err
		}
	}
	for i, s := range r.Stages {
		if err := s.Process(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", stageName(i, s), err)
		}
	}
	for _, err := range b.fails {
		r.log.Warn("a ban of an earlier run is not taken over", zap.Error(err))
	}
	r.act(b.Actions)
	return nil
}

func (r *run) stateful() (all []Stateful) {
	for _, s := range r.Stages {
		if s, ok := s.(Stateful); ok {
			all = append(all, s)
		}
	}
	return all
}

func (r *run) resume(count func(iter.Seq2[[]byte, []byte]) iter.Seq2[[]byte, []byte]) error {
	err := r.Store.Load(Cursors, func(seq iter.Seq2[[]byte, []byte]) error {
		for k, v := range count(seq) {
			r.cursors[string(k)] = &cursor{at: append([]byte(nil), v...)}
			r.known[string(k)] = true
		}
		return nil
	})
	cursors := make(map[string][]byte, len(r.cursors))
	for name, c := range r.cursors {
		cursors[name] = append([]byte(nil), c.at...)
	}
	for _, s := range r.Sources {
		if s, ok := s.(Resumer); ok {
			s.Resume(cursors)
		}
	}
	return err
}

// adoptSlack is how far apart two back ends may have the end of one ban.
const adoptSlack = 2 * time.Second

// adopt asks the sinks for the bans of an earlier run of which no state is left, and for whom they let through. An error
// ends the run: a sink of which nobody knows what it holds would be emptied by its first Sync.
func (r *run) adopt(ctx context.Context, b *Batch) error {
	known := make(map[target]time.Time) // the ends of bans whose jail a back end knows
	for _, o := range r.boxes {
		var passing, held []Action
		var err error
		if g, ok := o.Sink.(Gate); ok {
			passing, err = g.Passing(ctx)
		}
		if a, ok := o.Sink.(Adopter); ok && err == nil {
			held, err = a.Held(ctx)
		}
		if err != nil {
			return fmt.Errorf("sink %s: read the bans of an earlier run: %w", o.Sink.Name(), err)
		}
		for _, a := range slices.Concat(passing, held) {
			a.Restored = true
			b.Actions = append(b.Actions, a)
			if a.Op == Ban && a.Jail != RestoredJail {
				known[targetOf(a)] = a.Until
			}
		}
		if len(passing)+len(held) > 0 {
			o.log.Info("no saved state; what the back end holds is taken over", zap.Int("bans", len(held)), zap.Int("passes", len(passing)))
		}
	}
	b.Actions = slices.DeleteFunc(b.Actions, func(a Action) bool {
		until, ok := known[targetOf(a)]
		return ok && a.Jail == RestoredJail && (until.IsZero() || !outlasts(a.Until, until.Add(adoptSlack)))
	})
	return nil
}
