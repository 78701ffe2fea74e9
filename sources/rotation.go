package sources

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// look compares the path with the generation that is read from it, opens what has taken its place and
// what came and went in between, and reports whether there is something new to read.
func (fl *follower) look(f *Files, now time.Time) bool {
	if fl.pending != nil {
		fl.restore(f, now)
	}
	info, err := os.Stat(fl.path)
	if err != nil {
		fl.leave(now) // it stays among gens, until it is deleted and quiet
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
	fl.leave(now)
	fl.other = fileID{}
	fl.resolve()
	if i := slices.IndexFunc(fl.gens, func(g *generation) bool { return g.id == id }); i >= 0 {
		fl.cur = fl.gens[i] // moved away and back
		return false
	}
	if f.ownedByOther(fl, id) {
		fl.other = id
		return false
	}
	g, err := fl.openFile(fl.path, now)
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

// leave notes that the current generation is no longer at the path. Its writer may not know yet, however long it
// has been quiet.
func (fl *follower) leave(now time.Time) {
	if fl.cur != nil {
		fl.cur.changed = now
	}
	fl.cur = nil
}

// openFile opens a file, unless too many are open.
func (fl *follower) openFile(path string, now time.Time) (*generation, error) {
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

// resolve notes what the path means now, if it is a symlink or leads through one.
func (fl *follower) resolve() {
	real, err := filepath.EvalSymlinks(fl.path)
	if err != nil {
		real = fl.path
	}
	fl.real = real
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
