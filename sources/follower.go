package sources

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// A follower makes one path look like one endless log, whatever files come and go behind it. All its
// fields are guarded by Files.mu.
type follower struct {
	path   string
	source string        // "file:" and the path
	gens   []*generation // oldest first, each open
	cur    *generation   // the one at path, also in gens; nil if there is none

	queued  bool   // in Files.queue
	live    bool   // all generations were at their end when they were last read
	trouble string // why the path cannot be followed, as last logged; "" if it can
	stats   Stats
}

// read appends lines of all generations to b, the oldest first, and reports whether more is ready.
func (fl *follower) read(b *pipeline.Batch, f *Files, now time.Time) (more bool) {
	for i := 0; i < len(fl.gens) && !b.Full(); i++ {
		g := fl.gens[i]
		err := g.read(b, f.buf, f.maxLine, now)
		if errors.Is(err, errTruncated) {
			f.log.Info("file truncated, starting at its beginning", zap.String("path", fl.path))
			fl.stats.Lost++
			g.restart()
			err = g.read(b, f.buf, f.maxLine, now)
		}
		fl.note(f.log, err)
	}
	return !fl.atEnd()
}

func (fl *follower) atEnd() bool {
	for _, g := range fl.gens {
		if !g.atEnd {
			return false
		}
	}
	return true
}

// look compares the path with the generation that is read from it, opens what has taken its place, and
// reports whether something new is to be read.
func (fl *follower) look(f *Files, now time.Time) bool {
	info, err := os.Stat(fl.path)
	if err != nil {
		fl.cur = nil // it stays among gens, until it is deleted and quiet
		if !errors.Is(err, fs.ErrNotExist) {
			fl.note(f.log, err)
		}
		return false
	}
	if fl.cur != nil && fl.cur.id == idOf(info) {
		return false
	}
	for _, g := range fl.gens {
		if g.id == idOf(info) { // moved away and back
			fl.cur = g
			return false
		}
	}
	g, err := openGeneration(fl.path, now)
	fl.note(f.log, err)
	if err != nil {
		return false
	}
	fl.gens = append(fl.gens, g)
	fl.cur = g
	f.watch(fl, g)
	return true
}

// retire closes the generations that were rotated away and have been quiet for long enough; an unfinished
// line at their end goes to b. One whose successor has not come yet is kept while it has a name: its
// writer may go on for hours.
func (fl *follower) retire(b *pipeline.Batch, f *Files, now time.Time) {
	kept := fl.gens[:0]
	for i, g := range fl.gens {
		last := i == len(fl.gens)-1
		if g == fl.cur || !g.atEnd || now.Sub(g.changed) < f.linger || b.Full() {
			kept = append(kept, g)
			continue
		}
		if _, linked := g.status(); last && linked {
			kept = append(kept, g)
			continue
		}
		n := len(b.Records)
		fl.note(f.log, g.flush(b, f.buf, f.maxLine, now))
		for i := n; i < len(b.Records); i++ {
			b.Records[i].Cut = true
		}
		f.unwatch(fl, g)
		g.file.Close()
	}
	clear(fl.gens[len(kept):])
	fl.gens = kept
}

// note logs trouble with the path when it changes.
func (fl *follower) note(log *zap.Logger, err error) {
	if err == nil {
		if fl.trouble != "" {
			fl.trouble = ""
			log.Info("file can be read again", zap.String("path", fl.path))
		}
		return
	}
	if text := err.Error(); text != fl.trouble {
		fl.trouble = text
		log.Warn("file cannot be read", zap.String("path", fl.path), zap.Error(err))
	}
}
