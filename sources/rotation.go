package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
)

// look compares the path with the generation that is read from it, opens what has taken its place and
// what came and went in between, and reports whether there is something new to read.
func (fl *follower) look(f *Files, now time.Time) bool {
	if fl.pending != nil {
		fl.restore(f, now)
	}
	info, err := os.Stat(fl.path)
	if err != nil {
		fl.cur = nil // it stays among gens, until it is deleted and quiet
		if !errors.Is(err, fs.ErrNotExist) {
			fl.note(f.log, err)
		}
		return fl.missed(f, fileID{}, now)
	}
	id := idOf(info)
	if fl.cur != nil && fl.cur.id == id {
		return fl.missed(f, id, now)
	}
	if fl.cur == nil && fl.other == id {
		return false
	}
	fl.cur, fl.other = nil, fileID{}
	fl.resolve()
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
	if rotated, decided := f.rotatedByOther(fl, g, now.Sub(info.ModTime())); rotated || !decided {
		g.file.Close()
		if decided {
			fl.other = g.id
		}
		return false
	}
	if !fl.placed {
		fl.placed = true
		fl.note(f.log, f.place(fl, g))
	} else {
		fl.rewritten(g)
	}
	fl.cost = 0 // now is the time to look
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

// add puts g behind the other generations, but before the one at the path.
func (fl *follower) add(f *Files, g *generation) {
	i := len(fl.gens)
	if fl.cur != nil {
		i = slices.Index(fl.gens, fl.cur)
	}
	fl.gens = slices.Insert(fl.gens, i, g)
	f.watch(fl, g)
}

// rewritten lets a new file that holds all that was read of an old one go on behind that: somebody has
// edited the log, or put a copy in its place. Less than 64 bytes would prove nothing.
func (fl *follower) rewritten(g *generation) {
	for _, old := range fl.gens {
		if len(old.tail) < tailLen || len(old.head.bytes) < tailLen {
			continue
		}
		if s := old.saved(); g.resume(&s) {
			return
		}
	}
}

// missed opens the files that came to the path and were rotated away between two looks, and reports
// whether there were any; at is the one that is there now. The folder is read only when it has changed.
func (fl *follower) missed(f *Files, at fileID, now time.Time) (any bool) {
	changed := fl.dirChange()
	began := time.Now()
	if fl.seen != nil && (changed.Equal(fl.listed) || fl.cost > 2*time.Millisecond && began.Sub(fl.began) < 50*fl.cost) {
		return false
	}
	all := siblings(fl.path, fl.real)
	fl.began, fl.cost = began, time.Since(began)
	seen := make(map[seenFile]bool, len(all))
	decided := true
	for _, s := range all {
		ok := true
		if fl.seen != nil && !fl.seen[s.seen()] && s.id != at && fl.isNew(&s) {
			var g *generation
			g, ok = fl.takeNew(f, s, now)
			any = any || g != nil
		}
		decided = decided && ok
		if ok {
			seen[s.seen()] = true
		}
	}
	fl.seen = seen
	if !decided {
		return any // they are looked at again
	}
	// A change within the same tick of the kernel's clock would leave the same mtime.
	if time.Since(changed) > mtimeSlack {
		fl.listed = changed
	}
	return any
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

// resolve notes what the path means now, if it is a symlink or leads through one.
func (fl *follower) resolve() {
	real, err := filepath.EvalSymlinks(fl.path)
	if err != nil {
		real = fl.path
	}
	fl.real = real
}

// copying is how long a copy may take to get as far as its first bytes.
const copying = 2 * time.Second

// takeNew opens a file that was rotated away before it was seen, unless it is a copy of one that is or
// was read here, or another follower's. It is not decided while it looks like a copy of what is unread
// (if that is truncated, the copy is all there is), nor while it is so short and new that somebody may
// just be copying it, nor if it was renamed since it was listed.
func (fl *follower) takeNew(f *Files, s sibling, now time.Time) (g *generation, decided bool) {
	if fl.holds(s.id) || f.ownedByOther(fl, s.id) {
		return nil, true
	}
	g, err := fl.open(s.path, now)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false // it has another name by now
	}
	if err != nil {
		fl.stats.Lost++
		f.log.Warn("a rotated file cannot be read", zap.String("path", s.path), zap.Error(err))
		return nil, true
	}
	copied := fl.isCopy(g)
	wait := g.id != s.id || !copied && (fl.isUnread(g) || now.Sub(s.mod) < copying && g.short())
	if copied || wait {
		g.file.Close()
		return nil, !wait
	}
	f.log.Debug("found a file that was rotated before it was seen", zap.String("path", s.path))
	fl.add(f, g)
	return g, true
}

func (fl *follower) holds(id fileID) bool {
	return slices.ContainsFunc(fl.gens, func(g *generation) bool { return g.id == id })
}

// isUnread reports whether a file begins like one that is still to be read from its beginning.
func (fl *follower) isUnread(g *generation) bool {
	return slices.ContainsFunc(fl.gens, func(own *generation) bool { return own.off == 0 && sameBegin(own.file, g.file) })
}

// isCopy reports whether a file begins like one that is or was read here.
func (fl *follower) isCopy(g *generation) bool {
	for _, own := range fl.gens {
		if k := own.known(); k.head.tells() && k.head.begins(g.file) {
			return true
		}
	}
	return slices.ContainsFunc(fl.past, func(k known) bool {
		return (k.head.tells() || k.id == g.id) && k.head.begins(g.file)
	})
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
	s := g.saved()
	fl.remember(g.known())
	g.restart()
	all := siblings(fl.path, fl.real)
	copies := []*generation{fl.findCopy(&s, all, now)}
	if copies[0] != nil {
		fl.add(f, copies[0])
	}
	for _, c := range all { // and the copies of what came and went since
		if fl.seen != nil && !fl.seen[c.seen()] && fl.isNew(&c) {
			g, ok := fl.takeNew(f, c, now)
			copies = append(copies, g)
			if ok {
				fl.seen[c.seen()] = true
			}
		}
	}
	for _, c := range copies {
		if c != nil {
			c.copy, c.live = true, g.live
		}
	}
	fl.listed = time.Time{}
}

// findCopy finds the file that goes on where a truncated one ended.
func (fl *follower) findCopy(s *saved, all []sibling, now time.Time) *generation {
	if len(s.tail) == 0 {
		return nil
	}
	for _, c := range slices.Backward(all) {
		if c.size < s.off || fl.holds(c.id) {
			continue
		}
		g, err := fl.open(c.path, now)
		if err != nil {
			continue
		}
		if g.resume(s) {
			return g
		}
		g.file.Close()
	}
	return nil
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
// or copied before a truncation, to a name that a glob means as well. It is not decided while somebody may
// just be copying it.
func (f *Files) rotatedByOther(fl *follower, g *generation, age time.Duration) (rotated, decided bool) {
	if f.named[fl.path] {
		return false, true
	}
	decided = true
	for _, other := range f.files {
		if other == fl || other.holds(g.id) {
			continue
		}
		if other.isCopy(g) {
			return true, true
		}
		sibling := filepath.Dir(other.path) == filepath.Dir(fl.path) && isRotated(filepath.Base(other.path), filepath.Base(fl.path))
		decided = decided && !(sibling && age < copying && g.short())
	}
	return false, decided
}
