package pipeline

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A Source reads log lines. Read blocks until at least one is ready, appends what is ready to b until
// b is Full, and sets b.Source and b.Cursor; like io.Reader it may return lines and an error together.
// It never waits for a second line. io.EOF ends the source; after any other error it is called again,
// after a wait. It returns soon after ctx is done; lines that it had taken and not delivered go to the
// next Read. A batch with a Cursor and no lines says where the source stands before the first one,
// or, if it is Live, that all that was there before has been read; one that is Gone, that nothing more comes
// of b.Source. Read is called by one goroutine at a time and does not keep b.
type Source interface {
	Name() string // "file:/var/log/auth.log", "journal", "stdin": in logs, metrics and saved state
	Read(ctx context.Context, b *Batch) error
}

// A Resumer is a Source that can go on where a checkpoint stood. Resume is called before the first
// Read with the last saved Cursor of every Batch.Source there ever was, those of other sources too;
// it picks its own and may keep them. One that has been read from in an earlier Run goes on where it is instead.
type Resumer interface {
	Source
	Resume(cursors map[string][]byte)
}

// A Stage changes a batch in place: fills fields, drops or adds records, adds actions. It keeps
// neither b nor any slice in it after it returns. An error stops the pipeline; a record that it
// cannot handle is not an error. One goroutine calls it, so it needs no locks. It gets batches without
// records too: at the start, from Pipeline.Do, and where earlier stages dropped every line.
type Stage interface {
	Process(ctx context.Context, b *Batch) error
}

// StageFunc makes a Stage of a function.
type StageFunc func(ctx context.Context, b *Batch) error

// Process calls f.
func (f StageFunc) Process(ctx context.Context, b *Batch) error { return f(ctx, b) }

// A Stateful stage has something that must outlive a restart. Save hands over what changed since the
// last call, all of it if full; a nil value deletes. put copies what it is given. Load gets it back
// before the first batch; it may not keep the slices. Both are called by the goroutine that calls
// Process.
type Stateful interface {
	Stage
	Name() string // the owner of the saved keys: never renamed between versions
	Save(full bool, put func(key, value []byte))
	Load(saved iter.Seq2[[]byte, []byte]) error
}

// A Sink carries out actions. Apply is idempotent: it is called again with the same actions after an
// error, and with every live ban after a restart. It never sees two actions with the same ports and
// prefix in one call, nor an Observe unless Output.Observe is set. A *RefusedError names actions that must not be tried again, and
// why; the others are done. It is called by one goroutine at a time, returns soon after ctx is done,
// and does not keep the slice.
type Sink interface {
	Name() string // "nftables", "ufw": in logs, metrics and output
	Apply(ctx context.Context, actions []Action) error
}

// A Keeper is a Sink whose back end others can change. Sync makes it hold exactly the live bans, at the
// start and whenever Watch returns nil (somebody changed it). Apply and Sync are called by one
// goroutine at a time, Watch by another one beside it. For the time of a Pause a Keeper that is no Gate is made to hold nothing.
type Keeper interface {
	Sink
	Sync(ctx context.Context, live iter.Seq[Action]) error
	Watch(ctx context.Context) error
}

// A Lifter is a Keeper that says whether it can end bans at all; one that cannot is left alone by a Pause.
type Lifter interface {
	Keeper
	Lifts() bool
}

// A Gate is a Sink whose back end can let packets through in spite of bans: it is given Allow, Disallow, Pause and
// Resume, too. No other sink sees those. Passing is what its back end lets through now, as Allow and Pause; it is asked when
// and as Adopter.Held is.
type Gate interface {
	Sink
	Passing(ctx context.Context) ([]Action, error)
}

// An Adopter is a Sink that can say what its back end holds: bans of an earlier run, each with the time
// that it has left. It is asked once, before anything else, and only if the Store has nothing saved.
type Adopter interface {
	Sink
	Held(ctx context.Context) ([]Action, error)
}

// A RefusedError is returned by Sink.Apply for actions that would fail again however often they were
// tried; it is logged and the actions are given up. In what Pipeline.Do returns, joined with others, it is an action that was
// not carried out.
type RefusedError struct {
	Actions []Action
	Err     error // why
}

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// An Output is a Sink and the jails whose actions it gets.
type Output struct {
	Sink    Sink
	Jails   []string // nil: all; bans by hand go to every sink
	Observe bool     // the sink gets the actions of jails that only observe, too: a report, not a back end
}

// A Pipeline is sources, stages and outputs. Fill it and call Run; do not change it afterwards. The zero
// value of every field but the first three is ready to use.
type Pipeline struct {
	Sources []Source
	Stages  []Stage // in the order in which a batch passes them
	Outputs []Output

	Store           Store            // what outlives a restart; nil: nothing does
	CheckpointEvery time.Duration    // 0 means 1 s
	DrainTimeout    time.Duration    // how long Run may go on after ctx is done; 0 means 10 s
	Now             func() time.Time // the clock of the sinks; nil means time.Now
	Logger          *zap.Logger      // nil means no logs
	Stats           *Stats           // counts, perhaps on from an earlier pipeline; nil: from nothing

	own     Stats                      // where there is no Stats
	current atomic.Pointer[run]        // the Run that is going on, for Do
	left    atomic.Pointer[StateStats] // of the last Run that has ended
}
