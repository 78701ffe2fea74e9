package sources

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// influxdata/tail ends the process when it cannot stat a path for such reasons; whoever may write to the
// folder can bring them about.
func TestFilesOutliveOddPaths(t *testing.T) {
	for name, odd := range map[string]struct{ make, undo func(f *followed) }{
		"ENOTDIR": {
			make: func(f *followed) {
				f.rename("dir", "away")
				write(f.t, f.path("dir"), "not a folder")
			},
			undo: func(f *followed) {
				check(os.Remove(f.path("dir")))
				f.rename("away", "dir")
			},
		},
		"ELOOP": {
			make: func(f *followed) {
				f.rename("dir/log", "dir/log.1")
				check(os.Symlink("log", f.path("dir/log")))
			},
			undo: func(f *followed) {
				check(os.Remove(f.path("dir/log")))
				f.rename("dir/log.1", "dir/log")
			},
		},
		"FIFO": {
			make: func(f *followed) {
				f.rename("dir/log", "dir/log.1")
				check(syscall.Mkfifo(f.path("dir/log"), 0o644))
			},
			undo: func(f *followed) {
				check(os.Remove(f.path("dir/log")))
				f.rename("dir/log.1", "dir/log")
			},
		},
		"folder": {
			make: func(f *followed) {
				f.rename("dir/log", "dir/log.1")
				check(os.Mkdir(f.path("dir/log"), 0o755))
			},
			undo: func(f *followed) {
				check(os.Remove(f.path("dir/log")))
				f.rename("dir/log.1", "dir/log")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := follow(t, FilesOptions{Paths: []string{"dir/log"}, From: fromStart})
			check(os.Mkdir(f.path("dir"), 0o755))
			f.append("dir/log", "one\n")
			f.wants("dir/log: one")
			odd.make(f)
			if got := f.lines(1, 700*time.Millisecond); got != nil { // two looks of the library, or more
				t.Fatalf("got %v from what is no file", got)
			}
			odd.undo(f)
			f.append("dir/log", "two\n")
			f.wants("dir/log: two")
		})
	}
}

// The library's way out is closed, not only avoided: it may look at the path just before we do.
func TestTailCannotExit(t *testing.T) {
	if os.Getenv("BANPIPE_TEST_EXIT") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTailCannotExit$")
		cmd.Env = append(os.Environ(), "BANPIPE_TEST_EXIT=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart})
	f.append("log", "one\n")
	f.wants("log: one")
	tails := newTails(f.Files)
	tails.check()
	defer tails.stop()
	before := fatalCalls.Load()
	check(os.Link(f.path("log"), f.path("log.1")))
	check(os.Symlink("log", f.path("link")))
	f.rename("link", "log") // at once: where it finds nothing for a moment, it waits in another way
	for deadline := time.Now().Add(5 * time.Second); fatalCalls.Load() == before; {
		if time.Now().After(deadline) {
			t.Fatal("the library has not looked at the path, or did not mind it")
		}
		time.Sleep(10 * time.Millisecond)
	}
	check(os.Remove(f.path("log")))
	f.rename("log.1", "log")
	tails.check()
	if running := tails.running[f.files[f.path("log")]]; running == nil || ended(running) {
		t.Error("no new tail was started")
	}
}
