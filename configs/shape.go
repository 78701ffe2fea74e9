package configs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/matchers"
)

// How much of a log's beginning and end `check` looks at, and of how many lines it draws a conclusion.
const (
	shapeBytes = 16 << 10
	shapeLines = 5
)

// wrongLogs looks at the first and the last lines of the jails' logs and names each log in which none has the
// shape that the jail's filter expects: a filter for the access log that was given the error log. A log that cannot be
// read, or that has fewer than five lines, says nothing.
func (b *builder) wrongLogs() {
	for _, j := range b.jails {
		if j.Loaded.Shape == "" {
			continue
		}
		for _, pattern := range j.LogPath {
			paths, _ := filepath.Glob(pattern)
			for _, path := range paths {
				if n := foreignLines(j, path); n >= shapeLines {
					b.problem(j, "logpath", mistake("is it the right log for this filter?",
						"%s: none of %d lines looks like what the filter %s reads, %q", path, n, j.Loaded.Name, j.Loaded.Shape))
				}
			}
		}
	}
}

// foreignLines counts the lines at both ends of a log; 0 if one of them has the shape of the jail's filter.
func foreignLines(j *Jail, path string) int {
	dates, err := matchers.NewDates(j.Loaded.DatePattern, matchers.DateOptions{Location: j.LogTimezone.Location})
	if err != nil {
		return 0
	}
	finder, n := dates.Finder(), 0
	for _, line := range endLines(path) {
		line = matchers.Unwrapped(line)
		date, _ := finder.Find(line)
		if matchers.HasShape(string(line[:date.Start])+string(line[date.End:]), j.Loaded.Shape) {
			return 0
		}
		n++
	}
	return n
}

// endLines are the whole lines at the beginning and at the end of a regular file.
func endLines(path string) [][]byte {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would wait for its writer
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	head, err := io.ReadAll(io.NewSectionReader(f, 0, shapeBytes))
	if err != nil {
		return nil
	}
	lines := wholeLines(head)
	if rest := info.Size() - int64(len(head)); rest > 0 {
		tail, err := io.ReadAll(io.NewSectionReader(f, max(int64(len(head)), info.Size()-shapeBytes), shapeBytes))
		if err != nil {
			return nil
		}
		if _, after, ok := bytes.Cut(tail, []byte{'\n'}); ok {
			lines = append(lines, wholeLines(after)...)
		}
	}
	return lines
}

// wholeLines are the lines of text that end, less their ends and the empty ones.
func wholeLines(text []byte) [][]byte {
	var lines [][]byte
	for line := range bytes.Lines(text) {
		whole, ok := bytes.CutSuffix(line, []byte{'\n'})
		if whole = bytes.TrimSuffix(whole, []byte{'\r'}); ok && len(whole) > 0 {
			lines = append(lines, whole)
		}
	}
	return lines
}

// foreignLogs are the logs of another kind than a jail's filter reads. Workers add to it.
type foreignLogs struct {
	mu    sync.Mutex
	known []string
}

func (f *foreignLogs) all() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.known)
}

// maxForeign bounds what is remembered: names of logs come from globs.
const maxForeign = 100

// foreign is matchers.ShapeWatch.Foreign.
func (b *builder) foreign(source, jail, shape string, lines int) {
	b.odd.mu.Lock()
	if len(b.odd.known) < maxForeign {
		b.odd.known = append(b.odd.known, fmt.Sprintf("none of the first %d lines of %s looks like what the filter of jail %s reads, %q: is it the right log?", lines, source, jail, shape))
	}
	b.odd.mu.Unlock()
	if b.opts.Logger == nil {
		return
	}
	b.opts.Logger.Warn("no line looks like what the jail's filter reads: is it the right log?",
		zap.String("source", source), zap.String("jail", jail), zap.String("shape", shape), zap.Int("lines", lines))
}
