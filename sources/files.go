package sources

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// FilesOptions says which files are followed and where reading starts.
type FilesOptions struct {
	// Paths are paths and globs (path/filepath.Match). A glob is live: a file that appears later is
	// followed from its beginning. It never means a compressed file.
	Paths []string

	// From says from which time on a file is read for which there is no cursor; the zero time means
	// all of it. If From is nil, it is read from its end, or with Once from its beginning.
	From func(path string) time.Time
	// DateOf finds the date of a line, for From. A file in which it finds none is read from its end;
	// nil finds none.
	DateOf func(path string, line []byte) (time.Time, bool)

	MaxLine int           // the longest line in bytes, the rest is dropped; 0 means 64 KiB
	Linger  time.Duration // how long a file that was rotated away must be quiet before it is closed; 0 means 30 s
	Forget  time.Duration // how long the place in a file that is gone is remembered; 0 means 90 days
	Once    bool          // every file is read to its end as it is, then Read returns io.EOF

	Logger *zap.Logger      // nil means no logs
	Now    func() time.Time // nil means time.Now
}

// Files follows files. A batch holds lines of one file only; its Source is "file:" and the path. Files
// that have something to read take turns, batch by batch.
//
// Two goroutines touch it: the one that calls Read reads; the one that watches, from the first Read to the
// end of its context, opens what comes, so that a file which is deleted soon after is still read when
// Read is held up. influxdata/tail has more, one or two for each path; they only call poke and reopened.
type Files struct {
	opt     FilesOptions
	log     *zap.Logger
	now     func() time.Time
	maxLine int
	linger  time.Duration
	forget  time.Duration

	wake    chan struct{} // something is in the queue; capacity 1
	left    time.Time     // when Read last returned lines; owned by Read
	watched chan struct{} // closed when the watching goroutine has ended; owned by Read; nil before the first

	mu      sync.Mutex // guards all below
	begun   bool       // the files that exist at the start have been found
	began   time.Time  // when that was
	files   map[string]*follower
	queue   []*follower       // have something to read, perhaps; in the order of their turns
	buf     []byte            // scratch memory of a read
	kick    *kick             // nil while nobody watches
	globs   []string          // those in opt.Paths
	named   map[string]bool   // the paths in opt.Paths that are not globs
	cursors map[string]cursor // by path; what Resume was given
	done    []*os.File        // to be closed
	gone    []string          // paths of which no batch has said yet that their cursors are of no use any more
	resumed time.Time         // when the newest of them was made; zero if there is none
}

var _ pipeline.Resumer = (*Files)(nil)

// NewFiles makes a source of the files that opt names. Nothing is opened before the first Read.
func NewFiles(opt FilesOptions) *Files {
	f := &Files{
		opt: opt, log: opt.Logger, now: opt.Now, maxLine: opt.MaxLine, linger: opt.Linger, forget: opt.Forget,
		wake:  make(chan struct{}, 1),
		files: map[string]*follower{},
		named: map[string]bool{},
	}
	if f.log == nil {
		f.log = zap.NewNop()
	}
	if f.now == nil {
		f.now = time.Now
	}
	if f.maxLine <= 0 {
		f.maxLine = defaultMaxLine
	}
	if f.linger <= 0 {
		f.linger = 30 * time.Second
	}
	if f.forget <= 0 {
		f.forget = 90 * 24 * time.Hour
	}
	for _, path := range opt.Paths {
		if isGlob(path) {
			f.globs = append(f.globs, path)
		} else {
			f.named[filepath.Clean(path)] = true
		}
	}
	f.log = f.log.Named("source.files")
	f.buf = make([]byte, tailLen+max(f.maxLine+2, 68<<10)) // what a batch takes; what is read beyond that is read again
	return f
}

// Name is "files".
func (f *Files) Name() string { return "files" }

// Follows reports whether s follows the same files in the same way, so that either can go on in the other's place.
func (f *Files) Follows(s pipeline.Source) bool {
	g, ok := s.(*Files)
	return ok && slices.Equal(f.opt.Paths, g.opt.Paths) && f.maxLine == g.maxLine && f.linger == g.linger && f.opt.Once == g.opt.Once
}

// Read implements pipeline.Source. A batch is Live if all of its file had been read before the batch's
// lines were written; behind the old lines of a file without a cursor comes one without lines that says so.
func (f *Files) Read(ctx context.Context, b *pipeline.Batch) error {
	f.checkStall()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !f.opt.Once {
			f.startWatch(ctx)
		}
		if f.take(b) {
			f.left = f.now()
			return nil
		}
		if f.opt.Once {
			return io.EOF
		}
		select {
		case <-f.wake:
		case <-f.watched:
		case <-ctx.Done():
			<-f.watched
		}
	}
}

// take gives the files in the queue their turns until one has brought lines. What it is done with it closes when others may
// go on: of a deleted file the last close frees its blocks, which takes tens of milliseconds on a busy disk, and
// meanwhile another one may come and go.
func (f *Files) take(b *pipeline.Batch) bool {
	f.mu.Lock()
	found := f.takeNext(b)
	done := f.done
	f.done = nil
	f.mu.Unlock()
	for _, file := range done {
		file.Close()
	}
	return found
}

func (f *Files) takeNext(b *pipeline.Batch) bool {
	f.begin()
	if n := len(f.gone); n > 0 {
		b.Source, b.Gone = "file:"+f.gone[n-1], true
		f.gone = f.gone[:n-1]
		return true
	}
	first := len(b.Records)
	for len(f.queue) > 0 {
		fl := f.queue[0]
		f.queue = slices.Delete(f.queue, 0, 1)
		fl.queued = false
		now := f.now()
		more, live := fl.read(b, f, now)
		arrived := fl.fresh && !more && fl.cur != nil && !f.opt.Once
		fl.fresh = fl.fresh && !arrived
		fl.moved = fl.moved || arrived
		switch {
		case more:
			f.enqueue(fl)
		case f.opt.Once:
			f.finish(fl, b, now)
		default:
			fl.retire(b, f, now)
		}
		if len(b.Records) > first || fl.moved {
			if fl.moved = arrived && len(b.Records) > first; fl.moved { // an empty batch that is Live follows
				f.enqueue(fl)
			}
			b.Source, b.Live = fl.source, live
			b.Cursor = fl.appendCursor(b.Cursor[:0])
			fl.stats.count(b, first, now)
			return true
		}
	}
	return false
}

// checkStall calls no file live whose lines may have waited for Read. The lines of half a minute do no harm:
// less than the minute by which the date of a live line may be off.
func (f *Files) checkStall() {
	if f.left.IsZero() || f.now().Sub(f.left) < 30*time.Second {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, fl := range f.files {
		for _, g := range fl.gens {
			g.live = false
		}
	}
}

// finish delivers the last lines of a file that is read once.
func (f *Files) finish(fl *follower, b *pipeline.Batch, now time.Time) {
	for _, g := range fl.gens {
		fl.note(f.log, g.flush(b, f.buf, f.maxLine, now))
	}
}

// begin finds the files that are there at the start, once.
func (f *Files) begin() {
	if f.begun {
		return
	}
	f.began = time.Now() // the clock that files are stamped with
	f.scan()
	f.begun = true
}

// scan looks at every path and every glob.
func (f *Files) scan() {
	now := f.now()
	f.drop()
	paths := f.expand()
	for _, path := range paths { // with a cursor first, lest what belongs to one of them is taken for another's
		if c, ok := f.cursors[path]; ok && f.files[path] == nil {
			f.files[path] = newFollower(path)
			f.files[path].pending = &c
			delete(f.cursors, path)
			f.look(f.files[path], now)
		}
	}
	for _, path := range paths {
		if f.files[path] == nil {
			f.files[path] = newFollower(path)
			f.files[path].fresh, f.files[path].since = true, f.began
			f.files[path].asOf = f.began
		}
		f.look(f.files[path], now)
	}
}

// drop forgets the paths that a glob meant once and at which nothing is left: a log with a date in its
// name. A file that is only out of sight, since its file system is not mounted, is not among them.
func (f *Files) drop() {
	for path, fl := range f.files {
		if !f.named[path] && !fl.queued && fl.pending == nil && fl.cur == nil && len(fl.gens) == 0 {
			if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
				delete(f.files, path)
				f.leaveBehind(path)
			}
		}
	}
}

// leaveBehind has the cursor of a path forgotten.
func (f *Files) leaveBehind(path string) {
	f.gone = append(f.gone, path)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// look looks at one path.
func (f *Files) look(fl *follower, now time.Time) {
	if fl.look(f, now) {
		f.enqueue(fl)
	}
}

// expand lists the paths that are followed: those given, those that a glob means now, and those that were
// found earlier.
func (f *Files) expand() []string {
	paths := make([]string, 0, len(f.files)+len(f.opt.Paths))
	for path := range f.files {
		paths = append(paths, path)
	}
	for path := range f.named {
		paths = append(paths, path)
	}
	for _, pattern := range f.globs {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			f.log.Debug("bad glob", zap.String("glob", pattern), zap.Error(err))
		}
		for _, path := range matches {
			if !isCompressed(path) {
				paths = append(paths, filepath.Clean(path))
			}
		}
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return f.isLinkTo(path, paths) })
}

// isLinkTo reports whether a path that a glob has found is a symlink to another one of paths: its lines
// would count twice.
func (f *Files) isLinkTo(path string, paths []string) bool {
	if f.named[path] || f.files[path] != nil {
		return false
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil || real == path {
		return false
	}
	_, found := slices.BinarySearch(paths, real)
	return found
}

// enqueue gives a file a turn.
func (f *Files) enqueue(fl *follower) {
	if !fl.queued {
		fl.queued = true
		f.queue = append(f.queue, fl)
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Close closes the files. It may be called when nobody reads any more; a program that ends need not.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, fl := range f.files {
		for _, g := range fl.gens {
			errs = append(errs, g.file.Close())
		}
		fl.gens, fl.cur = nil, nil
	}
	return errors.Join(errs...)
}

// Stats has an element for each file that is or was followed. It may be called at any time.
func (f *Files) Stats() []Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]Stats, 0, len(f.files))
	for _, fl := range f.files {
		s := fl.stats
		for _, g := range fl.gens {
			size, _ := g.status()
			s.Lag += max(0, size-g.off)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Stats) int { return cmp.Compare(a.Source, b.Source) })
	return all
}
