package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// How much a Reader reads at once, and after how much silence it calls the stream live.
const (
	readerBlock = 64 << 10
	readerIdle  = time.Second
)

// A Reader is a source over a stream: standard input, a named pipe. It has no cursor: what was read is gone.
//
// Its first lines tell what it is. Of journalctl -o export and json, records are made as Journal makes them:
// without a date in the line, with their time and the trusted fields. All else is lines, those of
// journalctl -o short, short-iso and short-precise, of syslog and of any program; the lines that
// journalctl and tail -F put between them are dropped.
//
// A read from a terminal or a pipe cannot be cancelled, so a goroutine of its own does it, from the first
// Read to the end of the stream; after a cancelled Read it stays where it is, and what it gets is
// delivered by the next Read. The stream waits when nobody calls Read.
type Reader struct {
	name   string
	r      io.Reader
	blocks chan *block // from the goroutine, in order; the last one says io.EOF
	free   chan *block // back to it: two blocks, so that one fills while the other is cut into lines
	start  sync.Once

	// Owned by the goroutine that calls Read.
	cur   *block // nil: none
	text  decoder
	begun bool // the first bytes were looked at

	mu    sync.Mutex // guards stats
	stats Stats
}

// A block is a run of bytes of the stream, with room before it for the unfinished line of the one before.
type block struct {
	buf  []byte
	r, w int   // buf[r:w] is still to be cut into lines
	err  error // what ended the stream behind it
	live bool  // the stream has been silent for a while, before it or earlier
}

// NewReader makes a source of r. name is what logs, metrics and Batch.Source call it.
func NewReader(name string, r io.Reader) *Reader {
	s := &Reader{
		name: name, r: r,
		blocks: make(chan *block, 2), // as many as there are: sending never blocks
		free:   make(chan *block, 2),
		text:   decoder{lines: splitter{max: defaultMaxLine}},
		stats:  Stats{Source: name},
	}
	for range 2 {
		s.free <- &block{buf: make([]byte, defaultMaxLine+2+readerBlock)}
	}
	return s
}

// Close closes the stream, if it can be closed; Read then returns io.EOF behind what was read.
func (s *Reader) Close() error {
	if c, ok := s.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Name is the name given to NewReader.
func (s *Reader) Name() string { return s.name }

// Stats may be called at any time.
func (s *Reader) Stats() []Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []Stats{s.stats}
}

// Read implements pipeline.Source. Batches are Live from the first second of silence on: what comes
// without a pause may be an old log that somebody pipes in. An error of the stream other than io.EOF is
// returned once, and the stream is read again.
func (s *Reader) Read(ctx context.Context, b *pipeline.Batch) error {
	s.start.Do(func() { go s.pump() })
	b.Source = s.name
	first := len(b.Records)
	for {
		now := time.Now()
		err := s.take(b, now)
		if len(b.Records) > first {
			s.mu.Lock()
			s.stats.count(b, first, now)
			s.mu.Unlock()
		}
		if err != nil || len(b.Records) > first {
			return err
		}
		if err := s.next(ctx); err != nil {
			return err
		}
	}
}

// take cuts lines out of the current block and of those that are ready, without waiting.
func (s *Reader) take(b *pipeline.Batch, now time.Time) error {
	for s.cur != nil {
		c := s.cur
		b.Live = c.live
		c.r += s.text.decode(b, c.buf[c.r:c.w], now)
		if why := s.text.refused; why != nil {
			s.text.refused = nil
			return fmt.Errorf("%s: %w", s.name, why)
		}
		if b.Full() {
			return nil
		}
		if c.err != nil {
			return s.end(b, now)
		}
		select {
		case next := <-s.blocks:
			s.change(next)
		default:
			return nil
		}
	}
	return nil
}

// end says why the stream stopped; at io.EOF it delivers the last line, which no newline ended.
func (s *Reader) end(b *pipeline.Batch, now time.Time) error {
	c := s.cur
	if c.err != io.EOF {
		err := c.err
		c.err = nil
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.text.finish(b, c.buf[c.r:c.w], now)
	c.r = c.w
	return io.EOF
}

// next waits for a block.
func (s *Reader) next(ctx context.Context) error {
	select {
	case c := <-s.blocks:
		s.change(c)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// change puts what is left of the current block before the next one and gives the former back.
func (s *Reader) change(next *block) {
	if old := s.cur; old != nil {
		left := old.buf[old.r:old.w]
		next.r -= copy(next.buf[next.r-len(left):], left)
		s.free <- old
	}
	if !s.begun && next.r < next.w {
		s.begun = true
		if bytes.HasPrefix(next.buf[next.r:next.w], utf8BOM) {
			next.r += len(utf8BOM)
		}
	}
	s.cur = next
}

// pump reads the stream until it ends.
func (s *Reader) pump() {
	live := false
	for c := range s.free {
		c.r = defaultMaxLine + 2
		began := time.Now()
		n, err := s.r.Read(c.buf[c.r:])
		if errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
			err = io.EOF
		}
		live = live || time.Since(began) >= readerIdle
		c.w, c.err, c.live = c.r+n, err, live
		s.blocks <- c
		if err == io.EOF {
			return
		}
	}
}
