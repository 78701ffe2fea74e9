// Package store keeps what outlives a restart in one bbolt file: live bans, windows, cursors, and the history
// of bans. Each checkpoint is one transaction: after a crash or a power cut the file holds the last one whole.
package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

var _ pipeline.Store = (*Store)(nil)

// version is the layout of the file. A file with a higher one is left alone.
//
//	meta     "version" → 8 bytes, big endian
//	state    a bucket per owner (pipeline.Change): key → value
//	history  time (unix ns, 8 bytes), sequence (8 bytes) → event.go
const version = 1

var (
	metaBucket    = []byte("meta")
	stateBucket   = []byte("state")
	historyBucket = []byte("history")
	versionKey    = []byte("version")
)

// lockPatience is how long Open waits for another process to let go of the file: a service that is being
// restarted needs a moment.
const lockPatience = 2 * time.Second

// Options are settings of Open; the zero value works.
type Options struct {
	History  time.Duration    // how long events are kept; 0 means 90 days
	MaxBytes int              // lines of an event, in bytes, at most; 0 means 2 KiB
	Now      func() time.Time // nil means time.Now
	Logger   *zap.Logger      // nil means no logs
}

// A Store is an open state file. Its methods may be called by several goroutines, Commit by one at a time.
type Store struct {
	path string
	opts Options

	mu sync.RWMutex
	db *bbolt.DB // guarded by mu; nil as long as the file cannot be opened: Commit tries again

	// Commit's alone
	stale  bool // the file was not there at the start, or was lost since
	pruned time.Time
}

// Open opens the state file at path, and makes it and its folder (0700) if they are not there. The service
// must start whatever the file is like, so only two things are errors: another process has it open, and path
// is nonsense. A broken file is put aside as path.broken-TIME; one from a newer version is left alone, and path
// with ".v1" behind it used instead; on a file that cannot be opened or written for now the Store is degraded: empty, with
// Commit failing until it can.
func Open(path string, opts Options) (*Store, error) {
	if opts.History == 0 {
		opts.History = 90 * 24 * time.Hour
	}
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 2 << 10
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	s := &Store{path: path, opts: opts}
	err := s.open()
	switch {
	case errors.Is(err, errLocked):
		return nil, fmt.Errorf("state file %s: %w", path, err)
	case err != nil:
		opts.Logger.Error("state cannot be kept for now: bans are in memory and in the kernel only",
			zap.String("file", path), zap.Error(err))
		s.stale = true
	}
	return s, nil
}

var errLocked = errors.New("in use by another process: is a second banpipe running?")

// open sets s.db, with what stands in the way moved or stepped around.
func (s *Store) open() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	db, err := openFile(s.path)
	var newer *newerError
	var broken *brokenError
	switch {
	case errors.As(err, &newer):
		beside := fmt.Sprintf("%s.v%d", s.path, version)
		s.opts.Logger.Error("the state file is from a newer banpipe: it is left alone, and another one used",
			zap.String("file", s.path), zap.Uint64("its_version", newer.version), zap.Int("our_version", version), zap.String("used", beside))
		s.path = beside
		return s.open()
	case errors.As(err, &broken):
		aside := fmt.Sprintf("%s.broken-%s", s.path, s.opts.Now().UTC().Format("20060102T150405.000"))
		if err := os.Rename(s.path, aside); err != nil {
			return err
		}
		s.opts.Logger.Error("the state file is broken: it is put aside, and an empty one used",
			zap.String("file", s.path), zap.String("put_aside", aside), zap.Error(err))
		db, err = openFile(s.path)
	}
	if err != nil {
		return err
	}
	s.set(db)
	return nil
}

func (s *Store) set(db *bbolt.DB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.db = db
}

func (s *Store) current() *bbolt.DB {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db
}

// A newerError is a file that a later version has written.
type newerError struct{ version uint64 }

func (e *newerError) Error() string {
	return fmt.Sprintf("has version %d, want %d", e.version, version)
}

// A brokenError is a file that is no longer a database.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// openFile opens or makes one file, and reads all of its state once to know that it is whole.
func openFile(path string) (db *bbolt.DB, err error) {
	defer func() {
		if err != nil && db != nil {
			guard(db.Close) // a broken file may not even close
			db = nil
		}
	}()
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:      lockPatience,
			FreelistType: bbolt.FreelistMapType,
			// Not NoFreelistSync: it looks for the free pages on open, in a goroutine of its own, where a
			// broken page would end the process.
		})
		return err
	})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, errLocked
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return nil, &brokenError{err}
	case err != nil:
		return db, err // a brokenError from guard, or the system's
	}
	if err := guard(func() error { return checkVersion(db) }); err != nil {
		return db, err
	}
	if err := guard(func() error { return db.View(readAll) }); err != nil {
		return db, &brokenError{err}
	}
	return db, nil
}

// checkVersion lays out an empty file and refuses a newer one.
func checkVersion(db *bbolt.DB) error {
	fresh := false
	err := db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			fresh = true
			return nil
		}
		v := meta.Get(versionKey)
		if len(v) != 8 || tx.Bucket(stateBucket) == nil || tx.Bucket(historyBucket) == nil {
			return &brokenError{errors.New("parts of it are missing")}
		}
		if n := binary.BigEndian.Uint64(v); n > version {
			return &newerError{n}
		}
		return nil
	})
	if err != nil || !fresh {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{metaBucket, stateBucket, historyBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(versionKey, binary.BigEndian.AppendUint64(nil, version))
	})
}

// readAll touches every page of the state.
func readAll(tx *bbolt.Tx) error {
	return tx.Bucket(stateBucket).ForEachBucket(func(owner []byte) error {
		return tx.Bucket(stateBucket).Bucket(owner).ForEach(func(k, v []byte) error { return nil })
	})
}

// Degraded reports whether nothing can be saved for now.
func (s *Store) Degraded() bool { return s.current() == nil }

// Load implements pipeline.Store.
func (s *Store) Load(owner string, read func(iter.Seq2[[]byte, []byte]) error) error {
	db := s.current()
	if db == nil {
		return read(func(func(k, v []byte) bool) {})
	}
	return db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(stateBucket).Bucket([]byte(owner))
		return read(func(yield func(k, v []byte) bool) {
			if b == nil {
				return
			}
			c := b.Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				if !yield(k, v) {
					return
				}
			}
		})
	})
}

// Commit implements pipeline.Store: one transaction, synced to disk. ctx is not looked at: half a commit would
// be none.
func (s *Store) Commit(_ context.Context, c *pipeline.Checkpoint) error {
	if s.Degraded() {
		if err := s.open(); err != nil {
			return err
		}
		s.opts.Logger.Info("the state file can be opened again", zap.String("file", s.path))
	}
	if s.stale && !c.Full {
		return errStale
	}
	db := s.current()
	err := guard(func() error {
		return db.Update(func(tx *bbolt.Tx) error {
			if err := putState(tx, c); err != nil {
				return err
			}
			if err := putHistory(tx.Bucket(historyBucket), c.Events, s.opts.MaxBytes); err != nil {
				return err
			}
			return s.prune(tx.Bucket(historyBucket))
		})
	})
	var broken *brokenError
	if errors.As(err, &broken) { // its pages can no longer be trusted: the next Commit puts the file aside
		guard(db.Close)
		s.set(nil)
		s.stale = true
	}
	if err == nil {
		s.stale = false
	}
	return err
}

// errStale makes the pipeline send everything: what the file has is not what this run began with.
var errStale = errors.New("the state file is behind: everything has to be saved")

func putState(tx *bbolt.Tx, c *pipeline.Checkpoint) error {
	state := tx.Bucket(stateBucket)
	if c.Full {
		if err := tx.DeleteBucket(stateBucket); err != nil {
			return err
		}
		var err error
		if state, err = tx.CreateBucket(stateBucket); err != nil {
			return err
		}
	}
	var b *bbolt.Bucket
	owner := ""
	for _, ch := range c.Changes {
		if b == nil || ch.Owner != owner {
			var err error
			if b, err = state.CreateBucketIfNotExists([]byte(ch.Owner)); err != nil {
				return err
			}
			owner = ch.Owner
		}
		var err error
		if ch.Value == nil {
			err = b.Delete(ch.Key)
		} else {
			err = b.Put(ch.Key, ch.Value)
		}
		if err != nil {
			return fmt.Errorf("%s: key %q: %w", ch.Owner, ch.Key, err)
		}
	}
	return nil
}

// prune deletes what the history has too old, at most once a minute and some thousand at a time: a commit
// must not take longer because nobody looked for months.
func (s *Store) prune(history *bbolt.Bucket) error {
	now := s.opts.Now()
	if now.Sub(s.pruned) < time.Minute && !now.Before(s.pruned) {
		return nil
	}
	oldest := historyKey(now.Add(-s.opts.History), 0)
	c := history.Cursor()
	n := 0
	for k, _ := c.First(); k != nil && bytes.Compare(k, oldest) < 0; k, _ = c.First() {
		if err := c.Delete(); err != nil {
			return err
		}
		if n++; n == 5_000 {
			return nil // the rest with the next commit
		}
	}
	s.pruned = now
	return nil
}

// Close lets go of the file.
func (s *Store) Close() error {
	db := s.current()
	if db == nil {
		return nil
	}
	s.set(nil)
	return guard(db.Close)
}
