package sources

import (
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Resume implements pipeline.Resumer: each file is read on behind the last line of its cursor, wherever
// rotation has put it since, and the files that came and went meanwhile are read from their beginning.
func (f *Files) Resume(cursors map[string][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
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
		f.cursors[path] = c
		if c.at.After(f.resumed) {
			f.resumed = c.at
		}
	}
}

// restore opens the files that the cursor speaks of, and those that it cannot know. Where nothing is at
// the path and nothing of what was read is left, it waits: the file system may not be mounted yet.
func (fl *follower) restore(f *Files, now time.Time) {
	c := *fl.pending
	c.past = slices.Clone(c.past)
	here := siblingAt(fl.path, 0)
	all := append(siblings(fl.path, fl.real), here...)
	used := map[fileID]bool{}
	fl.past = c.past
	for i := range c.gens {
		if c.gens[i].head.n > 0 {
			fl.past = append(fl.past, c.gens[i].known) // whatever begins so is a copy
		}
	}
	found := make([]*generation, len(c.gens))
	for _, empty := range []bool{false, true} { // those last of which nothing is known but a number
		for i := range c.gens {
			if s := &c.gens[i]; (s.off == 0) == empty {
				found[i] = fl.findSaved(all, s, used, now)
			}
		}
	}
	missing := 0
	for i, g := range found {
		if g != nil {
			fl.add(f, g)
		} else if c.gens[i].cur || !c.gens[i].atEnd {
			missing++
		}
	}
	if len(here) == 0 && len(fl.gens) == 0 {
		fl.past = nil
		return
	}
	fl.pending, fl.placed = nil, true
	if missing > 0 {
		fl.stats.Lost++
		f.log.Warn("what was read last is gone, lines may be lost", zap.String("path", fl.path))
	}
	fl.seen = map[seenFile]bool{}
	for _, s := range all {
		decided := true
		if !used[s.id] && s.path != fl.path && s.mod.After(c.at.Add(-mtimeSlack)) {
			_, decided = fl.takeNew(f, s, now)
		}
		if decided {
			fl.seen[s.seen()] = true
		}
	}
	fl.past = slices.Delete(fl.past, 0, max(0, len(fl.past)-maxPast))
	if fl.cur = fl.atPath(); fl.cur != nil {
		fl.cur.copy = false // it is written to
	}
	f.enqueue(fl)
}

// mtimeSlack is how far a file's mtime may be behind the clock: the kernel stamps with the time of the
// last timer tick.
const mtimeSlack = 20 * time.Millisecond

// findSaved opens the file in which the saved one goes on: itself, if it still holds the bytes that were
// read; else a copy, which is what is left of it after a truncation, or after a restore from a backup.
func (fl *follower) findSaved(all []sibling, s *saved, used map[fileID]bool, now time.Time) *generation {
	for _, same := range []bool{true, false} {
		for _, c := range slices.Backward(all) {
			if (c.id == s.id) != same || used[c.id] || c.size < s.off || !same && s.off == 0 {
				continue
			}
			g, err := openGeneration(c.path, now)
			if err != nil {
				continue
			}
			if g.resume(s) && (s.off > 0 || !fl.isCopy(g)) {
				g.copy = s.copy || !same
				used[g.id] = true
				return g
			}
			g.file.Close()
		}
	}
	return nil
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
