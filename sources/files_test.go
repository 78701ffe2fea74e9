package sources

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

func fromStart(string) time.Time { return time.Time{} }

func TestFilesKeepTheContract(t *testing.T) {
	pipelinetest.TestSource(t, func(t *testing.T) pipelinetest.SourceLog {
		path := filepath.Join(t.TempDir(), "log")
		write(t, path, "")
		return pipelinetest.SourceLog{
			New:   func() pipeline.Source { return NewFiles(FilesOptions{Paths: []string{path}, From: fromStart}) },
			Write: func(lines ...string) error { return appendTo(path, strings.Join(lines, "\n")+"\n") },
		}
	})
}

// A followed is a Files source that a test reads from.
type followed struct {
	t    *testing.T
	dir  string
	last map[string][]byte // the last cursors
	*Files
}

// follow follows paths, which are relative to a new folder.
func follow(t *testing.T, opt FilesOptions) *followed {
	t.Helper()
	dir := t.TempDir()
	for i, p := range opt.Paths {
		opt.Paths[i] = filepath.Join(dir, p)
	}
	t.Cleanup(func() { goleak.VerifyNone(t) })
	return &followed{t, dir, map[string][]byte{}, NewFiles(opt)}
}

func (f *followed) path(name string) string { return filepath.Join(f.dir, name) }

// wants reads until the lines are there, which may come from several files, each "name: line"; and then
// a little longer, so that a line too many is seen.
func (f *followed) wants(lines ...string) {
	f.t.Helper()
	got := f.lines(len(lines), 5*time.Second)
	if extra := f.lines(1, 60*time.Millisecond); extra != nil {
		got = append(got, extra...)
	}
	if a, b := strings.Join(got, "\n"), strings.Join(lines, "\n"); a != b {
		f.t.Fatalf("got lines\n%s\nwant\n%s", a, b)
	}
}

// lines reads until n lines are there or the time is over.
func (f *followed) lines(n int, d time.Duration) (got []string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for len(got) < n {
		var b pipeline.Batch
		if err := f.Read(ctx, &b); err != nil {
			break
		}
		f.last[b.Source] = b.Cursor
		name := strings.TrimPrefix(b.Source, "file:"+f.dir+"/")
		for _, r := range b.Records {
			cut := ""
			if r.Cut {
				cut = " (cut)"
			}
			got = append(got, fmt.Sprintf("%s: %s%s", name, r.Line, cut))
		}
	}
	return got
}

// restart begins anew where the last lines were delivered.
func (f *followed) restart() {
	f.Files = NewFiles(f.opt)
	f.Resume(f.last)
}

func (f *followed) append(name, text string) {
	f.t.Helper()
	if err := appendTo(f.path(name), text); err != nil {
		f.t.Fatal(err)
	}
}

func (f *followed) rename(from, to string) {
	f.t.Helper()
	if err := os.Rename(f.path(from), f.path(to)); err != nil {
		f.t.Fatal(err)
	}
}

func appendTo(path, text string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(text)
	return err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFilesStartAtTheEnd(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}})
	f.append("log", "old\n")
	f.wants()
	f.append("log", "new\n")
	f.wants("log: new")
}

func TestFilesWaitForAFile(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"later/log"}})
	f.wants()
	if err := os.Mkdir(f.path("later"), 0o755); err != nil {
		t.Fatal(err)
	}
	f.append("later/log", "one\n")
	f.wants("later/log: one")
}

func TestFilesAreFollowedOverARename(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart})
	f.append("log", "one\n")
	f.wants("log: one")
	f.rename("log", "log.1")
	f.append("log.1", "two, by a writer that does not know yet\n")
	f.wants("log: two, by a writer that does not know yet")
	f.append("log", "three\n")
	f.wants("log: three")
	f.append("log.1", "four, late\n")
	f.wants("log: four, late")
}

func TestFilesAreFollowedOverADelete(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart})
	f.append("log", "one\n")
	f.wants("log: one")
	if err := os.Remove(f.path("log")); err != nil {
		t.Fatal(err)
	}
	f.append("log", "two\n")
	f.wants("log: two")
}

func TestFilesAreFollowedOverATruncation(t *testing.T) {
	for name, text := range map[string]string{
		"shorter": "two\n",
		"longer":  "two, and more of it than there was before\n",
	} {
		t.Run(name, func(t *testing.T) {
			f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart})
			f.append("log", "one, a line\n")
			f.wants("log: one, a line")
			write(t, f.path("log"), text)
			f.wants("log: " + strings.TrimSpace(text))
			if got := f.Stats()[0].Lost; got != 1 {
				t.Errorf("got %v times counted as lost, want 1", got)
			}
		})
	}
}

func TestFilesFollowLiveGlobs(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"app-*.log", "log"}, From: fromStart})
	f.append("app-1.log", "one\n")
	f.wants("app-1.log: one")
	f.append("app-2.log", "two\n")
	f.append("app-3.log.gz", "not text\n")
	f.append("other", "not asked for\n")
	f.wants("app-2.log: two")
}

func TestFilesOnce(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"a", "b"}, Once: true})
	f.append("a", "one\ntwo")
	f.append("b", "three\n")
	f.wants("a: one", "a: two", "b: three")
}
