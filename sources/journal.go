package sources

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// JournalOptions says what is read of the journal.
type JournalOptions struct {
	Name    string    // what logs, metrics and saved state call it; "" means "journal"
	Matches []string  // journalctl's, as ParseMatches gives them; none means everything
	Since   time.Time // where reading starts if there is no cursor; zero means now
	Once    bool      // what there is now is read, then Read returns io.EOF
	Command []string  // what to run and its first arguments; nil means journalctl

	Logger *zap.Logger      // nil means no logs
	Now    func() time.Time // nil means time.Now
}

// Journal follows systemd's journal through a journalctl of its own. An entry becomes the line
// "host ident[pid]: message", as in fail2ban, with "\n" in words for a newline in the message, so that no
// entry can pass for two. It has no date: Record.Time is the entry's own and Record.Dated is set.
// Record.Fields has what journald itself says of the sender, which no text can forge: _SYSTEMD_UNIT,
// _COMM, _UID and _TRANSPORT (systemd.journal-fields(7)), as far as there is any.
//
// libsystemd would need cgo, and until systemd 255 it could kill the process with SIGBUS when a file was
// rotated while it was read; the files' own format is not promised to stay. journald tells its readers
// of new entries four times a second, so a line comes an eighth of a second after it was written.
type Journal struct {
	opt  JournalOptions
	name string
	log  *zap.Logger
	now  func() time.Time

	// Owned by the goroutine that calls Read.
	child  *journalctl // nil if none runs
	block  []byte      // what is still to be parsed of the last block
	parser exportParser
	at     journalCursor // the last entry that was delivered, or where to start
	said   bool          // a batch has carried at
	begun  bool          // it has been read from
	lines  entryLines

	mu sync.Mutex
	// guarded by mu
	stats  Stats
	last   time.Time // of the last entry that was delivered
	idling time.Time // since when Read waits for journalctl; zero if it does not
}

var _ pipeline.Resumer = (*Journal)(nil)

// NewJournal makes a source of the journal. Nothing is run before the first Read.
func NewJournal(opt JournalOptions) *Journal {
	j := &Journal{opt: opt, name: opt.Name, log: opt.Logger, now: opt.Now}
	if j.name == "" {
		j.name = "journal"
	}
	if j.log == nil {
		j.log = zap.NewNop()
	}
	j.log = j.log.Named("source.journal")
	if j.now == nil {
		j.now = time.Now
	}
	if len(j.opt.Command) == 0 {
		j.opt.Command = []string{"journalctl"}
	}
	j.stats.Source = j.name
	return j
}

// Name is the name in the options, or "journal".
func (j *Journal) Name() string { return j.name }

// Stats may be called at any time.
func (j *Journal) Stats() []Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s, now := j.stats, j.now()
	// Where journalctl has nothing to say for a second, what it has said is all there is.
	if age := now.Sub(j.last); !j.last.IsZero() && age >= fresh && (j.idling.IsZero() || now.Sub(j.idling) < time.Second) {
		s.Behind = age
	}
	return []Stats{s}
}

// fresh is how old an entry may be that counts as just written.
const fresh = 10 * time.Second

// idle notes whether Read waits for journalctl.
func (j *Journal) idle(waits bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case !waits:
		j.idling = time.Time{}
	case j.idling.IsZero():
		j.idling = j.now()
	}
}

// A journalCursor is a place in the journal: behind the entry of that cursor, or if there is none, at a
// time; in microseconds since 1970, as journald counts.
type journalCursor struct {
	realtime int64
	cursor   []byte
}

// journalVersion is the first byte of a saved journalCursor.
const journalVersion = 1

func (c *journalCursor) appendTo(p []byte) []byte {
	p = append(p, journalVersion)
	p = binary.AppendVarint(p, c.realtime)
	return append(p, c.cursor...)
}

// Follows reports whether s reads the same entries, so that either can go on in the other's place.
func (j *Journal) Follows(s pipeline.Source) bool {
	k, ok := s.(*Journal)
	return ok && j.name == k.name && j.opt.Once == k.opt.Once &&
		slices.Equal(j.opt.Matches, k.opt.Matches) && slices.Equal(j.opt.Command, k.opt.Command)
}

// Resume implements pipeline.Resumer. Once it has been read from, it knows better.
func (j *Journal) Resume(cursors map[string][]byte) {
	p, ok := cursors[j.name]
	if !ok || j.begun {
		return
	}
	if len(p) > 1 && p[0] == journalVersion {
		if at, n := binary.Varint(p[1:]); n > 0 {
			j.at, j.said = journalCursor{at, bytes.Clone(p[1+n:])}, true
			return
		}
	}
	j.log.Warn("reading starts as if there were no cursor", zap.String("source", j.name), zap.Error(errCursor))
}

// Read implements pipeline.Source. When journalctl ends, it returns an error, and the next call starts
// it again behind the last entry.
func (j *Journal) Read(ctx context.Context, b *pipeline.Batch) error {
	b.Source, j.begun = j.name, true
	if j.at.realtime == 0 {
		if j.at.realtime = j.opt.Since.UnixMicro(); j.opt.Since.IsZero() {
			j.at.realtime = j.now().UnixMicro()
		}
	}
	if !j.said { // lest a restart before the first entry begins later
		j.said = true
		b.Cursor = j.at.appendTo(b.Cursor[:0])
		return nil
	}
	first := len(b.Records)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if j.child == nil {
			if err := j.start(ctx); err != nil {
				return err
			}
		}
		if j.take(b); len(b.Records) > first {
			j.deliver(b, first)
			return nil
		}
		j.idle(true)
		select {
		case block, ok := <-j.child.blocks:
			j.idle(false)
			if !ok {
				if err := j.ended(); err != nil {
					return err
				}
				continue
			}
			j.block = block
		case <-ctx.Done():
			j.stop()
			return ctx.Err()
		}
	}
}

// deliver completes a batch.
func (j *Journal) deliver(b *pipeline.Batch, first int) {
	now := j.now()
	b.Cursor = j.at.appendTo(b.Cursor[:0])
	last := time.UnixMicro(j.at.realtime)
	b.Live = now.Sub(last) < fresh
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = last
	j.stats.count(b, first, now)
}

// take appends what has been parsed and what is ready to be, without waiting.
func (j *Journal) take(b *pipeline.Batch) {
	for !b.Full() {
		n, done := j.parser.next(j.block)
		j.block = j.block[n:]
		if done {
			j.add(b, &j.parser.entry)
			j.parser.entry.reset()
			continue
		}
		select {
		case block, ok := <-j.child.blocks:
			if !ok {
				return // Read will see it, too
			}
			j.block = block
		default:
			return
		}
	}
}

// add appends an entry as a line, unless it is the one that was delivered last.
func (j *Journal) add(b *pipeline.Batch, e *entry) {
	at, _ := e.number(fieldRealtime)
	if bytes.Equal(e.values[fieldCursor], j.at.cursor) {
		return
	}
	j.at.realtime = at
	j.at.cursor = append(j.at.cursor[:0], e.values[fieldCursor]...)
	j.lines.add(b, e)
}

// start runs journalctl from where reading stands.
func (j *Journal) start(ctx context.Context) error {
	j.block = nil
	j.parser.restart()
	args := append(slices.Clone(j.opt.Command[1:]), "--quiet", "--no-pager", "--output=export", "--lines=all")
	if !j.opt.Once {
		args = append(args, "--follow")
	}
	args = append(args, "--output-fields="+strings.Join(exportNames[fieldSource:], ","))
	kept, err := j.holds(ctx)
	switch {
	case err != nil:
		return err
	case kept: // with the entry itself: behind one that is gone, --after-cursor would skip another
		args = append(args, "--cursor="+string(j.at.cursor))
	default:
		args = append(args, fmt.Sprintf("--since=@%d.%06d", j.at.realtime/1e6, j.at.realtime%1e6))
	}
	args = append(append(args, "--"), j.opt.Matches...)
	j.child, err = startJournalctl(ctx, j.opt.Command[0], args)
	return err
}

// holds reports whether the journal still has the entry of the cursor. journalctl does not say so: it
// goes on with the oldest entry there is.
func (j *Journal) holds(ctx context.Context) (bool, error) {
	if len(j.at.cursor) == 0 {
		return false, nil
	}
	args := append(slices.Clone(j.opt.Command[1:]), "--quiet", "--no-pager", "--output=export", "--output-fields=_PID",
		"--lines=1", "--cursor="+string(j.at.cursor))
	out, err := runJournalctl(ctx, j.opt.Command[0], args)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	var exit *exitError
	if err != nil && !errors.As(err, &exit) {
		return false, err
	}
	var x exportParser
	if _, done := x.next(out); done && bytes.Equal(x.entry.values[fieldCursor], j.at.cursor) {
		return true, nil
	}
	j.mu.Lock()
	j.stats.Lost++
	j.mu.Unlock()
	j.log.Warn("the journal no longer has the last entry that was read, entries may be lost",
		zap.String("source", j.name), zap.Time("since", time.UnixMicro(j.at.realtime)))
	j.at.cursor = nil
	return false, nil
}

// ended says why journalctl has ended; nil if that was only because an earlier Read was cancelled.
func (j *Journal) ended() error {
	err, cancelled := j.child.err, j.child.killed
	j.child = nil
	switch {
	case cancelled:
		return nil
	case err != nil:
		return err
	case j.opt.Once:
		return io.EOF
	}
	return errors.New("journalctl has ended")
}

// stop ends journalctl. What it has written and nobody has read comes again.
func (j *Journal) stop() {
	j.child.cancel()
	for range j.child.blocks {
	}
	j.child = nil
}
