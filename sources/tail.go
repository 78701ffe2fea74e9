package sources

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/influxdata/tail"
	"github.com/influxdata/tail/util"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// influxdata/tail decides when to look at a path and when to reopen it; it never sees a byte: the reader
// that it gets by OpenReaderFunc says "end of file" at once and has the file read by us. Used as it
// comes, it reads no further in a file that was renamed (10 % of the lines are lost where a daemon goes on
// writing to it for 60 ms, twice a second), holds up Stop, and reads a line at a time.
//
// Its stat of the path ends the process when it fails with anything but ENOENT, such as ENOTDIR or
// ELOOP, which whoever may write to the log's folder can bring about. So a path is given to it only while
// it can be looked at, and the exit is taken from it: see defuse.
type tails struct {
	f       *Files
	running map[*follower]*tail.Tail
	fatal   uint64 // what fatalCalls was when all watchers were known to live
}

func newTails(f *Files) *tails {
	defuse()
	return &tails{f: f, running: map[*follower]*tail.Tail{}, fatal: fatalCalls.Load()}
}

// defuse keeps influxdata/tail from ending the process. util.Fatal logs, then exits; the writer of its log
// ends the calling goroutine instead, which is the watcher of one path. A program that uses the
// library for itself besides this package gets that too.
var defuse = sync.OnceFunc(func() { util.LOGGER.SetOutput(fatalWriter{}) })

// fatalCalls counts how often the library wanted to end the process: then some watcher is gone.
var fatalCalls atomic.Uint64

type fatalWriter struct{}

func (fatalWriter) Write([]byte) (int, error) {
	fatalCalls.Add(1)
	runtime.Goexit() // runs the deferred unlock of the log's mutex
	return 0, nil
}

// check has every path looked at that can be: it starts a tail where none runs, and stops the one whose
// path it must not see.
func (t *tails) check() {
	if n := fatalCalls.Load(); n != t.fatal {
		t.fatal = n
		t.stop() // whose watcher is gone is not known
	}
	t.f.mu.Lock()
	followers := make(map[*follower]bool, len(t.f.files))
	for _, fl := range t.f.files {
		followers[fl] = true
	}
	t.f.mu.Unlock()
	for fl, running := range t.running {
		if !followers[fl] {
			running.Kill(nil)
			delete(t.running, fl)
		}
	}
	for fl := range followers {
		running := t.running[fl]
		if running != nil && ended(running) {
			t.f.log.Debug("tail ended, it is started again", zap.String("path", fl.path), zap.Error(running.Err()))
			delete(t.running, fl)
			running = nil
		}
		switch ok := canTail(fl.path); {
		case ok && running == nil:
			t.start(fl)
		case !ok && running != nil:
			running.Kill(nil)
			delete(t.running, fl)
		}
	}
}

func ended(t *tail.Tail) bool {
	select {
	case <-t.Dead():
		return true
	default:
		return false
	}
}

// canTail reports whether the library can be trusted with the path: a regular file, or nothing at all.
// It would wait in open(2) for the writer of a FIFO.
func canTail(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return info.Mode().IsRegular() && unix.Access(path, unix.R_OK) == nil
}

func (t *tails) start(fl *follower) {
	running, err := tail.TailFile(fl.path, tail.Config{
		Follow: true,
		ReOpen: true,
		Poll:   true, // its inotify goes deaf at a delete or a symlink switch, and exits where there is none to be had
		Logger: tail.DiscardingLogger,
		OpenReaderFunc: func(io.Reader) io.Reader {
			t.f.reopened(fl)
			return poker{t.f, fl}
		},
	})
	if err != nil {
		t.f.log.Debug("tail", zap.String("path", fl.path), zap.Error(err))
		return
	}
	t.running[fl] = running
}

// stop ends all tails and waits for them, but not for ever: a path that became a FIFO at the wrong moment
// holds its tail in open(2).
func (t *tails) stop() {
	for _, running := range t.running {
		running.Kill(nil)
	}
	late := time.After(time.Second)
	for _, running := range t.running {
		select {
		case <-running.Dead():
		case <-late:
			return
		}
	}
	clear(t.running)
}

// A poker is the file as the library sees it: it is at its end, always.
type poker struct {
	f  *Files
	fl *follower
}

func (p poker) Read([]byte) (int, error) {
	p.f.poke(p.fl)
	return 0, io.EOF
}

// poke gives a file a turn.
func (f *Files) poke(fl *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enqueue(fl)
}

// reopened looks at the path: there is something new at it.
func (f *Files) reopened(fl *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.look(fl, f.now())
}
