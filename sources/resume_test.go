package sources

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A reader is killed at random moments while the log is rotated under it, and goes on where its last
// checkpoint stood. What a checkpoint holds, lines and cursor together, is counted: each line must be
// in exactly one.
func TestFilesAreReadOnceOverSIGKILL(t *testing.T) {
	kills := 10
	switch {
	case *full:
		kills = 200
	case testing.Short():
		kills = 3
	}
	for _, r := range rotations {
		switch r.style {
		case "create", "create-late", "nocreate", "symlink", "copytruncate":
			t.Run(fmt.Sprintf("%s/%d kills", r.style, kills), func(t *testing.T) {
				t.Parallel()
				killAndResume(t, r, kills)
			})
		}
	}
}

func killAndResume(t *testing.T, r rotation, kills int) {
	dir := t.TempDir()
	path, journal := filepath.Join(dir, "log"), filepath.Join(dir, "journal")
	if r.style == "symlink" {
		write(t, path+"-0", "")
		check(os.Symlink(path+"-0", path))
	} else {
		write(t, path, "")
	}
	first := startResuming(t, path, journal)
	waitFor(t, journal, func() bool { _, err := os.Stat(journal); return err == nil })
	writer := exec.Command(os.Args[0], r.style, path, "5000", "300ms", (time.Duration(kills) * 200 * time.Millisecond).String())
	writer.Env = append(os.Environ(), writerEnv+"=rotate")
	writer.Stderr = os.Stderr
	out, err := writer.StdoutPipe()
	check(err)
	check(writer.Start())
	// What is rotated away before there is any checkpoint is nobody's: the first reader lives until there is one.
	waitFor(t, journal, func() bool { _, whole := readJournal(journal, func([]byte) {}); return whole > 0 })
	check(first.Process.Kill())
	first.Wait()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range kills {
		reader := startResuming(t, path, journal)
		time.Sleep(time.Duration(20+rnd.IntN(230)) * time.Millisecond)
		check(reader.Process.Kill())
		reader.Wait()
		time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond)
	}
	var written int
	_, err = fmt.Fscanln(out, &written, new(int))
	check(err)
	check(writer.Wait())

	reader := startResuming(t, path, journal)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		time.Sleep(300 * time.Millisecond) // the last line, and then a little for what comes too often
		if journalHas(journal, written-1) {
			time.Sleep(300 * time.Millisecond)
			break
		}
	}
	check(reader.Process.Kill())
	reader.Wait()

	var seen tally
	_, _ = readJournal(journal, seen.line)
	lost, again, torn := seen.judge(written)
	gaps := seen.ranges(written)
	t.Logf("%d lines, %d kills: %d lost, %d again, %d torn", written, kills, lost, again, torn)
	if again > 0 || torn > 0 || lost > 0 && !r.truncates || lost > written/200 {
		t.Errorf("got %d lost, %d doubled, %d torn of %d lines, want none; lost: %v", lost, again, torn, written, gaps[:min(len(gaps), 20)])
	}
}

// waitFor waits for the first signs of life of a reader.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the reader does not write %s", what)
		}
	}
}

func journalHas(journal string, n int) (has bool) {
	readJournal(journal, func(line []byte) {
		i, _ := lineNumber(line)
		has = has || i == n
	})
	return has
}

func startResuming(t *testing.T, path, journal string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], path, journal)
	cmd.Env = append(os.Environ(), writerEnv+"=resume")
	cmd.Stderr = os.Stderr
	check(cmd.Start())
	return cmd
}

// resumingReader is the program that is killed: PATH JOURNAL. Every 20 ms it writes a checkpoint.
func resumingReader() {
	path, journal := os.Args[1], os.Args[2]
	source := "file:" + path
	cursor, whole := readJournal(journal, func([]byte) {})
	out, err := os.OpenFile(journal, os.O_CREATE|os.O_WRONLY, 0o644)
	check(err)
	check(out.Truncate(whole)) // a checkpoint that was not written to its end is none
	_, err = out.Seek(whole, 0)
	check(err)

	f := NewFiles(FilesOptions{Paths: []string{path}, From: fromStart})
	f.Resume(map[string][]byte{source: cursor})
	var lines []byte
	last := time.Now()
	for {
		ctx, cancel := context.WithDeadline(context.Background(), last.Add(20*time.Millisecond))
		var b pipeline.Batch
		err := f.Read(ctx, &b)
		cancel()
		if err == nil {
			for _, r := range b.Records {
				if r.Cut { // by who truncated: it is said, and counts as lost
					continue
				}
				lines = binary.AppendUvarint(lines, uint64(len(r.Line)))
				lines = append(lines, r.Line...)
			}
			cursor = slices.Clone(b.Cursor)
		}
		if time.Since(last) >= 20*time.Millisecond {
			last = time.Now()
			if len(lines) > 0 {
				_, err := out.Write(journalRecord(lines, cursor))
				check(err)
				lines = lines[:0]
			}
		}
	}
}

// journalRecord is the length of the whole, that of the cursor, the cursor, and the lines.
func journalRecord(lines, cursor []byte) []byte {
	p := binary.LittleEndian.AppendUint32(nil, uint32(4+len(cursor)+len(lines)))
	p = binary.LittleEndian.AppendUint32(p, uint32(len(cursor)))
	return append(append(p, cursor...), lines...)
}

// readJournal returns the last cursor and where the last whole record ends.
func readJournal(path string, line func([]byte)) (cursor []byte, whole int64) {
	p, _ := os.ReadFile(path)
	for len(p) >= 8 {
		n := int(binary.LittleEndian.Uint32(p))
		if len(p) < 4+n {
			break
		}
		size := int(binary.LittleEndian.Uint32(p[4:]))
		cursor = p[8 : 8+size]
		for lines := p[8+size : 4+n]; len(lines) > 0; {
			n, w := binary.Uvarint(lines)
			line(lines[w : w+int(n)])
			lines = lines[w+int(n):]
		}
		p, whole = p[4+n:], whole+int64(4+n)
	}
	return cursor, whole
}

// A source that has been read from goes on where it is, whatever a checkpoint says; and it knows whether another one could
// take its place.
func TestSourcesAreHandedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "one\ntwo\n")
	read := func(f *Files) (got []string) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var b pipeline.Batch
		check(f.Read(ctx, &b))
		for _, r := range b.Records {
			got = append(got, string(r.Line))
		}
		return got
	}
	f := NewFiles(FilesOptions{Paths: []string{path}, From: fromStart})
	defer f.Close()
	if got := read(f); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q", got)
	}
	f.Resume(map[string][]byte{})
	check(os.Rename(path, path+".1"))
	check(appendTo(path+".1", "three\n"))
	if got := read(f); !slices.Equal(got, []string{"three"}) {
		t.Errorf("got %q, want what came behind", got)
	}
	journal := func(opt JournalOptions) pipeline.Source { return NewJournal(opt) }
	for _, c := range []struct {
		a, b pipeline.Source
		want bool
	}{
		{f, NewFiles(FilesOptions{Paths: []string{path}}), true},
		{f, NewFiles(FilesOptions{Paths: []string{path, "/var/log/b"}}), false},
		{f, NewFiles(FilesOptions{Paths: []string{path}, MaxLine: 100}), false},
		{f, journal(JournalOptions{}), false},
		{journal(JournalOptions{Matches: []string{"_UID=0"}}), journal(JournalOptions{Matches: []string{"_UID=0"}, Since: time.Unix(1, 0)}), true},
		{journal(JournalOptions{Matches: []string{"_UID=0"}}), journal(JournalOptions{Matches: []string{"_UID=1"}}), false},
		{journal(JournalOptions{}), f, false},
	} {
		if got := c.a.(interface{ Follows(pipeline.Source) bool }).Follows(c.b); got != c.want {
			t.Errorf("%v and %v: got %v, want %v", c.a.Name(), c.b.Name(), got, c.want)
		}
	}
}

// More files were rotated while nobody read than may be open at once.
func TestFilesReadAllThatWasMissed(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart})
	f.append("log", string(numberedLine(nil, 0)))
	if got := f.lines(1, 5*time.Second); len(got) != 1 {
		t.Fatal("the first line did not come")
	}
	const files, each = maxOpen + 100, 5
	for i := range files {
		var text []byte
		for n := range each {
			text = append(text, numberedLine(nil, 1+i*each+n)...)
		}
		write(t, fmt.Sprintf("%s.%d", f.path("log"), files-i), string(text))
	}
	f.restart()
	var seen tally
	seen.line(numberedLine(nil, 0)[:lineLen-1])
	for _, line := range f.lines(files*each, 20*time.Second) {
		seen.line([]byte(line[len("log: "):]))
	}
	if lost, again, torn := seen.judge(1 + files*each); lost+again+torn > 0 || f.Stats()[0].Lost > 0 {
		t.Errorf("got %d lost, %d doubled, %d torn of %d lines, %d counted", lost, again, torn, 1+files*each, f.Stats()[0].Lost)
	}
}

// A reader is started again and again while the log is rotated every few milliseconds: between any two of its looks.
func TestFilesAreResumedWhileTheyAreRotated(t *testing.T) {
	lines := 20_000
	if testing.Short() {
		lines = 5_000
	}
	f := follow(t, FilesOptions{Paths: []string{"log"}, From: fromStart})
	f.append("log", string(numberedLine(nil, 0)))
	var seen tally
	read := func(d time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		for {
			var b pipeline.Batch
			if f.Read(ctx, &b) != nil {
				return
			}
			seen.add(&b)
			f.last[b.Source] = b.Cursor
		}
	}
	for seen.times == nil { // without a line there is no cursor
		read(10 * time.Millisecond)
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		var line []byte
		for n := 1; n < lines; n++ {
			line = numberedLine(line, n)
			check(appendTo(f.path("log"), string(line)))
			if n%97 == 0 {
				check(os.Rename(f.path("log"), fmt.Sprintf("%s.%d", f.path("log"), n)))
			}
		}
	}()
	for going := true; going; {
		read(time.Duration(1+rand.IntN(20)) * time.Millisecond)
		f.Close()
		f.restart()
		select {
		case <-written:
			going = false
		default:
		}
	}
	read(3 * time.Second)
	if lost, again, torn := seen.judge(lines); lost+again+torn > 0 {
		t.Errorf("got %d lost, %d doubled, %d torn of %d lines, want none; lost: %v", lost, again, torn, lines, seen.ranges(lines))
	}
}
