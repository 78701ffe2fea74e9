package sources

import (
	"context"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// How the watching goroutine divides its time.
const (
	tick     = time.Second            // every path is looked at, for what no event has told
	tickPoll = 100 * time.Millisecond // the same where there is no inotify
	merge    = time.Millisecond       // what happens within it is handled together; Go's runtime makes no shorter pauses
)

// startWatch starts the watching goroutine unless it runs. It ends with ctx.
func (f *Files) startWatch(ctx context.Context) {
	select {
	case <-f.watched: // it has ended
	default:
		if f.watched != nil {
			return
		}
	}
	done := make(chan struct{})
	f.watched = done
	go func() {
		defer close(done)
		f.watchAll(ctx)
	}()
}

// watchAll looks at files and folders when something has happened to them, and at all of them every
// tick, until ctx is done.
func (f *Files) watchAll(ctx context.Context) {
	f.mu.Lock()
	f.begin()
	f.openKick()
	f.scanAll()
	f.mu.Unlock()
	tails := newTails(f)
	defer tails.stop()
	defer f.closeKick()

	buf := make([]byte, 64<<10)
	next := time.Now()
	for ctx.Err() == nil {
		tails.check()
		next = next.Add(f.tick())
		for wait := time.Until(next); wait > 0 && ctx.Err() == nil; wait = time.Until(next) {
			if f.kick == nil {
				pause(ctx, wait)
				continue
			}
			if events := f.kick.wait(ctx, wait, buf); len(events) > 0 {
				if !f.handle(events) {
					pause(ctx, merge)
				}
			}
		}
		f.mu.Lock()
		f.scanAll()
		f.mu.Unlock()
		next = time.Now()
	}
}

func (f *Files) tick() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kick == nil || f.kick.short {
		return tickPoll
	}
	return tick + time.Duration(len(f.files))*5*time.Millisecond // a thousand files take a while
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// scanAll looks at everything there is.
func (f *Files) scanAll() {
	for _, fl := range f.files {
		fl.resolve()
	}
	f.watchDirs() // before what is in them is looked at
	f.scan()
	f.watchDirs() // those of files that were found
	f.checkKick()
	for _, fl := range f.files {
		f.enqueue(fl)
	}
}

// handle gives the files that have grown a turn and looks at the paths whose name has changed. It reports
// whether one of them must be read without delay.
func (f *Files) handle(events []event) (hasty bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		if e.lost {
			f.scanAll()
			return false
		}
	}
	now := f.now()
	for _, e := range events {
		for _, fl := range f.kick.grown[e.wd] {
			hasty = fl.hasten(f.buf, now) || hasty
			f.enqueue(fl)
		}
		if e.gone {
			f.kick.forget(e.wd)
		}
		for _, dir := range f.kick.names[e.wd] {
			f.renamed(filepath.Join(dir, e.name), now)
		}
	}
	return hasty
}

// renamed looks at the followed paths that the name is a part of, and at all that a glob means if it means
// the name.
func (f *Files) renamed(name string, now time.Time) {
	if fl := f.files[name]; fl != nil {
		f.look(fl, now)
		return
	}
	for _, fl := range f.files {
		if fl.real == name {
			f.look(fl, now)
		}
	}
	for _, pattern := range f.globs {
		if ok, _ := filepath.Match(pattern, name); ok && !isCompressed(name) {
			f.scan()
			return
		}
	}
}

// checkKick says once that watches were refused, and tries again.
func (f *Files) checkKick() {
	if f.kick == nil || !f.kick.short {
		return
	}
	if !f.kick.said {
		f.kick.said = true
		f.log.Warn("files are polled", zap.Duration("every", tickPoll), zap.String("reason", "no inotify watch left (fs.inotify.max_user_watches)"))
	}
	f.kick.short = false
	for _, fl := range f.files {
		for _, g := range fl.gens {
			if g.wd == 0 {
				f.watch(fl, g)
			}
		}
	}
	f.watchDirs()
}

// openKick has every open file and every folder watched.
func (f *Files) openKick() {
	k, err := newKick()
	if err != nil {
		f.log.Warn("files are polled", zap.Duration("every", tickPoll), zap.Error(err))
		return
	}
	f.kick = k
	for _, fl := range f.files {
		for _, g := range fl.gens {
			f.watch(fl, g)
		}
	}
}

func (f *Files) closeKick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kick != nil {
		f.kick.file.Close()
		f.kick = nil
	}
}

func (f *Files) watch(fl *follower, g *generation) {
	if f.kick != nil {
		f.kick.watchFile(fl, g)
	}
}

func (f *Files) unwatch(fl *follower, g *generation) {
	if f.kick != nil {
		f.kick.unwatchFile(fl, g)
	}
}

// watchDirs watches the folders of all paths and globs; a folder that is not there yet is tried again at
// the next tick.
func (f *Files) watchDirs() {
	if f.kick == nil {
		return
	}
	dirs := map[string]bool{}
	for path, fl := range f.files {
		dirs[filepath.Dir(path)], dirs[filepath.Dir(fl.real)] = true, true
	}
	for _, pattern := range f.globs {
		found, _ := filepath.Glob(filepath.Dir(pattern))
		for _, dir := range found {
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		f.kick.watchDir(dir)
	}
}
