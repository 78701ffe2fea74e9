package sources

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// full asks for the long forms: go test ./sources -args -full
var full = flag.Bool("full", false, "run the tests in their long form")

// The tests that need another process start this program again with one of these names in writerEnv.
const writerEnv = "BANPIPE_TEST_WRITER"

func TestMain(m *testing.M) {
	switch os.Getenv(writerEnv) {
	case "":
		os.Exit(m.Run())
	case "rotate":
		rotatingWriter()
	case "resume":
		resumingReader()
	}
}

// A rotation is one way in which logs are rotated.
type rotation struct {
	style     string
	truncates bool // somebody may lose what nobody had time to read
	deletes   bool // or what came and went while nobody had
}

var rotations = []rotation{
	{style: "create"},      // renamed by the writer itself
	{style: "create-late"}, // renamed and created by another, the writer changes over 60 ms later
	{style: "nocreate"},    // renamed, the writer creates the new one 60 ms later
	{style: "delete", deletes: true},
	{style: "delete-late", deletes: true},
	{style: "symlink"}, // a link is renamed over the link
	{style: "copytruncate", truncates: true},
	{style: "truncate", truncates: true},
	{style: "noappend", truncates: true}, // copytruncate under a writer without O_APPEND: a hole of NULs
}

// Every style at every rate: a writer in a process of its own writes numbered lines, one write(2) each,
// while the file is rotated under it. Each line must come once and whole.
func TestFilesLoseNothingUnderRotation(t *testing.T) {
	rates, periods, d := []int{20000}, []time.Duration{200 * time.Millisecond}, 700*time.Millisecond
	if *full {
		rates = []int{1000, 20000, 0}
		periods = []time.Duration{500 * time.Millisecond, 200 * time.Millisecond, 50 * time.Millisecond}
		d = 4 * time.Second
	}
	styles := rotations
	if testing.Short() {
		styles = []rotation{{style: "create-late"}, {style: "copytruncate", truncates: true}}
	}
	for _, r := range styles {
		for _, rate := range rates {
			for _, period := range periods {
				t.Run(fmt.Sprintf("%s/%d per s/every %v", r.style, rate, period), func(t *testing.T) {
					stress(t, r, rate, period, d)
				})
			}
		}
	}
}

func stress(t *testing.T, r rotation, rate int, period, d time.Duration) {
	path := filepath.Join(t.TempDir(), "log")
	if r.style == "symlink" {
		write(t, path+"-0", "")
		if err := os.Symlink(path+"-0", path); err != nil {
			t.Fatal(err)
		}
	} else {
		write(t, path, "")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f := NewFiles(FilesOptions{Paths: []string{path}})
	var seen tally
	batches := make(chan struct{}, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		var b pipeline.Batch
		for f.Read(ctx, &b) == nil {
			seen.add(&b)
			b = pipeline.Batch{Records: b.Records[:0], Cursor: b.Cursor}
			select {
			case batches <- struct{}{}:
			default:
			}
		}
	})
	for len(f.Stats()) == 0 || !f.watching() { // it stands at the end of the empty file
		time.Sleep(time.Millisecond)
	}
	cpu, stalled := cpuTime(), stalls(ctx)
	written, late := startWriter(t, r.style, path, rate, period, d)
	stall, longest := stalled()
	cpu = cpuTime() - cpu
	quiet(batches, 500*time.Millisecond)
	cancel()
	reading.Wait()

	lost, again, torn := seen.judge(written)
	gaps := len(seen.ranges(written))
	counted := f.Stats()[0].Lost
	t.Logf("%d lines: %d lost (%.3f %%) in %d gaps, %d again, %d torn; truncations counted: %d; %.1f us of CPU per line; stalled for %v, %v at a time, %d lines late",
		written, lost, 100*float64(lost)/float64(written), gaps, again, torn, counted, cpu.Seconds()*1e6/float64(written), stall, longest, late)
	if r.deletes && longest > period/2 && again+torn == 0 {
		return // a file may have come and gone in that time: nobody has it
	}
	if again > 0 || torn > 0 || lost > 0 && !r.truncates {
		t.Errorf("got %d lost, %d doubled, %d torn of %d lines, want none", lost, again, torn, written)
	}
	if !r.truncates {
		return
	}
	if gaps > int(counted) {
		t.Errorf("%d gaps and %d truncations counted", gaps, counted)
	}
	// What is written while nobody else gets the processor is gone.
	limit := int(counted) * written * int(100*time.Millisecond) / int(d)
	if rate == 20000 {
		limit = written/1000 + late + int(stall.Seconds()*float64(rate)) + rate/500
	}
	if lost > limit {
		t.Errorf("got %d of %d lines lost, want at most %d", lost, written, limit)
	}
}

// stalls measures how long this process wanted the processor and did not get it, from now until stalled is
// called: what makes a pause of a millisecond longer than two, in all and at most.
func stalls(ctx context.Context) (stalled func() (all, longest time.Duration)) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	var all, longest time.Duration
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			began := time.Now()
			time.Sleep(time.Millisecond)
			stall := max(0, time.Since(began)-2*time.Millisecond)
			all, longest = all+stall, max(longest, stall)
		}
	}()
	return func() (time.Duration, time.Duration) { cancel(); <-ended; return all, longest }
}

func (f *Files) watching() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kick != nil
}

// quiet waits until nothing has come for d.
func quiet(batches <-chan struct{}, d time.Duration) {
	for {
		select {
		case <-batches:
		case <-time.After(d):
			return
		}
	}
}

// startWriter runs the writer to its end and returns how many lines it has written, and how many of them in one go
// because it had been held up for two milliseconds or more.
func startWriter(t *testing.T, style, path string, rate int, period, d time.Duration) (written, late int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], style, path, strconv.Itoa(rate), period.String(), d.String())
	cmd.Env = append(os.Environ(), writerEnv+"=rotate")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(out), &written, &late); err != nil {
		t.Fatal(err)
	}
	return written, late
}

// A tally counts how often each numbered line was seen.
type tally struct {
	times []uint16
	torn  int
}

func (y *tally) add(b *pipeline.Batch) {
	for i := range b.Records {
		y.line(b.Records[i].Line)
	}
}

func (y *tally) line(line []byte) {
	n, ok := lineNumber(line)
	if !ok {
		y.torn++
		return
	}
	for len(y.times) <= n {
		y.times = append(y.times, make([]uint16, n+1024)...)
	}
	y.times[n]++
}

// judge compares with what was written: lines 0 to n-1.
func (y *tally) judge(n int) (lost, again, torn int) {
	for i := range n {
		switch {
		case i >= len(y.times) || y.times[i] == 0:
			lost++
		default:
			again += int(y.times[i]) - 1
		}
	}
	return lost, again, y.torn
}

// ranges says which lines were lost.
func (y *tally) ranges(n int) (lost []string) {
	for i := 0; i < n; i++ {
		from := i
		for i < n && (i >= len(y.times) || y.times[i] == 0) {
			i++
		}
		if i > from {
			lost = append(lost, fmt.Sprintf("%d-%d", from, i-1))
		}
	}
	return lost
}

const lineLen = 107

// numberedLine is "S000000000042 xxx… E000000000042\n", 107 bytes in all.
func numberedLine(p []byte, n int) []byte {
	p = fmt.Appendf(p[:0], "S%012d ", n)
	for len(p) < lineLen-15 {
		p = append(p, 'x')
	}
	return fmt.Appendf(p, " E%012d\n", n)
}

func lineNumber(line []byte) (int, bool) {
	if len(line) != lineLen-1 || line[0] != 'S' || line[lineLen-14] != 'E' {
		return 0, false
	}
	a, errA := strconv.Atoi(string(line[1:13]))
	b, errB := strconv.Atoi(string(line[lineLen-13 : lineLen-1]))
	return a, errA == nil && errB == nil && a == b
}

// A stressWriter is the process that writes and rotates.
type stressWriter struct {
	path string
	gen  int
	mu   sync.Mutex
	file *os.File
}

// rotatingWriter is the program: STYLE PATH RATE PERIOD DURATION.
func rotatingWriter() {
	style, path := os.Args[1], os.Args[2]
	rate, _ := strconv.Atoi(os.Args[3])
	period, _ := time.ParseDuration(os.Args[4])
	d, _ := time.ParseDuration(os.Args[5])
	w := &stressWriter{path: path}
	w.file = w.open(style)
	stop := make(chan struct{})
	var rotating sync.WaitGroup
	rotating.Go(func() {
		every := time.NewTicker(period)
		for {
			select {
			case <-stop:
				return
			case <-every.C:
				w.rotate(style)
			}
		}
	})
	fmt.Println(w.write(rate, d))
	close(stop)
	rotating.Wait()
}

func (w *stressWriter) write(rate int, d time.Duration) (n, late int) {
	var line []byte
	began := time.Now()
	for {
		gone := time.Since(began)
		if gone >= d {
			return n, late
		}
		until := n + 100
		if rate > 0 {
			until = int(gone.Seconds() * float64(rate))
		}
		if n >= until {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		if rate > 0 && until-n > rate/500 {
			late += until - n
		}
		for ; n < until; n++ {
			line = numberedLine(line, n)
			w.mu.Lock()
			_, err := w.file.Write(line)
			w.mu.Unlock()
			if err != nil {
				panic(err)
			}
		}
	}
}

func (w *stressWriter) open(style string) *os.File {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if style == "noappend" {
		flags = os.O_CREATE | os.O_WRONLY
	}
	file, err := os.OpenFile(w.path, flags, 0o644)
	if err != nil {
		panic(err)
	}
	return file
}

// change makes the writer go over to the file that is at the path now.
func (w *stressWriter) change(style string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.file.Close()
	w.file = w.open(style)
}

func (w *stressWriter) rotate(style string) {
	w.gen++
	old := fmt.Sprintf("%s.%d", w.path, w.gen)
	const late = 60 * time.Millisecond
	switch style {
	case "create":
		w.mu.Lock()
		check(os.Rename(w.path, old))
		w.file.Close()
		w.file = w.open(style)
		w.mu.Unlock()
	case "create-late":
		check(os.Rename(w.path, old))
		check(os.WriteFile(w.path, nil, 0o644))
		time.Sleep(late)
		w.change(style)
	case "nocreate":
		check(os.Rename(w.path, old))
		time.Sleep(late)
		w.change(style)
	case "delete":
		w.mu.Lock()
		check(os.Remove(w.path))
		w.file.Close()
		w.file = w.open(style)
		w.mu.Unlock()
	case "delete-late":
		check(os.Remove(w.path))
		check(os.WriteFile(w.path, nil, 0o644))
		time.Sleep(late)
		w.change(style)
	case "symlink":
		next := fmt.Sprintf("%s-%d", w.path, w.gen)
		check(os.WriteFile(next, nil, 0o644))
		check(os.Symlink(next, w.path+".new"))
		check(os.Rename(w.path+".new", w.path))
		w.change(style)
	case "copytruncate", "noappend":
		copyFile(w.path, old)
		check(os.Truncate(w.path, 0))
	case "truncate":
		check(os.Truncate(w.path, 0))
	}
}

func copyFile(from, to string) {
	in, err := os.Open(from)
	check(err)
	defer in.Close()
	out, err := os.Create(to)
	check(err)
	defer out.Close()
	_, err = io.Copy(out, in)
	check(err)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
