package pipeline

import (
	"container/heap"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.uber.org/zap"
)

func (d *Decide) ban(b *Batch, a Action) {
	k := banKey{a.Jail, a.Prefix}
	old, held := d.live[k]
	if held && old.since != 0 {
		a.Since = time.Unix(old.since, 0) // it is made longer
	}
	if held && (old.observe != a.Observe || !slices.Equal(old.ports, a.Ports)) {
		d.lift(b, k, old) // it moves to another set
		held = false
	}
	if held {
		d.live[k] = newLiveBan(a)
	} else {
		d.enter(k, newLiveBan(a))
	}
	d.note(k)
	d.ends.push(a.Until, k)
	b.Actions = append(b.Actions, a)
	for len(d.live) > orDefault(d.MaxBans, 1_000_000) {
		d.evict(b)
	}
}

// enter and leave are how a ban becomes a live one, and stops being one.
func (d *Decide) enter(k banKey, held liveBan) {
	d.live[k] = held
	d.widths.add(k.prefix)
	d.counts.add(k.jail, 1)
	d.crowds.add(d.jails[k.jail], k, 1)
}

func (d *Decide) leave(k banKey) {
	delete(d.live, k)
	d.counts.add(k.jail, -1)
	d.crowds.add(d.jails[k.jail], k, -1)
	d.note(k)
}

// evict makes room by lifting the ban that would end first.
func (d *Decide) evict(b *Batch) {
	for len(d.ends) > 0 {
		e := heap.Pop(&d.ends).(end)
		if held, ok := d.live[e.key]; ok && held.until.Equal(e.at) {
			d.Logger.Warn("too many live bans: the one that would end first is lifted",
				addrField(e.key.prefix), zap.String("jail", e.key.jail), zap.Time("until", held.until), zap.Int("bans", len(d.live)))
			d.lift(b, e.key, held)
			return
		}
	}
}

// unban lifts what jail holds of exactly this prefix, of every jail if it is "", and of an address what was banned for
// it: its network. The next ban of it is the first one. If nobody holds it, the sinks are told all the same: they may
// hold what the state does not know.
func (d *Decide) unban(b *Batch, a Action) {
	d.first.forget(a.Jail, a.Prefix)
	found := false
	lift := func(k banKey) {
		if old, ok := d.live[k]; ok {
			d.lift(b, k, old)
			found = true
		}
		d.past.forget(k)
	}
	of := func(jail string) {
		lift(banKey{jail, a.Prefix})
		if j := d.jails[jail]; j != nil && a.Prefix.IsSingleIP() && j.Network(a.Prefix.Addr()) != a.Prefix {
			lift(banKey{jail, j.Network(a.Prefix.Addr())})
		}
	}
	if a.Jail != "" {
		of(a.Jail)
	} else {
		for jail := range d.jails {
			if _, live := d.counts.all()[jail]; !live {
				of(jail)
			}
		}
		for jail := range d.counts.all() {
			of(jail)
		}
	}
	if !found {
		b.Actions = append(b.Actions, a)
	}
}

// note has k saved; without a store, which Load would have told, nothing is collected for ever.
func (d *Decide) note(k banKey) {
	if d.changed != nil {
		d.changed[k] = struct{}{}
	}
}

func (d *Decide) lift(b *Batch, k banKey, held liveBan) {
	d.leave(k)
	a := held.action(k)
	a.Op, a.Until = Unban, time.Time{}
	b.Actions = append(b.Actions, a)
}

// expire forgets bans that have ended; the back ends ended them by themselves.
func (d *Decide) expire(now time.Time) {
	for len(d.ends) > 0 && !d.ends[0].at.IsZero() && !d.ends[0].at.After(now) {
		e := heap.Pop(&d.ends).(end)
		if held, ok := d.live[e.key]; ok && !held.until.IsZero() && !held.until.After(now) {
			d.leave(e.key)
			d.Logger.Info("ban ended", addrField(e.key.prefix), zap.String("jail", e.key.jail))
		}
	}
	if len(d.ends) > 2*len(d.live)+1024 { // bans that were made longer leave their old ends behind
		d.ends = d.ends[:0]
		for k, held := range d.live {
			d.ends = append(d.ends, end{held.until, k})
		}
		heap.Init(&d.ends)
	}
}

// Save implements Stateful: keys are banKey.bytes, values liveBan.encode; and those of passes, logins, offenders,
// recidives, firstStart and learned, which begin with a zero byte.
func (d *Decide) Save(full bool, put func(key, value []byte)) {
	d.init()
	d.pass.save(full, d.now(), put)
	d.logins.save(full, d.now(), put)
	d.past.save(full, put)
	d.repeats.save(full, put)
	d.first.save(full, put)
	d.learned.save(full, put)
	if full {
		for k, held := range d.live {
			put(k.bytes(), held.encode())
		}
	} else {
		for k := range d.changed {
			if held, ok := d.live[k]; ok {
				put(k.bytes(), held.encode())
			} else {
				put(k.bytes(), nil)
			}
		}
	}
	clear(d.changed)
}

// Load implements Stateful. The bans come out of the next Process as Restored actions, except those that are
// over and those that may not be any more.
func (d *Decide) Load(saved iter.Seq2[[]byte, []byte]) error {
	d.init()
	d.changed, d.past.changed = make(map[banKey]struct{}), make(map[banKey]struct{})
	now := d.now()
	var k banKey
	var held liveBan
	for kb, v := range saved {
		if ours, err := d.loadOther(kb, v, now); err != nil {
			return err
		} else if ours {
			continue
		}
		var err error
		k, err = parseBanKey(kb, k.jail)
		if err != nil {
			return err
		}
		held, err = decodeBan(v, held.reason)
		if err != nil {
			return fmt.Errorf("ban %q: %w", kb, err)
		}
		d.enter(k, held)
	}
	d.moved(now) // what was learnt counts for what was saved, too
	d.sift(now)
	d.restore = true
	return nil
}

// loadOther takes a key that is no ban's.
func (d *Decide) loadOther(k, v []byte, now time.Time) (ours bool, err error) {
	if ours, err = d.pass.load(k, v, now); !ours {
		ours, err = d.logins.load(k, v)
	}
	if !ours {
		ours, err = d.past.load(k, v)
	}
	if !ours {
		ours, err = d.repeats.load(k, v, now)
	}
	if !ours {
		ours, err = d.loadFirst(k, v, now)
	}
	if !ours {
		ours, err = d.learned.load(k, v)
	}
	return ours, err
}

// sift drops of what was loaded the bans that are over and those that may not be any more: only now it is known who passes
// and who has logged in.
func (d *Decide) sift(now time.Time) {
	for k, held := range d.live {
		a := held.action(k)
		if why := d.refuse(a, now); over(a, now) || why != nil {
			if why != nil {
				d.Logger.Info("a saved ban is lifted", addrField(a.Prefix), zap.String("jail", a.Jail), zap.NamedError("why", why))
			}
			d.leave(k)
			continue
		}
		d.ends = append(d.ends, end{held.until, k})
	}
	heap.Init(&d.ends)
}

// An endHeap has the bans by their end, those without one last. An end that no longer agrees with its live
// ban is skipped when it comes up.
type endHeap []end

type end struct {
	at  time.Time
	key banKey
}

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return outlasts(h[j].at, h[i].at) }
func (h endHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *endHeap) Push(x any)        { *h = append(*h, x.(end)) }
func (h *endHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}
func (h *endHeap) push(at time.Time, k banKey) { heap.Push(h, end{at, k}) }
