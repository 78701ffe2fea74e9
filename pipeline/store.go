package pipeline

import (
	"context"
	"iter"
)

// A Store keeps checkpoints. Commit writes all of a checkpoint or nothing, durably; the pipeline calls
// it from one goroutine. Load calls read once with what the last Commit left for owner, in any order,
// and returns its error; the slices are good only during that call.
type Store interface {
	Load(owner string, read func(saved iter.Seq2[[]byte, []byte]) error) error
	Commit(ctx context.Context, c *Checkpoint) error
}

// A Checkpoint is what changed between two moments of the log: every Stateful stage and every source
// as it stood behind the same line.
type Checkpoint struct {
	Full    bool // Changes is everything: what the store has of any owner goes
	Changes []Change
}

// A Change is one key of one owner (Stateful.Name, or "cursors").
type Change struct {
	Owner string
	Key   []byte
	Value []byte // nil deletes the key
}

// checkpoint will be filled in by the run.
type checkpoint struct{ Checkpoint }
