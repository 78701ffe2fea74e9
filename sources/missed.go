package sources

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
)

// missed opens the files that came to the path and were rotated away between two looks, and reports
// whether there were any; at is the one that is there now. The folder is read only when it has changed.
func (fl *follower) missed(f *Files, at fileID, now time.Time) (any bool) {
	began := time.Now() // the clock that files are stamped with
	changed := fl.dirChange()
	if fl.seen != nil && changed.Equal(fl.listed) {
		fl.asOf = began
		return false
	}
	if fl.seen != nil && fl.cost > 2*time.Millisecond && began.Sub(fl.began) < 50*fl.cost {
		return false
	}
	for range 5 { // until nothing is renamed meanwhile
		new, moved, decided := fl.list(f, at, now)
		any = any || new
		if moved {
			continue
		}
		if decided {
			fl.asOf = began
			// A change within the same tick of the kernel's clock would leave the same mtime.
			if began.Sub(changed) > mtimeSlack {
				fl.listed = changed
			}
		}
		break
	}
	fl.began, fl.cost = began, time.Since(began)
	return any
}

// list takes the new ones of the siblings. moved tells that one was not found where it was listed,
// decided that there is none of which it is not known yet whether it is new.
func (fl *follower) list(f *Files, at fileID, now time.Time) (any, moved, decided bool) {
	all := siblings(fl.path, fl.real)
	seen := make(map[seenFile]bool, len(all))
	decided = true
	for _, s := range all {
		what := settled
		if fl.seen != nil && !fl.seen[s.seen()] && s.id != at && fl.isNew(&s) {
			what = fl.takeNew(f, s, now)
		}
		any = any || what == taken
		moved = moved || what == renamed
		decided = decided && what.final()
		if what.final() {
			seen[s.seen()] = true
		}
	}
	fl.seen = seen
	return any, moved, decided
}

// dirChange is when a name in the folder of the path, or of the file that a symlink there means, last
// changed.
func (fl *follower) dirChange() (last time.Time) {
	dirs := []string{filepath.Dir(fl.path)}
	if real := filepath.Dir(fl.real); real != dirs[0] {
		dirs = append(dirs, real)
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// copying is how long a copy may take to get as far as its first bytes.
const copying = 2 * time.Second

// A verdict is what takeNew has found a file to be.
type verdict uint8

const (
	settled verdict = iota // nothing to be read here
	taken                  // it is opened
	open                   // it cannot be told yet
	renamed                // it is not where it was listed
)

func (v verdict) final() bool { return v == settled || v == taken }

// takeNew opens a file that was rotated away before it was seen, unless it is a copy of one that is or
// was read here, or another follower's. It cannot be told while it looks like a copy of what is unread
// (if that is truncated, the copy is all there is), nor while it is so short and new that somebody may
// just be copying it.
func (fl *follower) takeNew(f *Files, s sibling, now time.Time) verdict {
	if fl.holds(s.id) || f.ownedByOther(fl, s.id) {
		return settled
	}
	if len(fl.gens) >= maxOpen {
		return open // when others have been read
	}
	g, err := fl.openFile(s.path, now)
	if errors.Is(err, fs.ErrNotExist) {
		return renamed
	}
	if err != nil {
		fl.stats.Lost++
		f.log.Warn("a rotated file cannot be read", zap.String("path", s.path), zap.Error(err))
		return settled
	}
	what := taken
	switch {
	case g.id != s.id:
		what = renamed
	case fl.isCopy(g):
		what = settled
	case fl.isUnread(g) || now.Sub(s.mod) < copying && g.short():
		what = open
	}
	if what != taken {
		g.file.Close()
		return what
	}
	f.log.Debug("found a file that was rotated before it was seen", zap.String("path", s.path))
	fl.add(f, g)
	return taken
}

func (fl *follower) holds(id fileID) bool {
	return slices.ContainsFunc(fl.gens, func(g *generation) bool { return g.id == id })
}

// isUnread reports whether a file begins like one that is still to be read from its beginning.
func (fl *follower) isUnread(g *generation) bool {
	return slices.ContainsFunc(fl.gens, func(own *generation) bool {
		begin := own.begin()
		return own.off == 0 && (sameBegin(own.file, g.file) || begin.tells() && begin.begins(g.file))
	})
}

// isCopy reports whether a file begins like one that is or was read here.
func (fl *follower) isCopy(g *generation) bool {
	for _, own := range fl.gens {
		if begin := own.begin(); own.off > 0 && begin.tells() && begin.begins(g.file) {
			return true
		}
	}
	return slices.ContainsFunc(fl.past, func(k known) bool {
		return (k.head.tells() || k.id == g.id) && k.head.begins(g.file)
	})
}
