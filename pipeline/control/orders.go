package control

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// The widest networks that are banned without Force.
const (
	widest4 = 8
	widest6 = 32
)

// ban bans addresses and networks by hand.
func (h *Handler) ban(ctx context.Context, o *Order) (any, error) {
	if o.All {
		return nil, bad("ban: everybody cannot be banned")
	}
	asked, err := o.prefixes()
	if err != nil {
		return nil, err
	}
	p := h.Pipeline()
	base := pipeline.Action{Op: pipeline.Ban, Jail: pipeline.Manual, Reason: o.Reason, Forced: o.Force}
	length := 10 * time.Minute
	if h.BanTime != nil {
		length = h.BanTime()
	}
	if o.Jail != "" {
		j, ok := jailsOf(p)[o.Jail]
		if !ok && o.Jail != pipeline.Manual {
			return nil, &problem{http.StatusNotFound, fmt.Errorf("there is no jail %q", o.Jail)}
		}
		base.Jail, base.Ports, base.Observe = o.Jail, j.Ports, j.Observe
		if j.BanTime != 0 {
			length = j.BanTime
		}
	}
	if base.Reason == "" {
		base.Reason = "by hand"
	}
	if base.Until, err = o.until(h.now(), length); err != nil {
		return nil, err
	}
	var actions []pipeline.Action
	for _, one := range asked {
		if one.refused = o.tooMuch(one.prefix); one.refused == nil {
			base.Prefix = one.prefix
			actions = append(actions, base)
		}
	}
	if err := h.do(ctx, actions, asked); err != nil {
		return nil, err
	}
	return h.results(asked, func(one *asking, r *Result) {
		base.Prefix = one.prefix
		for _, held := range p.Holding(one.prefix) {
			switch {
			case held.Op == pipeline.Pause:
				r.Notes = append(r.Notes, "everything is paused"+untilWords(held.Until)+": it is kept out from then on")
			case held.Op == pipeline.Ban && held.Prefix == one.prefix && held.Jail == base.Jail:
				base = held // it may have been banned for longer
			}
		}
		if base.Observe {
			r.Notes = append(r.Notes, fmt.Sprintf("jail %s only observes (enforce = false): nothing is dropped", base.Jail))
		}
		a := NewAction(base, h.now())
		r.Action = &a
		r.Notes = append(r.Notes, h.sinkNotes()...)
	}), nil
}

// tooMuch says why a ban needs Force: it would hit where the caller sits, or half the world.
func (o *Order) tooMuch(p netip.Prefix) error {
	if o.Force {
		return nil
	}
	for _, s := range o.Spare {
		if spare, err := ParsePrefix(s); err == nil && p.Overlaps(spare) {
			return fmt.Errorf("ban %v: you are connected from %s yourself (--force bans it all the same)", Word(p), Word(spare))
		}
	}
	if p.Addr().Is4() && p.Bits() < widest4 || p.Addr().Is6() && p.Bits() < widest6 {
		return fmt.Errorf("ban %v: wider than a /%d of IPv4 or a /%d of IPv6 (--force bans it all the same)", p, widest4, widest6)
	}
	return nil
}

// NotBanned is the first note on an unban that had nothing to lift.
const NotBanned = "it was not banned"

// unban lifts bans and forgets what was counted.
func (h *Handler) unban(ctx context.Context, o *Order) (any, error) {
	if o.All {
		r, err := h.unbanAll(ctx, o)
		return r, err
	}
	asked, err := o.prefixes()
	if err != nil {
		return nil, err
	}
	p := h.Pipeline()
	if err := h.knows(p, o.Jail); err != nil {
		return nil, err
	}
	var actions []pipeline.Action
	for _, one := range asked {
		actions = append(actions, pipeline.Action{Op: pipeline.Unban, Prefix: one.prefix, Jail: o.Jail, Reason: "by hand"})
		for _, held := range p.Holding(one.prefix) {
			one.banned = one.banned || held.Op == pipeline.Ban && jailsOf(p)[held.Jail].Covers(held.Prefix, one.prefix) && (o.Jail == "" || held.Jail == o.Jail)
		}
	}
	if err := h.do(ctx, actions, asked); err != nil {
		return nil, err
	}
	return h.results(asked, func(one *asking, r *Result) {
		if !one.banned {
			r.Notes = append(r.Notes, NotBanned)
		}
		for _, held := range p.Holding(one.prefix) {
			if held.Op == pipeline.Ban && !held.Observe {
				r.Notes = append(r.Notes, fmt.Sprintf("%s, banned by jail %s%s, still keeps it out: unban %[1]s lifts that", Word(held.Prefix), held.Jail, untilWords(held.Until)))
			}
		}
		r.Notes = append(r.Notes, h.sinkNotes()...)
	}), nil
}

// unbanAll lifts every ban, or those of one jail, in pieces, so that other orders get their turn.
func (h *Handler) unbanAll(ctx context.Context, o *Order) (Results, error) {
	out := Results{Results: []Result{}}
	if len(o.Addrs) > 0 {
		return out, bad("unban: addresses and all of them at once")
	}
	if err := h.knows(h.Pipeline(), o.Jail); err != nil {
		return out, err
	}
	var actions []pipeline.Action
	for a := range h.Pipeline().Live() {
		if a.Op == pipeline.Ban && (o.Jail == "" || a.Jail == o.Jail) {
			actions = append(actions, pipeline.Action{Op: pipeline.Unban, Prefix: a.Prefix, Jail: a.Jail, Reason: "by hand"})
		}
	}
	for len(actions) > 0 {
		n := min(len(actions), 5000)
		if err := h.do(ctx, actions[:n], nil); err != nil {
			return out, err
		}
		for _, a := range actions[:n] {
			out.Results = append(out.Results, Result{Addr: Word(a.Prefix), Done: true})
		}
		actions = actions[n:]
	}
	return out, nil
}

// An asking is one address of an order.
type asking struct {
	word    string
	prefix  netip.Prefix
	refused error
	banned  bool // before an unban
	allowed bool // before a disallow
}

func (o *Order) prefixes() ([]*asking, error) {
	if len(o.Addrs) == 0 {
		return nil, bad("addrs: want at least one address")
	}
	all := make([]*asking, 0, len(o.Addrs))
	seen := make(map[netip.Prefix]bool, len(o.Addrs))
	for _, s := range o.Addrs {
		p, err := ParsePrefix(s)
		if err != nil {
			return nil, bad("addrs: %w", err)
		}
		if !seen[p] {
			seen[p] = true
			all = append(all, &asking{word: Word(p), prefix: p})
		}
	}
	return all, nil
}

// until is when an order ends; the zero time never comes.
func (o *Order) until(now time.Time, length time.Duration) (time.Time, error) {
	if s := o.ForSeconds; s != nil {
		switch {
		case math.IsNaN(*s) || *s == 0 || *s > 100*365*86400:
			return time.Time{}, bad("for_seconds %v: want a number that is not 0, and at most 100 years", *s)
		case *s < 0:
			length = -1
		default:
			length = time.Duration(*s * float64(time.Second))
		}
	}
	if length < 0 {
		return time.Time{}, nil
	}
	return now.Add(length), nil
}

// do carries actions out and notes in asked which were refused. While one pipeline is replaced by another it waits.
func (h *Handler) do(ctx context.Context, actions []pipeline.Action, asked []*asking) error {
	if len(actions) == 0 {
		return nil
	}
	err := h.Pipeline().Do(ctx, actions...)
	for errors.Is(err, pipeline.ErrNotRunning) && ctx.Err() == nil {
		select {
		case <-time.After(10 * time.Millisecond):
			err = h.Pipeline().Do(ctx, actions...)
		case <-ctx.Done():
		}
	}
	return refusals(err, asked)
}

// refusals takes out of err what is about single addresses.
func refusals(err error, asked []*asking) error {
	var rest []error
	for _, one := range split(err) {
		var refused *pipeline.RefusedError
		if !errors.As(one, &refused) || asked == nil {
			rest = append(rest, one)
			continue
		}
		for _, a := range refused.Actions {
			for _, q := range asked {
				if q.prefix == a.Prefix {
					q.refused = refused.Err
				}
			}
		}
	}
	return errors.Join(rest...)
}

// split takes joined errors apart as far as there are refusals in them.
func split(err error) []error {
	if err == nil {
		return nil
	}
	var refused *pipeline.RefusedError
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || !errors.As(err, &refused) {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, split(e)...)
	}
	return all
}

func (h *Handler) results(asked []*asking, done func(*asking, *Result)) Results {
	out := Results{Results: make([]Result, 0, len(asked))}
	for _, one := range asked {
		r := Result{Addr: one.word, Done: one.refused == nil}
		if one.refused != nil {
			r.Error = one.refused.Error()
		} else {
			done(one, &r)
		}
		out.Results = append(out.Results, r)
	}
	return out
}

// sinkNotes says which back ends will hear of it later.
func (h *Handler) sinkNotes() (notes []string) {
	for _, s := range h.Pipeline().Snapshot().Sinks {
		if !s.Failing.IsZero() {
			notes = append(notes, fmt.Sprintf("%s is failing and will be told when it works again: %s", s.Sink, s.Error))
		}
	}
	return notes
}

// flush empties the kernel at once, and lifts every ban everywhere else.
func (h *Handler) flush(ctx context.Context, _ *Order) (any, error) {
	if h.Flush == nil {
		return nil, errNotHere
	}
	n, err := h.Flush(ctx)
	if err != nil {
		return nil, err
	}
	lifted, err := h.unbanAll(ctx, &Order{All: true})
	if err != nil {
		return nil, err
	}
	note := fmt.Sprintf("%d tables removed and %d bans lifted; the next ban makes a table anew", n, len(lifted.Results))
	return Results{Results: []Result{{Done: true, Notes: []string{note}}}}, nil
}

func (h *Handler) reload(ctx context.Context, o *Order) (any, error) {
	if h.Reload == nil {
		return nil, errNotHere
	}
	var confirm time.Duration
	if s := o.ForSeconds; s != nil {
		if !(*s >= 1 && *s <= 7*86400) {
			return nil, bad("for_seconds %v: a configuration can be on trial for a second to a week", *s)
		}
		confirm = time.Duration(*s * float64(time.Second))
	}
	out, err := h.Reload(ctx, confirm)
	if err != nil {
		return nil, &problem{http.StatusUnprocessableEntity, err}
	}
	return out, nil
}

func (h *Handler) confirm(ctx context.Context, _ *Order) (any, error) {
	if h.Confirm == nil {
		return nil, errNotHere
	}
	if err := h.Confirm(ctx); err != nil {
		return nil, &problem{http.StatusConflict, err}
	}
	return Results{Results: []Result{{Done: true}}}, nil
}
