package control

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// pauseTime is how long a pause is that does not say; maxPause the longest: one that is forgotten must end.
const (
	pauseTime = 10 * time.Minute
	maxPause  = 24 * time.Hour
)

// allow lets addresses in, now and until it ends, whatever they do.
func (h *Handler) allow(ctx context.Context, o *Order) (any, error) {
	return h.pass(ctx, o, pipeline.Allow)
}

func (h *Handler) disallow(ctx context.Context, o *Order) (any, error) {
	return h.pass(ctx, o, pipeline.Disallow)
}

func (h *Handler) pass(ctx context.Context, o *Order, op pipeline.Op) (any, error) {
	if o.All || o.Jail != "" || o.Force {
		return nil, bad("%v: it knows addrs, for_seconds and reason only", op)
	}
	asked, err := o.prefixes()
	if err != nil {
		return nil, err
	}
	base := pipeline.Action{Op: op, Jail: pipeline.Manual, Reason: o.Reason}
	if op == pipeline.Allow {
		if base.Until, err = o.until(h.now(), -1); err != nil {
			return nil, err
		}
	}
	var actions []pipeline.Action
	for _, one := range asked {
		base.Prefix = one.prefix
		actions = append(actions, base)
		for _, held := range h.Pipeline().Holding(one.prefix) {
			one.allowed = one.allowed || held.Op == pipeline.Allow && held.Prefix == one.prefix
		}
	}
	if err := h.do(ctx, actions, asked); err != nil {
		return nil, err
	}
	return h.results(asked, func(one *asking, r *Result) {
		base.Prefix = one.prefix
		a := NewAction(base, h.now())
		r.Action = &a
		if op == pipeline.Allow {
			r.Notes = h.gateNotes(one.prefix)
		} else if !one.allowed {
			r.Notes = append(r.Notes, "it was not allowed")
		}
		r.Notes = append(r.Notes, h.sinkNotes()...)
	}), nil
}

// gateNotes says where a ban of a network keeps an address out that is allowed.
func (h *Handler) gateNotes(prefix netip.Prefix) (notes []string) {
	p := h.Pipeline()
	for _, s := range p.Snapshot().Sinks {
		for _, held := range p.Holding(prefix) {
			if !s.Gate && held.Op == pipeline.Ban && !held.Observe {
				notes = append(notes, fmt.Sprintf("%s cannot let single addresses through: there %s still keeps it out", s.Sink, Word(held.Prefix)))
			}
		}
	}
	return notes
}

// pause lets everybody in for a while.
func (h *Handler) pause(ctx context.Context, o *Order) (any, error) {
	until, err := o.until(h.now(), pauseTime)
	if err == nil && (until.IsZero() || until.Sub(h.now()) > maxPause) {
		err = bad("pause: it has to end, within a day")
	}
	if err != nil {
		return nil, err
	}
	return h.everybody(ctx, o, pipeline.Action{Op: pipeline.Pause, Jail: pipeline.Manual, Until: until, Reason: o.Reason})
}

func (h *Handler) resume(ctx context.Context, o *Order) (any, error) {
	return h.everybody(ctx, o, pipeline.Action{Op: pipeline.Resume, Jail: pipeline.Manual})
}

func (h *Handler) everybody(ctx context.Context, o *Order, a pipeline.Action) (any, error) {
	if len(o.Addrs) > 0 || o.Jail != "" || o.All || o.Force {
		return nil, bad("%v: it is for everybody", a.Op)
	}
	before := h.Pipeline().Snapshot()
	if err := h.do(ctx, []pipeline.Action{a}, nil); err != nil {
		return nil, err
	}
	out := NewAction(a, h.now())
	r := Result{Done: true, Action: &out, Notes: h.sinkNotes()}
	if a.Op == pipeline.Resume && before.Paused.IsZero() {
		for _, held := range before.Held {
			r.Notes = append(r.Notes, fmt.Sprintf("jail %s bans again", held.Jail))
		}
		if len(before.Held) == 0 {
			r.Notes = append(r.Notes, "there was no pause")
		}
		return Results{Results: []Result{r}}, nil
	}
	for _, s := range h.Pipeline().Snapshot().Sinks {
		switch {
		case s.Gate:
		case !s.Lifts:
			r.Notes = append(r.Notes, s.Sink+" cannot pause: its bans stay")
		case a.Op == pipeline.Pause:
			r.Notes = append(r.Notes, s.Sink+" is told to lift its bans, one by one, and gets them back afterwards")
		default:
			r.Notes = append(r.Notes, s.Sink+" gets its bans back, one by one")
		}
	}
	return Results{Results: []Result{r}}, nil
}
