package sources

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

var (
	modelSeed = flag.Uint64("seed", 1, "seed of the model test")
	modelCase = flag.Int("case", -1, "the one case of the model test to run")
)

// Random sequences of what writers, logrotate and the power supply do, against an oracle that knows which
// lines must come, once each, and which nobody could have read.
func TestFilesAgainstTheModel(t *testing.T) {
	cases := 150
	switch {
	case *full:
		cases = 10_000
	case testing.Short():
		cases = 20
	}
	for i := range cases {
		if *modelCase >= 0 && i != *modelCase {
			continue
		}
		m := newModel(t, *modelSeed, uint64(i))
		for range 10 + m.rand.IntN(40) {
			m.step()
		}
		m.end()
		if t.Failed() {
			t.Logf("seed %d, case %d:\n%s", *modelSeed, i, strings.Join(m.ops, "\n"))
			return
		}
	}
}

// A model is one case: a log, its writer, a source that reads it, and what must come of it.
type model struct {
	t    *testing.T
	rand *rand.Rand
	dir  string
	path string
	link int // the number of the file behind the link, where the log is one; -1 if it is none

	now     time.Time
	f       *Files
	cursors map[string][]byte

	w      *os.File // where the writer writes
	half   string   // what is still to be written of an unfinished line
	files  map[fileID]*modelFile
	lines  []modelLine
	halves []string // beginnings of lines that were written; one may come as a cut line
	packed int
	ops    []string
}

type modelFile struct {
	unread map[int]bool // lines in it that have not come
	held   bool         // the source had it open at the last look
	closed bool         // the source had it open once and has let it go
}

func newModelFile() *modelFile { return &modelFile{unread: map[int]bool{}} }

type modelLine struct {
	times   int
	excused bool // whoever reads could not have it
}

func newModel(t *testing.T, seed, i uint64) *model {
	m := &model{
		t: t, rand: rand.New(rand.NewPCG(seed, i)), dir: t.TempDir(), link: -1,
		now: time.Unix(1_800_000_000, 0), cursors: map[string][]byte{}, files: map[fileID]*modelFile{},
	}
	m.path = filepath.Join(m.dir, "log")
	if m.rand.IntN(5) == 0 {
		m.link = 0
		m.create()
		check(os.Symlink(m.path+"-20260101", m.path))
	}
	m.w = m.openLog()
	m.start()
	m.append() // without a line there is no cursor
	m.read(1000)
	return m
}

func (m *model) op(format string, args ...any) { m.ops = append(m.ops, fmt.Sprintf(format, args...)) }

// step does one thing.
func (m *model) step() {
	switch n := m.rand.IntN(100); {
	case n < 35:
		m.append()
	case n < 42:
		m.appendHalf()
	case n < 62:
		m.look()
	case n < 72:
		m.rotate()
	case n < 77:
		m.change()
	case n < 82:
		m.copytruncate()
	case n < 85:
		m.truncate()
	case n < 88:
		m.remove()
	case n < 90:
		m.compress()
	case n < 93:
		m.wait()
	case n < 95:
		m.ahead()
	default:
		m.kill()
	}
}

// end lets everything be read and compares.
func (m *model) end() {
	m.change()
	m.append()
	m.read(1000)
	m.read(1000)
	var lost []int
	for n, l := range m.lines {
		if l.times == 0 && !l.excused {
			lost = append(lost, n)
		}
	}
	if lost != nil {
		m.t.Errorf("%d lines are lost, from %d to %d", len(lost), lost[0], lost[len(lost)-1])
	}
	m.stop()
	m.w.Close()
}

// write writes to where the writer is now, whole lines and the rest of an unfinished one.
func (m *model) append() {
	var text strings.Builder
	if m.half != "" {
		text.WriteString(m.half)
		m.add(len(m.lines)) // the unfinished line was to be this one
		m.half = ""
	}
	n := 1 + m.rand.IntN(5)
	if m.rand.IntN(10) == 0 {
		n = 1500
	}
	for range n {
		text.WriteString(modelText(len(m.lines)) + "\n")
		m.add(len(m.lines))
	}
	m.op("append to line %d", len(m.lines)-1)
	_, err := m.w.WriteString(text.String())
	check(err)
}

func modelText(n int) string {
	return fmt.Sprintf("line %d of a log in which no two begin alike %s.", n, strings.Repeat("x", n%100))
}

// add says that line n is in the writer's file now.
func (m *model) add(n int) {
	file := m.file(m.w)
	info, _ := m.w.Stat()
	m.lines = append(m.lines, modelLine{excused: file.closed || !file.held && !m.linked(idOf(info))})
	file.unread[n] = true
}

func (m *model) file(w *os.File) *modelFile {
	info, err := w.Stat()
	check(err)
	file := m.files[idOf(info)]
	if file == nil {
		file = newModelFile()
		m.files[idOf(info)] = file
	}
	return file
}

func (m *model) appendHalf() {
	if m.half != "" {
		return
	}
	text := modelText(len(m.lines))
	n := 1 + m.rand.IntN(len(text)-1)
	m.op("append half of line %d", len(m.lines))
	_, err := m.w.WriteString(text[:n])
	check(err)
	m.half = text[n:] + "\n"
	m.halves = append(m.halves, text[:n])
}

// openLog opens the log as daemons do.
func (m *model) openLog() *os.File {
	w, err := os.OpenFile(m.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	check(err)
	info, err := w.Stat()
	check(err)
	if m.files[idOf(info)] == nil {
		m.files[idOf(info)] = newModelFile()
	}
	return w
}

// change has the writer open the log anew; what it had begun to write stays unfinished.
func (m *model) change() {
	m.op("the writer opens the log anew")
	w := m.openLog()
	a, _ := m.w.Stat()
	b, _ := w.Stat()
	if idOf(a) != idOf(b) && m.half != "" {
		m.half = ""
		m.add(len(m.lines)) // a number of its own, so that the text of the half stays unique
		m.lines[len(m.lines)-1].excused = true
		delete(m.file(m.w).unread, len(m.lines)-1)
	}
	m.w.Close()
	m.w = w
}

func (m *model) create() {
	m.link++
	check(os.WriteFile(m.real(), nil, 0o644))
	info, err := os.Stat(m.real())
	check(err)
	m.files[idOf(info)] = newModelFile()
}

func (m *model) real() string { return fmt.Sprintf("%s-%d", m.path, 20260100+m.link) }

// wait lets the linger pass.
func (m *model) wait() {
	m.op("an hour passes")
	m.look()
	m.now = m.now.Add(time.Hour)
	m.look()
}

// ahead has the source read ahead, as it does where files are truncated.
func (m *model) ahead() {
	m.op("read ahead")
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	for _, fl := range m.f.files {
		fl.hasten(m.f.buf, fl.hasty.Add(-1))
	}
}

// start makes a source that goes on at the saved cursors.
func (m *model) start() {
	m.f = NewFiles(FilesOptions{
		Paths: []string{m.path}, From: fromStart,
		Now: func() time.Time { return m.now },
	})
	m.f.Resume(m.cursors)
}

// kill ends the source at any moment; what it holds of deleted files is gone.
func (m *model) kill() {
	m.op("kill")
	m.holding()
	m.stop()
	for id, file := range m.files {
		if !m.linked(id) {
			m.forgive(file)
		}
		file.held, file.closed = false, file.closed && m.linked(id)
	}
	m.start()
}

func (m *model) stop() {
	for _, fl := range m.f.files {
		for _, g := range fl.gens {
			g.file.Close()
		}
	}
}

func (m *model) linked(id fileID) bool {
	entries, _ := os.ReadDir(m.dir)
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		info, err := e.Info()
		return err == nil && idOf(info) == id
	})
}

// holding notes which files the source has open.
func (m *model) holding() {
	for _, fl := range m.f.files {
		for id, file := range m.files {
			held := fl.holds(id)
			file.closed = file.closed || file.held && !held
			file.held = held
		}
	}
}

// look has the source look at the path and read, all there is or one batch of it.
func (m *model) look() {
	if m.rand.IntN(4) == 0 {
		m.read(1)
	} else {
		m.read(1000)
	}
}

func (m *model) read(batches int) {
	m.f.mu.Lock()
	m.f.begin()
	for _, fl := range m.f.files {
		fl.cost = 0 // on a slow machine too
	}
	m.f.scanAll()
	m.f.mu.Unlock()
	for range batches {
		var b pipeline.Batch
		if !m.f.take(&b) {
			break
		}
		m.got(&b)
	}
	m.holding()
	fl := m.f.files[m.path]
	m.op("look: %d open, %d past, cursor %d bytes", len(fl.gens), len(fl.past), len(m.cursors["file:"+m.path]))
}

func (m *model) got(b *pipeline.Batch) {
	m.cursors[b.Source] = b.Cursor
	for _, r := range b.Records {
		line := string(r.Line)
		if r.Cut {
			if i := slices.Index(m.halves, line); i >= 0 {
				m.halves = slices.Delete(m.halves, i, i+1)
			} else {
				m.t.Errorf("got a cut line %q that nobody began", line)
			}
			continue
		}
		if strings.HasPrefix(line, "rest of ") {
			continue
		}
		digits, _, _ := strings.Cut(strings.TrimPrefix(line, "line "), " ")
		n, _ := strconv.Atoi(digits)
		if n >= len(m.lines) || line != modelText(n) {
			m.t.Errorf("got %q, a line that nobody wrote", line)
			continue
		}
		if m.lines[n].times++; m.lines[n].times > 1 {
			m.t.Errorf("got line %d again", n)
		}
		for _, file := range m.files {
			delete(file.unread, n)
		}
	}
}
