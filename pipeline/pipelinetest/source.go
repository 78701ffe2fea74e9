// Package pipelinetest holds the contracts of the pipeline's interfaces as test suites: who writes a
// Source or a Sink of his own runs them on it.
package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A SourceLog is a log that TestSource writes and a source that reads it.
type SourceLog struct {
	// New gives a source that stands before the first line that Write will write. Where the source is a
	// Resumer, New is called again on the same log, as after a restart; the earlier ones are not read any more.
	New func() pipeline.Source
	// Write adds lines to the log. It may block until they are read, if the source is not a Resumer.
	Write func(lines ...string) error
	// End ends the log: after the last line Read returns io.EOF. nil if it cannot end.
	End func() error
}

// How long the suite waits for what must come, and for what must not.
const (
	sourceSoon  = 5 * time.Second
	sourceQuiet = 50 * time.Millisecond
)

// TestSource checks the contract of pipeline.Source, and that of pipeline.Resumer where the source is
// one. open makes a new, empty log for every check; the contexts that a source has been given are done when
// its check is over.
func TestSource(t *testing.T, open func(t *testing.T) SourceLog) {
	for _, c := range sourceChecks {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if err := c.check(ctx, open(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A sourceCheck is one sentence of the contract. check returns what it saw wrong.
type sourceCheck struct {
	name  string
	check func(context.Context, SourceLog) error
}

var sourceChecks = []sourceCheck{
	{"has a name that stays", checkSourceName},
	{"blocks until a line is ready", checkSourceBlocks},
	{"does not wait for a second line", checkSourceAlone},
	{"returns soon after cancel", checkSourceCancel},
	{"loses nothing by cancel", checkSourceCancelKeeps},
	{"delivers every line once in order", checkSourceOrder},
	{"does not keep the batch", checkSourceLetsGo},
	{"ends with io.EOF behind the last line", checkSourceEOF},
	{"resumes behind the cursor", checkSourceResume},
}

// write calls Write beside the check.
func (l SourceLog) write(lines ...string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- l.Write(lines...) }()
	return done
}

func checkSourceName(ctx context.Context, l SourceLog) error {
	s := l.New()
	before := s.Name()
	if before == "" {
		return errors.New("the Name is empty")
	}
	written := l.write("one")
	if _, err := readSource(ctx, s, 1); err != nil {
		return err
	}
	if after := s.Name(); after != before {
		return fmt.Errorf("the Name was %q and became %q", before, after)
	}
	return <-written
}

func checkSourceBlocks(ctx context.Context, l SourceLog) error {
	s := l.New()
	done := goRead(ctx, s)
	select {
	case r := <-done:
		return fmt.Errorf("the Read of an empty log returned %d records, error %v", len(r.batch.Records), r.err)
	case <-time.After(sourceQuiet):
	}
	written := l.write("one")
	r, err := await(done)
	if err != nil {
		return err
	}
	if err := r.want("one"); err != nil {
		return err
	}
	return <-written
}

func checkSourceAlone(ctx context.Context, l SourceLog) error {
	s := l.New()
	for _, line := range []string{"one", "two", "three"} {
		written := l.write(line)
		r, err := await(goRead(ctx, s))
		if err != nil {
			return fmt.Errorf("a lone line: %w", err)
		}
		if err := r.want(line); err != nil {
			return err
		}
		if err := <-written; err != nil {
			return err
		}
	}
	return nil
}

func checkSourceCancel(ctx context.Context, l SourceLog) error {
	s := l.New()
	for range 2 { // a context that ends while Read waits; twice, since a source may be read again
		once, cancel := context.WithCancel(ctx)
		done := goRead(once, s)
		time.AfterFunc(sourceQuiet, cancel)
		r, err := await(done)
		if err != nil {
			return fmt.Errorf("a cancelled Read: %w", err)
		}
		if r.err == nil {
			return fmt.Errorf("a cancelled Read returned %d records and no error", len(r.batch.Records))
		}
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := await(goRead(over, s)); err != nil {
		return fmt.Errorf("a Read cancelled before it began: %w", err)
	}
	return nil
}

// checkSourceCancelKeeps reads with contexts that end at any moment, every other one before Read begins; they
// last longer while nothing comes, since a source may have something to start first.
func checkSourceCancelKeeps(ctx context.Context, l SourceLog) error {
	s := l.New()
	want := numbered(1200)
	written := make(chan error, 1)
	go func() {
		for part := range slices.Chunk(want, 100) {
			if err := l.Write(part...); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	var got []string
	deadline := time.Now().Add(2 * sourceSoon)
	patience := time.Millisecond
	for i := 0; len(got) < len(want) && time.Now().Before(deadline); i++ {
		short, cancel := context.WithTimeout(ctx, time.Duration(i%2)*patience)
		r, err := await(goRead(short, s))
		cancel()
		if err != nil {
			return err
		}
		got = append(got, r.lines()...)
		if patience *= 2; len(r.batch.Records) > 0 || patience > sourceSoon/2 {
			patience = time.Millisecond
		}
	}
	if err := sameLines(got, want); err != nil {
		return fmt.Errorf("read by many cancelled calls: %w", err)
	}
	return <-written
}

func checkSourceOrder(ctx context.Context, l SourceLog) error {
	s := l.New()
	want := numbered(3000)
	written := l.write(want...)
	got, err := readSource(ctx, s, len(want))
	if err != nil {
		return err
	}
	if err := sameLines(got, want); err != nil {
		return err
	}
	return <-written
}

// checkSourceLetsGo scribbles over what Read returned, as the owner of a batch may.
func checkSourceLetsGo(ctx context.Context, l SourceLog) error {
	s := l.New()
	want := numbered(2000)
	written := l.write(want...)
	var got []string
	for len(got) < len(want) {
		r, err := await(goRead(ctx, s))
		if err != nil {
			return err
		}
		got = append(got, r.lines()...)
		for _, rec := range r.batch.Records {
			for i := range rec.Line {
				rec.Line[i] = '#'
			}
		}
		for i := range r.batch.Cursor {
			r.batch.Cursor[i] = '#'
		}
	}
	if err := sameLines(got, want); err != nil {
		return fmt.Errorf("after the batches were written over: %w", err)
	}
	return <-written
}

func checkSourceEOF(ctx context.Context, l SourceLog) error {
	if l.End == nil {
		return nil
	}
	s := l.New()
	want := numbered(700)
	written := l.write(want...)
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(<-written, l.End()) }()
	var got []string
	for {
		r, err := await(goRead(ctx, s))
		if err != nil {
			return err
		}
		got = append(got, r.lines()...)
		if r.err == io.EOF || len(got) > len(want) {
			break
		}
		if err := r.fault(); err != nil {
			return err
		}
	}
	if err := sameLines(got, want); err != nil {
		return err
	}
	r, err := await(goRead(ctx, s))
	if err != nil {
		return fmt.Errorf("the Read after io.EOF: %w", err)
	}
	if r.err != io.EOF || len(r.batch.Records) > 0 {
		return fmt.Errorf("the Read after io.EOF returned %d records, error %v", len(r.batch.Records), r.err)
	}
	return <-ended
}

// checkSourceResume reads a log in two parts, the second written while nobody reads, and starts anew
// behind every batch.
func checkSourceResume(ctx context.Context, l SourceLog) error {
	s, ok := l.New().(pipeline.Resumer)
	if !ok {
		return nil
	}
	all := numbered(3000)
	cursors := map[string][]byte{"somebody else": []byte("not yours")}
	s.Resume(cursors)
	var got []string
	for _, part := range [][]string{all[:1700], all[1700:]} {
		if err := l.Write(part...); err != nil {
			return err
		}
		for until := len(got) + len(part); len(got) < until; {
			r, err := await(goRead(ctx, s))
			if err != nil {
				return fmt.Errorf("resumed behind line %d: %w", len(got), err)
			}
			if err := r.fault(); err != nil {
				return err
			}
			if len(r.batch.Cursor) == 0 {
				return errors.New("a batch of a Resumer has no Cursor")
			}
			got = append(got, r.lines()...)
			if err := sameLines(got, all[:min(len(got), len(all))]); err != nil {
				return fmt.Errorf("resumed: %w", err)
			}
			cursors[r.batch.Source] = slices.Clone(r.batch.Cursor)
			s = l.New().(pipeline.Resumer)
			s.Resume(cursors)
		}
	}
	return nil
}

// A sourceRead is what one Read returned.
type sourceRead struct {
	batch pipeline.Batch
	err   error
}

func goRead(ctx context.Context, s pipeline.Source) <-chan *sourceRead {
	done := make(chan *sourceRead, 1)
	go func() {
		r := &sourceRead{}
		for r.err == nil && len(r.batch.Records) == 0 {
			r.batch = pipeline.Batch{}
			r.err = s.Read(ctx, &r.batch)
			if r.batch.Cursor == nil {
				break // with one, it says only where it stands
			}
		}
		done <- r
	}()
	return done
}

func await(done <-chan *sourceRead) (*sourceRead, error) {
	select {
	case r := <-done:
		return r, nil
	case <-time.After(sourceSoon):
		return nil, fmt.Errorf("the Read had not returned after %v", sourceSoon)
	}
}

func (r *sourceRead) lines() []string {
	lines := make([]string, len(r.batch.Records))
	for i := range lines {
		lines[i] = string(r.batch.Records[i].Line)
	}
	return lines
}

// fault says what is wrong with a Read that should have brought lines.
func (r *sourceRead) fault() error {
	switch {
	case len(r.batch.Records) == 0:
		return fmt.Errorf("the Read returned no records, error %v", r.err)
	case r.err != nil && r.err != io.EOF:
		return fmt.Errorf("the Read: %w", r.err)
	case r.batch.Source == "":
		return errors.New("the Read left Batch.Source empty")
	case len(r.batch.Records) > 2*512:
		return fmt.Errorf("the Read went on after the batch was full: %d records", len(r.batch.Records))
	}
	for i, rec := range r.batch.Records {
		if rec.Time.IsZero() {
			return fmt.Errorf("record %d has no Time", i)
		}
	}
	return nil
}

func (r *sourceRead) want(lines ...string) error {
	if err := r.fault(); err != nil {
		return err
	}
	return sameLines(r.lines(), lines)
}

// readSource reads until it has n lines.
func readSource(ctx context.Context, s pipeline.Source, n int) ([]string, error) {
	var lines []string
	for len(lines) < n {
		r, err := await(goRead(ctx, s))
		if err != nil {
			return lines, fmt.Errorf("%w: %d of %d lines had come", err, len(lines), n)
		}
		if err := r.fault(); err != nil {
			return lines, err
		}
		lines = append(lines, r.lines()...)
	}
	return lines, nil
}

func numbered(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%90))
	}
	return lines
}

// sameLines compares and names the first difference.
func sameLines(got, want []string) error {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Errorf("line %d: got %q, want %q", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("got %d lines, want %d", len(got), len(want))
	}
	return nil
}
