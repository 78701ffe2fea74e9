package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/banpipe/banpipe/pipeline"
)

// mountEnv tells a test that it runs in a mount namespace of its own.
const mountEnv = "BANPIPE_TEST_MOUNT"

// inMounts runs the test again where it may mount file systems that nobody else sees, and reports whether this is that run.
func inMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(mountEnv) != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), mountEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skipf("no right to make a mount namespace: %v", err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
	return false
}

// mount puts a file system at a new folder, in a namespace that hands nothing on.
func mount(t *testing.T, source, kind, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(source, dir, kind, 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// outage makes a store, has it commit a value, breaks its disk, mends it, and wants that nothing was lost that had been
// saved, that each commit said what became of it, and that the next full one succeeds.
func outage(t *testing.T, dir string, breaks, mends func()) {
	t.Helper()
	s := open(t, filepath.Join(dir, "banpipe.db"), Options{})
	commit(t, s, pipeline.Checkpoint{Changes: []pipeline.Change{change("window", "a", "1")}})
	breaks()
	full := pipeline.Checkpoint{Full: true, Changes: []pipeline.Change{change("window", "b", strings.Repeat("x", 1<<20))}}
	for range 3 {
		err := s.Commit(t.Context(), &full)
		if err == nil {
			t.Fatal("got a commit without a disk")
		}
		t.Logf("commit: %v", err)
	}
	mends()
	commit(t, s, full)
	if got := state(t, s, "window"); len(got) != 1 || len(got[0]) != 1<<20+2 {
		t.Errorf("got %d values, want the large one", len(got))
	}
	s.Close()
	s = open(t, filepath.Join(dir, "banpipe.db"), Options{})
	if got := state(t, s, "window"); s.Degraded() || len(got) != 1 {
		t.Errorf("after a restart: got degraded %v, %d values", s.Degraded(), len(got))
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "*.broken-*")); len(aside) > 0 {
		t.Errorf("got %v put aside", aside)
	}
}

// ballast fills a file system to its last page.
func ballast(t *testing.T, dir string) (remove func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want a full disk", err)
	}
	return func() { os.Remove(path) }
}

func TestDiskFull(t *testing.T) {
	if !inMounts(t) {
		return
	}
	dir := mount(t, "none", "tmpfs", "size=8m")
	var remove func()
	outage(t, dir, func() { remove = ballast(t, dir) }, func() { remove() })
}

// A file system that is read-only at the start, and not any more later.
func TestReadOnly(t *testing.T) {
	if !inMounts(t) {
		return
	}
	dir := mount(t, "none", "tmpfs", "size=8m")
	remount := func(flags uintptr) {
		t.Helper()
		if err := syscall.Mount("none", dir, "", syscall.MS_REMOUNT|flags, "size=8m"); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "banpipe.db")
	s := open(t, path, Options{})
	commit(t, s, pipeline.Checkpoint{Changes: []pipeline.Change{change("window", "a", "1")}})
	s.Close()
	remount(syscall.MS_RDONLY)
	s = open(t, path, Options{})
	c := pipeline.Checkpoint{Full: true, Changes: []pipeline.Change{change("window", "b", "2")}}
	if err := s.Commit(t.Context(), &c); !s.Degraded() || !errors.Is(err, syscall.EROFS) {
		t.Fatalf("got degraded %v, %v, want that the file system is read-only", s.Degraded(), err)
	}
	remount(0)
	commit(t, s, c)
	if s.Degraded() {
		t.Error("got a degraded store")
	}
	want(t, state(t, s, "window"), "b=2")
}
