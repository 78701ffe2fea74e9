package sources

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// maxQuiet is how many quiet generations of one path stay open at most, whatever the linger; maxOpen is
// how many there may be of any kind.
const (
	maxQuiet = 32
	maxOpen  = 256
)

// A follower makes one path look like one endless log, whatever files come and go behind it. All its
// fields are guarded by Files.mu.
type follower struct {
	path   string
	source string            // "file:" and the path
	real   string            // what the path means if it is a symlink or leads through one, else the path
	gens   []*generation     // oldest first, each open
	cur    *generation       // the one at path, also in gens; nil if there is none
	past   []known           // files that were read and closed, oldest first, maxPast at most
	seen   map[seenFile]bool // siblings that are known
	since  time.Time         // when reading began, or as of when the cursor was
	asOf   time.Time         // what was rotated away before is among gens, or was read, or need not be
	listed time.Time         // when their folder had changed, as of then
	began  time.Time         // when they were last listed
	cost   time.Duration     // and how long that took: in a folder of many thousands it is done seldom
	hasty  time.Time         // until then it is read ahead
	other  fileID            // the file at path that is not to be read here: another path's rotated one

	pending *cursor // where to go on; nil once that is done, or where there is none
	moved   bool    // the cursor says what no batch has said yet: reading starts behind the beginning, or is at the end
	fresh   bool    // there was no cursor, and reading has not been at the end yet
	placed  bool    // a file was opened: the next one is read from its beginning
	queued  bool    // in Files.queue
	trouble string  // why the path cannot be followed, as last logged; "" if it can
	stats   Stats
}

func newFollower(path string) *follower {
	fl := &follower{path: path, real: path, source: "file:" + path}
	fl.stats.Source = fl.source
	return fl
}

// read appends lines of all generations to b, the oldest first. It reports whether more is ready, and
// whether what it appended was written after all of its file had been read.
func (fl *follower) read(b *pipeline.Batch, f *Files, now time.Time) (more, live bool) {
	live = true
	for i := 0; i < len(fl.gens); i++ {
		if b.Full() {
			return true, live
		}
		g, n := fl.gens[i], len(b.Records)
		err := g.read(b, f.buf, f.maxLine, now)
		if errors.Is(err, errTruncated) {
			rescued := g.rescue(b, f.maxLine, now)
			live = live && (g.live || n == len(b.Records))
			if !rescued {
				return true, live
			}
			fl.truncated(f, g, now)
			i-- // logrotate's copy stands in its place, or itself, to be begun anew
			continue
		}
		fl.note(f.log, err)
		live = live && (g.live || n == len(b.Records))
		g.live = g.live || g.atEnd
		more = more || !g.atEnd && err == nil
	}
	return more, live
}

// retire closes the generations that were rotated away and have been quiet for long enough; an unfinished
// line at their end goes to b. One whose successor has not come yet is kept while it has a name: its
// writer may go on for hours.
func (fl *follower) retire(b *pipeline.Batch, f *Files, now time.Time) {
	kept := fl.gens[:0]
	for i, g := range fl.gens {
		if fl.keeps(i, f.linger, now) || b.Full() {
			kept = append(kept, g)
			continue
		}
		n := len(b.Records)
		fl.note(f.log, g.flush(b, f.buf, f.maxLine, now))
		for j := n; j < len(b.Records); j++ {
			b.Records[j].Cut = true
		}
		fl.remember(g.known())
		f.unwatch(fl, g)
		f.done = append(f.done, g.file)
	}
	clear(fl.gens[len(kept):])
	fl.gens = kept
}

func (fl *follower) keeps(i int, linger time.Duration, now time.Time) bool {
	g := fl.gens[i]
	if g == fl.cur || !g.atEnd {
		return true
	}
	if newer := len(fl.gens) - 1 - i; newer >= maxQuiet {
		return false
	} else if now.Sub(g.changed) < linger {
		return true
	} else if newer > 0 {
		return false
	}
	_, linked := g.status()
	return linked
}

// remember keeps what tells a file from others after it is closed.
func (fl *follower) remember(k known) {
	if k.head.n == 0 {
		return
	}
	if len(fl.past) == maxPast {
		fl.past = append(fl.past[:0], fl.past[1:]...)
	}
	fl.past = append(fl.past, k)
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
