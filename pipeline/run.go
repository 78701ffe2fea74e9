package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
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
	hand   chan order    // from Do to the clerk
	ended  chan struct{} // closed when Run returns
	free   chan *Batch   // used batches

	// finish's alone
	cursors map[string]*cursor
	samples samples
	events  []Event // since the last checkpoint
}

// A cursor is where a source stood when its last batch reached the end of the line.
type cursor struct {
	at      []byte
	changed bool
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

// adopt asks the sinks for the bans of an earlier run of which no state is left. An error ends the run:
// a sink of which nobody knows what it holds would be emptied by its first Sync.
func (r *run) adopt(ctx context.Context, b *Batch) error {
	for _, o := range r.boxes {
		a, ok := o.Sink.(Adopter)
		if !ok {
			continue
		}
		held, err := a.Held(ctx)
		if err != nil {
			return fmt.Errorf("sink %s: read the bans of an earlier run: %w", o.Sink.Name(), err)
		}
		for _, a := range held {
			a.Op, a.Restored = Ban, true
			b.Actions = append(b.Actions, a)
		}
		if len(held) > 0 {
			o.log.Info("no saved state; bans taken over from the back end", zap.Int("bans", len(held)))
		}
	}
	return nil
}

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

// read calls a source until it ends or reading is done.
func (r *run) read(reading, work context.Context, s Source, out chan<- *Batch) {
	log := r.log.Named("source")
	var wait backoff
	for reading.Err() == nil {
		b := r.get()
		b.Source = s.Name()
		err := s.Read(reading, b)
		if len(b.Records) > 0 || reading.Err() == nil {
			r.stats().read(s.Name(), b, failure(err), time.Now())
		}
		if len(b.Records) == 0 && len(b.Cursor) == 0 {
			r.put(b)
		} else if !send(work, out, b) {
			return
		}
		switch {
		case err == nil:
			wait.reset()
		case errors.Is(err, io.EOF):
			log.Info("ended", zap.String("source", s.Name()))
			return
		case reading.Err() == nil:
			d := wait.next()
			log.Warn("failed, will be read again", zap.String("source", s.Name()), zap.Error(err), zap.Duration("in", d))
			sleep(reading, d)
		}
	}
}

// failure is an error of a source that does not mean its end.
func failure(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// clerk sends what does not come from a source, and ends the line when the sources are done. It closes
// out only then: after an abort a source may still be about to send.
func (r *run) clerk(work context.Context, read <-chan struct{}, out chan<- *Batch) {
	tick := time.NewTicker(orDefault(r.CheckpointEvery, time.Second))
	defer tick.Stop()
	for {
		b := r.get()
		select {
		case o := <-r.hand:
			b.Actions = append(b.Actions, o.actions...)
			b.mark = &checkpoint{answers: []answer{{to: o.answer}}}
			b.mark.Full = r.saver.needFull()
		case <-tick.C:
			full, due := r.saver.want()
			if !due || r.Store == nil {
				r.put(b)
				continue
			}
			b.mark = &checkpoint{Checkpoint: Checkpoint{Full: full}}
		case <-read:
			b.mark = &checkpoint{Checkpoint: Checkpoint{Full: r.saver.needFull()}}
			send(work, out, b)
			close(out)
			return
		case <-work.Done():
			return
		}
		if !send(work, out, b) {
			return
		}
	}
}

// chain starts the stages, each between two channels, and returns the last one.
func (r *run) chain(work context.Context, g *errgroup.Group, in chan *Batch, fail func(error) error) <-chan *Batch {
	for i, s := range r.Stages {
		process := func(s Stage, in <-chan *Batch, out chan<- *Batch) func() error {
			return func() error {
				defer close(out)
				if err := r.process(work, s, in, out); err != nil {
					return fail(fmt.Errorf("%s: %w", stageName(i, s), err))
				}
				return nil
			}
		}
		out := make(chan *Batch, depth)
		if c, ok := s.(*concurrent); ok {
			r.fan(work, g, c, in, out, process)
		} else {
			g.Go(process(s, in, out))
		}
		in = out
	}
	return in
}

// fan deals batches to the workers in turn and collects them in the same turn: so they cannot overtake.
func (r *run) fan(work context.Context, g *errgroup.Group, c *concurrent, in <-chan *Batch, out chan<- *Batch,
	process func(Stage, <-chan *Batch, chan<- *Batch) func() error,
) {
	var ins, outs []chan *Batch
	for _, s := range c.workers {
		wi, wo := make(chan *Batch, 1), make(chan *Batch, 1)
		ins, outs = append(ins, wi), append(outs, wo)
		g.Go(process(s, wi, wo))
	}
	g.Go(func() error {
		defer func() {
			for _, wi := range ins {
				close(wi)
			}
		}()
		for i := 0; ; i = (i + 1) % len(ins) {
			b, ok := receive(work, in)
			if !ok || !send(work, ins[i], b) {
				return nil
			}
		}
	})
	g.Go(func() error {
		defer close(out)
		for i := 0; ; i = (i + 1) % len(outs) {
			b, ok := receive(work, outs[i])
			if !ok || !send(work, out, b) {
				return nil
			}
		}
	})
}

// process runs one stage. A checkpoint is filled behind the batch it rides on.
func (r *run) process(work context.Context, s Stage, in <-chan *Batch, out chan<- *Batch) error {
	stateful, _ := s.(Stateful)
	for {
		b, ok := receive(work, in)
		if !ok {
			return nil
		}
		if err := s.Process(work, b); err != nil {
			return err
		}
		if b.mark != nil && stateful != nil && r.Store != nil {
			stateful.Save(b.mark.Full, b.mark.put(stateful.Name()))
		}
		if !send(work, out, b) {
			return nil
		}
	}
}

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
		if len(b.Cursor) > 0 {
			c := r.cursors[b.Source]
			if c == nil {
				c = &cursor{}
				r.cursors[b.Source] = c
			}
			c.at, c.changed = append(c.at[:0], b.Cursor...), true
		}
		if b.mark != nil {
			r.save(b.mark, b.fails)
		}
		r.put(b)
	}
}

func (r *run) save(c *checkpoint, fails []error) {
	put := c.put(Cursors)
	for name, cur := range r.cursors {
		if r.Store != nil && (c.Full || cur.changed) {
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

// act books actions, tells the sinks, and writes the ban log and the history.
func (r *run) act(actions []Action) {
	for _, a := range actions {
		r.ledger.put(a)
		for _, o := range r.boxes {
			o.put(a)
		}
		if a.Restored {
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
	if a.Op.begin() == Pause {
		fields = fields[:0]
	}
	switch {
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
var logWords = [...]string{"banned", "unbanned", "allowed", "no longer allowed", "paused: nobody is kept out", "resumed"}

// addrField names what is banned: a host without its /32.
func addrField(p netip.Prefix) zap.Field {
	if p.IsSingleIP() {
		return zap.Stringer("addr", p.Addr())
	}
	return zap.Stringer("addr", p)
}

func (r *run) get() *Batch {
	select {
	case b := <-r.free:
		return b
	default:
		return &Batch{}
	}
}

func (r *run) put(b *Batch) {
	b.Reset()
	select {
	case r.free <- b:
	default:
	}
}

// stageName is what an error calls a stage.
func stageName(i int, s Stage) string {
	if n, ok := s.(interface{ Name() string }); ok {
		return "stage " + n.Name()
	}
	return fmt.Sprintf("stage %d (%T)", i, s)
}

// send and receive report false if ctx is done, or the channel closed.
func send(ctx context.Context, out chan<- *Batch, b *Batch) bool {
	select {
	case out <- b:
		return true
	case <-ctx.Done():
		return false
	}
}

func receive(ctx context.Context, in <-chan *Batch) (*Batch, bool) {
	select {
	case b, ok := <-in:
		return b, ok
	case <-ctx.Done():
		return nil, false
	}
}
