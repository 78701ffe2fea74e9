package pipeline

import (
	"context"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// A Snapshot is how a pipeline is doing. Taking it holds up nothing, however many bans and addresses there are.
type Snapshot struct {
	Sources []SourceStats
	Jails   []JailStats // those of Decide and Window, by name, and Manual if it holds anything
	Sinks   []SinkStats
	State   StateStats
	Paused  time.Time // until when everybody passes; zero: nobody does
	Allowed int       // addresses that pass
	Held    []Action  // Hold: jails whose breaker has tripped
	Late    *LateHit  // the last offender who went on in spite of his ban; nil: none
	Spared  []Spared  // proxies that went unbanned, the latest first
	Pending []Pending // what jails will ban for lines from before their first start
}

// Snapshot may be called at any time; without a Run it says only what Stats has, and how the last one left the state.
func (p *Pipeline) Snapshot() Snapshot {
	r := p.current.Load()
	s := Snapshot{Sources: p.stats().Sources(time.Now()), State: StateStats{Kept: p.Store != nil}}
	names := map[string]bool{}
	var windows []*Window
	var decides []*Decide
	for _, stage := range p.Stages {
		switch stage := stage.(type) {
		case *Window:
			windows = append(windows, stage)
			for name := range stage.Jails {
				names[name] = true
			}
		case *Decide:
			decides = append(decides, stage)
			for name := range stage.Jails {
				names[name] = true
			}
			for name := range stage.counts.seen() {
				if stage.Live(name) > 0 {
					names[name] = true
				}
			}
			if late := stage.Late(); late != nil {
				s.Late = late
			}
			s.Spared = append(s.Spared, stage.Spared()...)
			s.Pending = append(s.Pending, stage.Pending()...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		j := JailStats{Jail: name}
		for _, w := range windows {
			j.Tracked += w.Tracked(name)
		}
		for _, d := range decides {
			j.Live += d.Live(name)
			j.Tracked += d.Tracked(name)
		}
		p.stats().fill(&j)
		s.Jails = append(s.Jails, j)
	}
	if r == nil {
		if left := p.left.Load(); left != nil {
			s.State = *left
		}
		return s
	}
	for _, o := range r.boxes {
		s.Sinks = append(s.Sinks, o.stats())
	}
	r.saver.stats(&s.State)
	s.Paused, s.Allowed = r.ledger.passes()
	s.Held = r.ledger.holds()
	return s
}

// Live yields what is in force: bans of every jail (those of jails that only observe too), Allow and Pause. It may be
// called at any time, holds up the stream for less than a millisecond at once, and tells of what begins or ends
// meanwhile or not. Nothing comes without a Run.
func (p *Pipeline) Live() iter.Seq[Action] {
	return func(yield func(Action) bool) {
		if r := p.current.Load(); r != nil {
			r.ledger.all(yield)
		}
	}
}

// Holding is what is in force for an address or a network: bans of exactly it, bans of networks that it lies in, and the
// Allow and the Pause that let it through. It does not look at every ban.
func (p *Pipeline) Holding(prefix netip.Prefix) []Action {
	if r := p.current.Load(); r != nil {
		return r.ledger.holding(unmapped(prefix))
	}
	return nil
}

// stats is what this pipeline counts in.
func (p *Pipeline) stats() *Stats {
	if p.Stats != nil {
		return p.Stats
	}
	return &p.own
}

// Watch gives whoever wants to see what happens every Event from now on, until ctx is done; see Stats.Watch.
func (p *Pipeline) Watch(ctx context.Context) *Watcher { return p.stats().Watch(ctx) }
