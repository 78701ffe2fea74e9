package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// read calls a source until it ends or reading is done.
func (r *run) read(reading, work context.Context, s Source, out chan<- *Batch) {
	log := r.log.Named("source")
	var wait backoff
	_, resumes := s.(Resumer)
	resumes = resumes && r.Store != nil
	ended := map[string]bool{} // the Batch.Sources that were at their end
	for reading.Err() == nil {
		b := r.get()
		b.Source = s.Name()
		err := s.Read(reading, b)
		ended[b.Source] = ended[b.Source] || b.Live
		b.Backlog = resumes && !r.known[b.Source] && !ended[b.Source]
		if len(b.Records) > 0 || reading.Err() == nil {
			r.stats().read(s.Name(), b, failure(err), time.Now())
		}
		if len(b.Records) == 0 && len(b.Cursor) == 0 && !b.Gone {
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
