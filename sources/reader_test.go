package sources

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

func TestReaderKeepsTheContract(t *testing.T) {
	pipelinetest.TestSource(t, func(*testing.T) pipelinetest.SourceLog {
		r, w := io.Pipe()
		return pipelinetest.SourceLog{
			New: func() pipeline.Source { return NewReader("stdin", r) },
			Write: func(lines ...string) error {
				_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
				return err
			},
			End: w.Close,
		}
	})
}

func TestFIFOOutlivesItsWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	check(syscall.Mkfifo(path, 0o600))
	r := NewFIFO(path, false)
	var b pipeline.Batch
	for _, line := range []string{"one", "two"} { // by two writers, one after the other
		go os.WriteFile(path, []byte(line+"\n"), 0)
		b.Reset()
		check(r.Read(t.Context(), &b))
		if got := string(b.Records[0].Line); got != line || b.Source != "fifo:"+path {
			t.Errorf("got %q of %q, want %q", got, b.Source, line)
		}
	}
	check(r.Close())
	b.Reset()
	if err := r.Read(t.Context(), &b); err != io.EOF {
		t.Errorf("got %v, want io.EOF", err)
	}
}

// What is no pipe is not opened, and what becomes one is.
func TestFIFOWaitsForAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	write(t, path, "a file\n")
	r := NewFIFO(path, false)
	defer r.Close()
	var b pipeline.Batch
	if err := r.Read(t.Context(), &b); err == nil || !strings.Contains(err.Error(), "not a named pipe") {
		t.Errorf("got %v, want that it is no pipe", err)
	}
	check(os.Remove(path))
	check(syscall.Mkfifo(path, 0o600))
	go os.WriteFile(path, []byte("one\n"), 0)
	for deadline := time.Now().Add(5 * time.Second); len(b.Records) == 0 && time.Now().Before(deadline); {
		r.Read(t.Context(), &b)
	}
	if len(b.Records) != 1 || string(b.Records[0].Line) != "one" {
		t.Errorf("got %v, want the line", b.Records)
	}
}

// Read once, a pipe ends when nobody writes.
func TestFIFOOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	check(syscall.Mkfifo(path, 0o600))
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	check(err)
	r := NewFIFO(path, true)
	defer r.Close()
	_, err = w.WriteString("one\ntwo")
	check(err)
	var b pipeline.Batch
	check(r.Read(t.Context(), &b))
	w.Close()
	for err == nil {
		err = r.Read(t.Context(), &b)
	}
	if err != io.EOF || len(b.Records) != 2 {
		t.Errorf("got %v behind %d records, want io.EOF behind 2", err, len(b.Records))
	}
}

// An error of the stream is returned once; what comes behind it is read.
func TestReaderGoesOnAfterAnError(t *testing.T) {
	odd := errors.New("odd")
	s := NewReader("stdin", io.MultiReader(strings.NewReader("one\nt"), iotest.ErrReader(odd)))
	var b pipeline.Batch
	err := s.Read(t.Context(), &b)
	if err == nil {
		err = s.Read(t.Context(), &b)
	}
	if !errors.Is(err, odd) || len(b.Records) != 1 {
		t.Errorf("got %v behind %d records, want the error behind one", err, len(b.Records))
	}
}

// A stream is live from its first second of silence on.
func TestReaderSaysWhatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		s := NewReader("stdin", r)
		for i, c := range []struct {
			pause time.Duration
			want  bool
		}{{0, false}, {500 * time.Millisecond, false}, {2 * time.Second, true}, {0, true}} {
			go func() {
				time.Sleep(c.pause)
				io.WriteString(w, "a line\n")
			}()
			var b pipeline.Batch
			if err := s.Read(t.Context(), &b); err != nil || b.Live != c.want {
				t.Errorf("line %d: got Live %v, %v, want %v", i, b.Live, err, c.want)
			}
		}
		w.Close()
	})
}
