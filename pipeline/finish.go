package pipeline

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"go.uber.org/zap"
)

// finish is the end of the line: actions go to the outboxes, checkpoints with the cursors to the saver.
func (r *run) finish(work context.Context, in <-chan *Batch) {
	defer func() {
		r.saver.close()
		for _, o := range r.boxes {
			o.close()
		}
	}()
	for {
		b, ok := receive(work, in)
		if !ok {
			return
		}
		for i := range b.Records {
			if rec := &b.Records[i]; rec.Kind == Hit {
				r.samples.add(rec)
			}
		}
		r.stats().worked(b, time.Now)
		r.act(b.Actions)
		if len(b.Cursor) > 0 || b.Gone {
			r.moveCursor(b)
		}
		if b.mark != nil {
			r.save(b.mark, b.fails)
		}
		r.put(b)
	}
}

// moveCursor notes where a source stands.
func (r *run) moveCursor(b *Batch) {
	c := r.cursors[b.Source]
	if c == nil {
		c = &cursor{}
		r.cursors[b.Source] = c
	}
	c.at, c.changed, c.gone = append(c.at[:0], b.Cursor...), true, b.Gone
}

func (r *run) save(c *checkpoint, fails []error) {
	put := c.put(Cursors)
	for name, cur := range r.cursors {
		switch {
		case r.Store == nil:
		case cur.gone:
			put([]byte(name), nil)
			delete(r.cursors, name)
		case c.Full || cur.changed:
			put([]byte(name), cur.at)
			cur.changed = false
		}
	}
	c.Events, r.events = r.events, nil
	for i := range c.answers {
		c.answers[i].err = errors.Join(fails...)
	}
	r.saver.put(c)
}

// act books actions, tells the sinks, and writes the ban log and the history. The end of what nobody held is for the sinks
// only: they may hold what the state does not know.
func (r *run) act(actions []Action) {
	for _, a := range actions {
		news := r.ledger.put(a)
		for _, o := range r.boxes {
			o.put(a)
		}
		if a.Restored || !news {
			continue
		}
		r.logAction(a)
		e := Event{Time: r.ledger.now(), Action: a}
		if a.Op == Ban {
			e.Lines = r.samples.of(a.Jail, a.Prefix)
		}
		r.stats().watch.send(e)
		if r.Store != nil {
			r.events = append(r.events, e)
		}
	}
}

func (r *run) logAction(a Action) {
	fields := []zap.Field{addrField(a.Prefix), zap.String("jail", a.Jail)}
	switch a.Op.begin() {
	case Pause:
		fields = fields[:0]
	case Hold:
		fields = []zap.Field{zap.String("jail", a.Jail), zap.String("reason", a.Reason)}
	}
	switch {
	case a.Op == Hold:
		say := r.log.Error
		if a.Observe {
			say = r.log.Warn // nobody was banned
		}
		say("a jail bans too many: it bans nobody until it is looked at, or for a while", append(fields, zap.Time("until", a.Until))...)
		return
	case a.Op.Ends():
		r.log.Info(logWords[a.Op], fields...)
		return
	case a.Until.IsZero():
		fields = append(fields, zap.String("for", "ever"))
	default:
		fields = append(fields, zap.Duration("for", a.Until.Sub(r.ledger.now()).Round(time.Second)), zap.Time("until", a.Until))
	}
	if a.Op == Ban {
		fields = append(fields, zap.Int("hits", a.Hits))
	}
	if a.Reason != "" {
		fields = append(fields, zap.String("reason", a.Reason))
	}
	if a.Observe {
		r.log.Info("would ban", fields...)
		return
	}
	r.log.Info(logWords[a.Op], fields...)
}

// logWords are the messages of the ban log, by Op.
var logWords = [...]string{"banned", "unbanned", "allowed", "no longer allowed", "paused: nobody is kept out", "resumed", "", "the jail bans again"}

// addrField names what is banned: a host without its /32.
func addrField(p netip.Prefix) zap.Field {
	if p.IsSingleIP() {
		return zap.Stringer("addr", p.Addr())
	}
	return zap.Stringer("addr", p)
}
