package pipeline

import (
	"context"
	"iter"
	"maps"
	"sync"
)

// A Store keeps checkpoints. Commit writes all of a checkpoint or nothing, durably, before it returns;
// the pipeline calls it from one goroutine. Load calls read once with what the last Commit left for
// owner, in any order, and returns its error; the slices are good only during that call.
type Store interface {
	Load(owner string, read func(saved iter.Seq2[[]byte, []byte]) error) error
	Commit(ctx context.Context, c *Checkpoint) error
}

// A Checkpoint is what changed between two moments of the log: every Stateful stage and every source
// as it stood behind the same line.
type Checkpoint struct {
	Full    bool     // Changes is everything: whatever else the store has goes
	Changes []Change // where a key comes twice, the later one counts
	Events  []Event  // for the history: what was decided since the last one, in order
}

// A Change is one key of one owner.
type Change struct {
	Owner string // Stateful.Name, or Cursors
	Key   []byte
	Value []byte // nil deletes the key
}

// Cursors is the owner of the sources' cursors in a Checkpoint: Batch.Source to Batch.Cursor.
const Cursors = "cursors"

// maxEvents is how many events are kept in memory: by a MemStore, and while a store cannot be written.
const maxEvents = 10_000

// A MemStore is a Store in memory, for tests and for programs that keep checkpoints elsewhere. Its zero
// value is empty and ready to use, by several goroutines.
type MemStore struct {
	mu     sync.Mutex
	saved  map[string]map[string][]byte
	events []Event
}

// Load implements Store.
func (m *MemStore) Load(owner string, read func(iter.Seq2[[]byte, []byte]) error) error {
	m.mu.Lock()
	saved := maps.Clone(m.saved[owner])
	m.mu.Unlock()
	return read(func(yield func(k, v []byte) bool) {
		for k, v := range saved {
			if !yield([]byte(k), v) {
				return
			}
		}
	})
}

// Commit implements Store; it never fails.
func (m *MemStore) Commit(_ context.Context, c *Checkpoint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Full || m.saved == nil {
		m.saved = make(map[string]map[string][]byte)
	}
	for _, ch := range c.Changes {
		if ch.Value == nil {
			delete(m.saved[ch.Owner], string(ch.Key))
			continue
		}
		if m.saved[ch.Owner] == nil {
			m.saved[ch.Owner] = make(map[string][]byte)
		}
		m.saved[ch.Owner][string(ch.Key)] = ch.Value
	}
	m.events = append(m.events, c.Events...)
	if n := len(m.events) - maxEvents; n > 0 {
		m.events = append(m.events[:0], m.events[n:]...)
	}
	return nil
}
