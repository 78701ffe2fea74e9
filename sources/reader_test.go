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
	r, err := OpenFIFO(path)
	check(err)
	var b pipeline.Batch
	for _, line := range []string{"one", "two"} { // by two writers, one after the other
		check(os.WriteFile(path, []byte(line+"\n"), 0))
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
	if _, err := OpenFIFO(os.DevNull); err == nil {
		t.Error("got no error for what is no FIFO")
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
