package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"
)

// look compares the path with the generation that is read from it, opens what has taken its place and
// what came and went in between, and reports whether there is something new to read.
func (fl *follower) look(f *Files, now time.Time) bool {
	info, err := os.Stat(fl.path)
	if err != nil {
		fl.cur = nil // it stays among gens, until it is deleted and quiet
		if !errors.Is(err, fs.ErrNotExist) {
			fl.note(f.log, err)
		}
		return false
	}
	id := idOf(info)
	if fl.cur != nil && fl.cur.id == id || fl.cur == nil && fl.other == id {
		return false
	}
	fl.cur, fl.other = nil, fileID{}
	if i := slices.IndexFunc(fl.gens, func(g *generation) bool { return g.id == id }); i >= 0 {
		fl.cur = fl.gens[i] // moved away and back
		return false
	}
	if f.ownedByOther(fl, id) {
		fl.other = id
		return false
	}
	g, err := fl.open(fl.path, now)
	fl.note(f.log, err)
	if err != nil {
		return false
	}
	if f.rotatedByOther(fl, g) {
		fl.other = g.id
		g.file.Close()
		return false
	}
	fl.rewritten(g)
	fl.missed(f, g.id, now)
	fl.add(f, g)
	fl.cur = g
	return true
}

// open opens a file, unless too many are open.
func (fl *follower) open(path string, now time.Time) (*generation, error) {
	if len(fl.gens) >= maxOpen {
		return nil, fmt.Errorf("%d rotated files are still to be read", maxOpen)
	}
	return openGeneration(path, now)
}

// add puts g behind the other generations.
func (fl *follower) add(f *Files, g *generation) {
	fl.gens = append(fl.gens, g)
	f.watch(fl, g)
}

// rewritten lets a new file that holds all that was read of an old one go on behind that: somebody has
// edited the log, or put a copy in its place. Less than 64 bytes would prove nothing.
func (fl *follower) rewritten(g *generation) {
	for _, old := range fl.gens {
		if len(old.tail) < tailLen || len(old.head) < tailLen {
			continue
		}
		if s := old.saved(); g.resume(&s) {
			return
		}
	}
}

// missed opens the files that came to the path and were rotated away between two looks; at is the one
// there now.
func (fl *follower) missed(f *Files, at fileID, now time.Time) {
	all := siblings(fl.path)
	for _, s := range all {
		if fl.seen == nil || fl.seen[s.id] || s.id == at || fl.holds(s.id) || f.ownedByOther(fl, s.id) {
			continue
		}
		g, err := fl.open(s.path, now)
		if err != nil {
			fl.stats.Lost++
			f.log.Warn("a rotated file cannot be read", zap.String("path", s.path), zap.Error(err))
			continue
		}
		if g.id != s.id || fl.isCopy(g) {
			g.file.Close()
			continue
		}
		f.log.Debug("found a file that was rotated before it was seen", zap.String("path", s.path))
		fl.add(f, g)
	}
	fl.see(all)
}

// see takes the files beside the path as known.
func (fl *follower) see(all []sibling) {
	fl.seen = make(map[fileID]bool, len(all))
	for _, s := range all {
		fl.seen[s.id] = true
	}
}

func (fl *follower) holds(id fileID) bool {
	return slices.ContainsFunc(fl.gens, func(g *generation) bool { return g.id == id })
}

// isCopy reports whether a file begins like one that was read here.
func (fl *follower) isCopy(g *generation) bool {
	for _, own := range fl.gens {
		if own.known().head.begins(g.file) {
			return true
		}
	}
	for _, k := range fl.past {
		if k.head.begins(g.file) {
			return true
		}
	}
	return false
}

// truncated begins g anew. What was written to it and not read before it was truncated is in the copy
// that logrotate made of it (copytruncate), but for the lines between the end of copying and the
// truncation: those nobody has, so that it counts as a loss.
func (fl *follower) truncated(f *Files, g *generation, now time.Time) {
	f.log.Debug("file was truncated", zap.String("path", fl.path), zap.Int64("offset", g.off))
	fl.stats.Lost++
	if g.copy { // somebody needs the room: what was unread is gone
		size, _ := g.status()
		g.copy = g.seek(size) == nil
		return
	}
	all := siblings(fl.path)
	s := g.saved()
	fl.remember(g.known())
	g.restart()
	for _, c := range slices.Backward(all) {
		if len(s.tail) == 0 || c.size < s.off || fl.holds(c.id) {
			continue
		}
		copied, err := fl.open(c.path, now)
		if err != nil {
			continue
		}
		if !copied.resume(&s) {
			copied.file.Close()
			continue
		}
		copied.copy, copied.live = true, g.live
		fl.gens = slices.Insert(fl.gens, slices.Index(fl.gens, g), copied)
		f.watch(fl, copied)
		break
	}
	fl.see(all)
}

// ownedByOther reports whether another follower reads the file as one that was rotated away from its
// path: a glob may well mean both. A file that is at both paths, by a link, is read by both.
func (f *Files) ownedByOther(fl *follower, id fileID) bool {
	for _, other := range f.files {
		if other == fl || !other.holds(id) {
			continue
		}
		if info, err := os.Stat(other.path); err != nil || idOf(info) != id {
			return true
		}
	}
	return false
}

// rotatedByOther reports whether the file holds what another follower has read already: it was rotated,
// or copied before a truncation, to a name that a glob means as well.
func (f *Files) rotatedByOther(fl *follower, g *generation) bool {
	if f.named[fl.path] {
		return false
	}
	for _, other := range f.files {
		if other != fl && !other.holds(g.id) && other.isCopy(g) {
			return true
		}
	}
	return false
}
