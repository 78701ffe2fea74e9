package sources

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Resume implements pipeline.Resumer: each file is read on behind the last line of its cursor, wherever
// rotation has put it since, and the files that came and went meanwhile are read from their beginning. Once it has been
// read from, it knows better.
func (f *Files) Resume(cursors map[string][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun {
		return
	}
	f.cursors = map[string]cursor{}
	for source, p := range cursors {
		path, ok := strings.CutPrefix(source, "file:")
		if !ok {
			continue
		}
		c, err := parseCursor(p)
		if err != nil {
			f.log.Warn("reading starts as if there were no cursor", zap.String("path", path), zap.Error(err))
			continue
		}
		if f.isOld(path, c.at) {
			f.gone = append(f.gone, path)
			continue
		}
		f.cursors[path] = c
		if c.at.After(f.resumed) {
			f.resumed = c.at
		}
	}
}

// isOld reports whether nothing is at the path that a cursor of the time at is for, and has not been for long.
func (f *Files) isOld(path string, at time.Time) bool {
	if time.Since(at) < f.forget { // the clock that cursors are stamped with
		return false
	}
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// restore opens the files that the cursor speaks of, and those that it cannot know. Where nothing is at
// the path and nothing of what was read is left, it waits: the file system may not be mounted yet.
func (fl *follower) restore(f *Files, now time.Time) {
	c := fl.pending
	fl.past = slices.Clone(c.past)
	for i := range c.gens {
		if c.gens[i].head.n > 0 {
			fl.past = append(fl.past, c.gens[i].known) // whatever begins so is a copy
		}
	}
	found, all := fl.findAll(c.gens, now)
	here := slices.ContainsFunc(all, func(s sibling) bool { return s.path == fl.path })
	missing := 0
	used := map[fileID]bool{}
	for i, g := range found {
		if g != nil {
			used[g.id] = true
			fl.add(f, g)
		} else if c.gens[i].cur || !c.gens[i].atEnd {
			missing++
		}
	}
	if !here && len(fl.gens) == 0 {
		fl.past = nil
		return
	}
	fl.pending, fl.placed, fl.since, fl.asOf = nil, true, c.at, c.at
	if missing > 0 {
		fl.stats.Lost++
		f.log.Warn("what was read last is gone, lines may be lost", zap.String("path", fl.path))
	}
	fl.seen = map[seenFile]bool{}
	for _, s := range all {
		if s.path == fl.path && !used[s.id] {
			continue // look opens it, or finds it again if it is rotated just now
		}
		if used[s.id] || !fl.isNew(&s) || fl.takeNew(f, s, now).final() {
			fl.seen[s.seen()] = true
		}
	}
	fl.past = slices.Delete(fl.past, 0, max(0, len(fl.past)-maxPast))
	if fl.cur = fl.atPath(); fl.cur != nil {
		fl.cur.copy = false // it is written to
	}
	f.enqueue(fl)
}

// findAll opens the files in which the saved ones go on, nil for one that is gone, and lists what there is.
// It looks again where a rename came between looking and opening, and once more for what it has not found:
// a large folder is not listed in one moment.
func (fl *follower) findAll(gens []saved, now time.Time) (found []*generation, all []sibling) {
	for try := range 10 {
		all = append(siblings(fl.path, fl.real), siblingAt(fl.path, 0)...)
		found = make([]*generation, len(gens))
		moved := false
		used := map[fileID]bool{}
		for _, empty := range []bool{false, true} { // those last of which nothing is known but a number
			for i := range gens {
				if s := &gens[i]; (s.off == 0) == empty {
					g, m := fl.findSaved(all, s, used, now)
					found[i], moved = g, moved || m || g == nil && try == 0
				}
			}
		}
		if !moved {
			return found, all
		}
		for _, g := range found {
			if g != nil {
				g.file.Close()
			}
		}
	}
	return make([]*generation, len(gens)), all
}

// mtimeSlack is how far a file's mtime may be behind the clock: the kernel stamps with the time of the
// last timer tick.
const mtimeSlack = 20 * time.Millisecond

// isNew reports whether a file was written since reading began, or since the checkpoint.
func (fl *follower) isNew(s *sibling) bool { return s.mod.After(fl.since.Add(-mtimeSlack)) }

// findSaved opens the file in which the saved one goes on: itself, if it still holds the bytes that were
// read; else a copy, which is what is left of it after a truncation, or after a restore from a backup.
// moved tells that a file was not found where it was listed.
func (fl *follower) findSaved(all []sibling, s *saved, used map[fileID]bool, now time.Time) (g *generation, moved bool) {
	for _, same := range []bool{true, false} {
		for _, c := range slices.Backward(all) {
			if (c.id == s.id) != same || used[c.id] || c.size < s.off || !same && s.off == 0 {
				continue
			}
			g, err := openGeneration(c.path, now)
			if err != nil {
				moved = moved || errors.Is(err, fs.ErrNotExist)
				continue
			}
			if g.id == c.id && g.resume(s) && (s.off > 0 || !fl.isCopy(g)) {
				g.copy = s.copy || !same
				used[g.id] = true
				return g, moved
			}
			moved = moved || g.id != c.id
			g.file.Close()
		}
	}
	return nil, moved
}

// atPath finds the generation that is at the path now.
func (fl *follower) atPath() *generation {
	info, err := os.Stat(fl.path)
	if err != nil {
		return nil
	}
	for _, g := range fl.gens {
		if g.id == idOf(info) {
			return g
		}
	}
	return nil
}
