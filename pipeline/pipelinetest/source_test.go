package pipelinetest

import (
	"context"
	"encoding/binary"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A memoryLog is the log behind the fakes: lines in memory and a channel that is closed when it changes.
type memoryLog struct {
	mu      sync.Mutex
	lines   []string
	ended   bool
	changed chan struct{}
}

func (m *memoryLog) write(lines ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, lines...)
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

func (m *memoryLog) end() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

func (m *memoryLog) at(i int) (lines []string, ended bool, changed chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lines[min(i, len(m.lines)):], m.ended, m.changed
}

// A fakeSource keeps the contract unless broken names what it shall break.
type fakeSource struct {
	log    *memoryLog
	next   int
	broken string
	held   []*pipeline.Batch // "keeps"
}

func (s *fakeSource) Name() string {
	if s.broken == "renamed" && s.next > 0 {
		return "other"
	}
	return "memory"
}

func (s *fakeSource) Resume(cursors map[string][]byte) {
	if c := cursors["memory"]; c != nil {
		s.next = int(binary.LittleEndian.Uint64(c))
	}
}

func (s *fakeSource) Read(ctx context.Context, b *pipeline.Batch) error {
	for {
		lines, ended, changed := s.log.at(s.next)
		if len(lines) > 0 && (s.broken != "hesitant" || len(lines) > 1 || ended) {
			return s.take(ctx, b, lines)
		}
		if ended {
			return io.EOF
		}
		if s.broken == "impatient" {
			return nil
		}
		if s.broken == "deaf" {
			<-changed
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if s.broken == "silent" {
				return nil
			}
			return ctx.Err()
		}
	}
}

func (s *fakeSource) take(ctx context.Context, b *pipeline.Batch, lines []string) error {
	for _, line := range lines {
		if b.Full() && s.broken != "greedy" {
			break
		}
		s.next++
		if s.broken == "skips" && s.next == 1234 {
			continue
		}
		b.Append([]byte(line), time.Now())
	}
	switch s.broken {
	case "keeps": // hands out the memory of the batch before
		if len(s.held) > 0 && len(b.Records) > 0 {
			b.Records[0].Line = s.held[0].Records[0].Line
		}
		kept := *b
		s.held = []*pipeline.Batch{&kept}
	case "drops":
		if ctx.Err() != nil {
			b.Records = nil
			return ctx.Err()
		}
	case "timeless":
		b.Records[0].Time = time.Time{}
	}
	if s.broken != "nameless" {
		b.Source = "memory"
	}
	if s.broken != "cursorless" {
		n := s.next
		if s.broken == "behind" {
			n--
		}
		b.Cursor = binary.LittleEndian.AppendUint64(b.Cursor[:0], uint64(n))
	}
	if s.broken == "endless" && len(lines) == len(b.Records) {
		s.next = 0
	}
	return nil
}

func openFake(broken string) SourceLog {
	log := &memoryLog{changed: make(chan struct{})}
	return SourceLog{
		New:   func() pipeline.Source { return &fakeSource{log: log, broken: broken} },
		Write: log.write,
		End:   log.end,
	}
}

func TestSourceAcceptsAGoodOne(t *testing.T) {
	TestSource(t, func(*testing.T) SourceLog { return openFake("") })
}

// The suite is worth what it finds: each fake breaks one sentence and must fail the check that holds it.
func TestSourceFindsBrokenOnes(t *testing.T) {
	for broken, check := range map[string]string{
		"renamed":    "has a name that stays",
		"impatient":  "blocks until a line is ready",
		"timeless":   "blocks until a line is ready",
		"nameless":   "blocks until a line is ready",
		"hesitant":   "does not wait for a second line",
		"deaf":       "returns soon after cancel",
		"silent":     "returns soon after cancel",
		"drops":      "loses nothing by cancel",
		"greedy":     "delivers every line once in order",
		"skips":      "delivers every line once in order",
		"keeps":      "does not keep the batch",
		"endless":    "ends with io.EOF behind the last line",
		"cursorless": "resumes behind the cursor",
		"behind":     "resumes behind the cursor",
	} {
		t.Run(broken, func(t *testing.T) {
			i := slices.IndexFunc(sourceChecks, func(c sourceCheck) bool { return c.name == check })
			synctest.Test(t, func(t *testing.T) {
				log := openFake(broken)
				defer log.End() // lets a Read go that still waits
				err := sourceChecks[i].check(t.Context(), log)
				if err == nil {
					t.Fatalf("check %q accepted a source that is %s", check, broken)
				}
				t.Log(err)
			})
		})
	}
}
