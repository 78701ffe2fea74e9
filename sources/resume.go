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
	c := fl.pending
	here := siblingAt(fl.path)
	all := append(siblings(fl.path), here...)
	used := map[fileID]bool{}
	var copies []known // of what was read already
	missing := 0
	for i := range c.gens {
		s := &c.gens[i]
		if s.head.n > 0 {
			copies = append(copies, s.known)
		}
		if g := findSaved(all, s, used, now); g != nil {
			used[g.id] = true
			fl.add(f, g)
		} else if s.cur || !s.atEnd {
			missing++
		}
	}
	if len(here) == 0 && len(fl.gens) == 0 {
		return
	}
	fl.pending, fl.placed = nil, true
	if missing > 0 {
		fl.stats.Lost++
		f.log.Warn("what was read last is gone, lines may be lost", zap.String("path", fl.path))
	}
	fl.past = c.past
	fl.past = append(fl.past, copies...)
	for _, s := range all {
		if !used[s.id] && s.path != fl.path && s.mod.After(c.at.Add(-mtimeSlack)) {
			fl.takeNew(f, s, now)
		}
	}
	fl.past = slices.Delete(fl.past, 0, max(0, len(fl.past)-maxPast))
	fl.see(all)
	fl.cur = fl.atPath()
}

// mtimeSlack is how far a file's mtime may be behind the clock: the kernel stamps with the time of the
// last timer tick.
const mtimeSlack = 20 * time.Millisecond

// findSaved opens the file in which the saved one goes on: itself, if it still holds the bytes that were
// read; else a copy, which is what is left of it after a truncation, or after a restore from a backup.
func findSaved(all []sibling, s *saved, used map[fileID]bool, now time.Time) *generation {
	for _, same := range []bool{true, false} {
		for _, c := range slices.Backward(all) {
			if (c.id == s.id) != same || used[c.id] || c.size < s.off || !same && s.off == 0 {
				continue
			}
			g, err := openGeneration(c.path, now)
			if err != nil {
				continue
			}
			if g.resume(s) {
				g.copy = !same
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
