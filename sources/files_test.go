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
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

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
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { noneLeft(t, before) })
	return &followed{t, dir, map[string][]byte{}, NewFiles(opt)}
}

// noneLeft waits for all goroutines but those of before. The library's are told to end and not waited for, so on a
// machine that is busy they may take longer than goleak has patience.
func noneLeft(t *testing.T, before goleak.Option) {
	t.Helper()
	for range 20 {
		if goleak.Find(before) == nil {
			return
		}
	}
	goleak.VerifyNone(t, before)
}

func (f *followed) path(name string) string { return filepath.Join(f.dir, name) }

// wants reads until the lines are there, which may come from several files, each "name: line"; and then
// a little longer, so that a line too many is seen.
func (f *followed) wants(lines ...string) {
	f.t.Helper()
	got := f.lines(len(lines), 20*time.Second)
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
		if f.last[b.Source] = b.Cursor; b.Gone {
			delete(f.last, b.Source)
		}
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

// Of a log that was truncated lately what nobody has asked for yet is kept, too.
func TestFilesAreReadAheadWhereTheyAreTruncated(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart})
	f.append("log", "one\n")
	f.wants("log: one")
	write(t, f.path("log"), "2\n")
	f.wants("log: 2")
	f.append("log", "three\nfour\nhal")
	if fl := f.files[f.path("log")]; !fl.hasten(f.buf, f.now()) || fl.hasten(f.buf, f.now().Add(time.Minute)) {
		t.Error("it is not read ahead, or for ever")
	}
	write(t, f.path("log"), "five\n")
	f.wants("log: three", "log: four", "log: five")
	if got := f.Stats()[0].Lost; got != 2 {
		t.Errorf("got %v times counted as lost, want 2", got)
	}
}

// A file that is rotated away may have been quiet for long: its writer writes to it until it is told.
func TestFilesWaitForAQuietWriter(t *testing.T) {
	now := time.Now()
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart, Now: func() time.Time { return now }})
	f.append("log", "one\n")
	f.wants("log: one")
	now = now.Add(time.Hour)
	f.rename("log", "log.1")
	f.append("log", "two\n")
	f.wants("log: two")
	f.append("log.1", "three, late\n")
	f.wants("log: three, late")
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

// What a log may hold, and what comes of it.
func TestFilesWithOddLines(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"CRLF", "one\r\ntwo\r\n", []string{"one", "two"}},
		{"empty lines", "\n\none\n", []string{"", "", "one"}},
		{"BOM", "\xef\xbb\xbfone\n\xef\xbb\xbftwo\n", []string{"one", "\xef\xbb\xbftwo"}},
		{"NULs", "\x00\x00one\nt\x00wo\n\x00\n", []string{"one", "t\x00wo", ""}},
		{"not UTF-8", "\xff\xfeone\n", []string{"\xff\xfeone"}},
		{"no newline", "one\ntwo", []string{"one"}},
		{"as long as may be", strings.Repeat("x", 100) + "\n", []string{strings.Repeat("x", 100)}},
		{"too long", strings.Repeat("x", 101) + "\nnext\n", []string{strings.Repeat("x", 100) + " (cut)", "next"}},
		{"much too long", strings.Repeat("x", 1<<20) + "\nnext\n", []string{strings.Repeat("x", 100) + " (cut)", "next"}},
		{"much too long, no newline", strings.Repeat("x", 1<<20), []string{strings.Repeat("x", 100) + " (cut)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart, MaxLine: 100})
			f.append("log", c.text)
			for i := range c.want {
				c.want[i] = "log: " + c.want[i]
			}
			f.wants(c.want...)
			f.restart() // whatever was cut stays cut
			f.append("log", "\nlast\n")
			got := f.lines(2, 300*time.Millisecond)
			if len(got) == 0 || got[len(got)-1] != "log: last" {
				t.Errorf("after a restart: got %q, want the last line", got)
			}
		})
	}
}

// A hole of a gigabyte is not read.
func TestFilesSkipHoles(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart})
	file, err := os.Create(f.path("log"))
	check(err)
	defer file.Close()
	_, err = file.WriteAt([]byte("one\n"), 1<<30)
	check(err)
	began := time.Now()
	f.wants("log: one")
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestFilesFlushAnUnfinishedLine(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart, Linger: time.Nanosecond})
	f.append("log", "one\ntw")
	f.wants("log: one")
	f.rename("log", "log.1")
	f.append("log", "three\n")
	f.wants("log: three", "log: tw (cut)")
}

// Lines are live once everything before them was read.
func TestFilesSayWhatIsLive(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart})
	live := func(text string) bool {
		t.Helper()
		f.append("log", text)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var b pipeline.Batch
		if err := f.Read(ctx, &b); err != nil {
			t.Fatal(err)
		}
		return b.Live
	}
	if live("from before\n") {
		t.Error("what was there at the start is called live")
	}
	if !live("new\n") {
		t.Error("a new line is not called live")
	}
	f.rename("log", "log.1")
	write(t, f.path("log"), "edited\n")
	if live("more\n") {
		t.Error("what a new file held already is called live")
	}
	if !live("new\n") {
		t.Error("a new line of the new file is not called live")
	}
}

// A quiet file gets its turn while a busy one has much to read.
func TestFilesTakeTurns(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"busy", "quiet"}, From: fromStart, Once: true})
	f.append("busy", strings.Repeat("a line\n", 100_000))
	f.append("quiet", "one\n")
	for i := 0; ; i++ {
		var b pipeline.Batch
		if err := f.Read(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(b.Source, "/quiet") {
			if i > 1 {
				t.Errorf("it was batch %d, want one of the first two", i)
			}
			return
		}
	}
}

// A glob that means rotated files too reads none of them twice.
func TestFilesOfAGlobThatMeansRotatedOnes(t *testing.T) {
	for name, rotate := range map[string]func(f *followed){
		"rename": func(f *followed) { f.rename("log", "log.1") },
		"copytruncate": func(f *followed) {
			copyFile(f.path("log"), f.path("log.1"))
			check(os.Truncate(f.path("log"), 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := follow(t, FilesOptions{Paths: []string{"log*"}, From: fromStart})
			f.append("log", "one, of a length that tells it from others\n")
			f.wants("log: one, of a length that tells it from others")
			rotate(f)
			f.append("log", "two\n")
			f.wants("log: two")
			f.restart()
			f.append("log", "three\n")
			f.wants("log: three")
		})
	}
}

// A link to a file that the glob means as well is not read beside it.
func TestFilesOfAGlobThatMeansALink(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"app*.log"}, From: fromStart})
	f.append("app-1.log", "one\n")
	check(os.Symlink(f.path("app-1.log"), f.path("app.log")))
	f.wants("app-1.log: one")
	f.append("app-2.log", "two\n")
	check(os.Symlink(f.path("app-2.log"), f.path("new")))
	f.rename("new", "app.log")
	f.append("app-2.log", "three\n")
	f.wants("app-2.log: two", "app-2.log: three")
}

func TestFilesByTwoNamesAreReadByBoth(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"a", "b"}, From: fromStart, Once: true})
	f.append("a", "one\n")
	check(os.Link(f.path("a"), f.path("b")))
	f.wants("a: one", "b: one")
}

func TestFilesCannotReadSome(t *testing.T) {
	logger, logged := observer.New(zap.WarnLevel)
	f := follow(t, FilesOptions{Paths: []string{"dir", "null", "log"}, From: fromStart, Once: true, Logger: zap.New(logger)})
	check(os.Mkdir(f.path("dir"), 0o755))
	check(os.Symlink("/dev/null", f.path("null")))
	f.append("log", "one\n")
	f.wants("log: one")
	if n := logged.Len(); n != 2 {
		t.Errorf("got %d warnings, want one for the folder and one for the device", n)
	}
}

func TestFilesStats(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart, MaxLine: 10})
	f.append("log", "one\ntoo long a line\nhalf")
	f.wants("log: one", "log: too long a (cut)")
	got := f.Stats()[0]
	got.Last = time.Time{}
	want := Stats{Source: "file:" + f.path("log"), Lines: 2, Bytes: 13, Cut: 1, Lag: 4}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A log with a date in its name is let go when it is deleted.
func TestFilesForgetWhatIsGone(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"app-*.log"}, From: fromStart, Linger: time.Nanosecond})
	f.append("app-1.log", "one\n")
	f.append("app-2.log", "two\n")
	f.wants("app-1.log: one", "app-2.log: two")
	check(os.Remove(f.path("app-1.log")))
	for deadline := time.Now().Add(5 * time.Second); len(f.Stats()) > 1 || len(f.last) > 1; {
		if time.Now().After(deadline) {
			t.Fatalf("got %v, want app-2.log alone", f.Stats())
		}
		f.lines(1, 100*time.Millisecond)
	}
	if f.last["file:"+f.path("app-1.log")] != nil || f.last["file:"+f.path("app-2.log")] == nil {
		t.Errorf("got cursors %q, want that of app-2.log alone", f.last)
	}
	f.append("app-1.log", "three\n")
	f.wants("app-1.log: three")
}

// The cursor of a file that was deleted while nobody looked is kept for a while: it may be on a file system that is not
// mounted.
func TestFilesForgetWhatIsGoneForLong(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"app-*.log", "log"}, From: fromStart})
	f.append("app-1.log", "one\n")
	f.append("log", "two\n")
	f.wants("app-1.log: one", "log: two")
	f.rename("app-1.log", "elsewhere")
	f.restart()
	f.append("log", "three\n")
	f.wants("log: three")
	f.rename("elsewhere", "app-1.log")
	f.append("app-1.log", "four\n")
	f.wants("app-1.log: four")

	f.rename("app-1.log", "elsewhere")
	f.opt.Forget = time.Nanosecond
	f.restart()
	f.append("log", "five\n")
	f.wants("log: five")
	if f.last["file:"+f.path("app-1.log")] != nil || f.last["file:"+f.path("log")] == nil {
		t.Errorf("got cursors %q, want that of log alone", f.last)
	}
}
