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

// restore opens the files that the cursor speaks of, and those that it cannot know.
func (fl *follower) restore(f *Files, c *cursor, now time.Time) {
	fl.past = c.past
	all := append(siblings(fl.path), siblingAt(fl.path)...)
	used := map[fileID]bool{}
	var copies []known // of what was read already
	for i := range c.gens {
		s := &c.gens[i]
		if s.head.n > 0 {
			copies = append(copies, s.known)
		}
		g := findSaved(all, s, used, now)
		if g == nil {
			if s.cur || !s.atEnd {
				fl.stats.Lost++
				f.log.Warn("the file that was read last is gone, lines may be lost", zap.String("path", fl.path))
			}
			continue
		}
		used[g.id] = true
		fl.add(f, g)
	}
	fl.past = append(fl.past, copies...)
	for _, s := range all {
		if !used[s.id] && s.path != fl.path && s.mod.After(c.at.Add(-mtimeSlack)) {
			fl.takeNew(f, s, now)
		}
	}
	fl.past = slices.Delete(fl.past, 0, max(0, len(fl.past)-maxPast))
	fl.see(all)
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

// takeNew opens a file that was written since the cursor was made, unless it is a copy of one that was
// read, or another follower's.
func (fl *follower) takeNew(f *Files, s sibling, now time.Time) {
	if f.ownedByOther(fl, s.id) {
		return
	}
	g, err := fl.open(s.path, now)
	if err != nil {
		fl.stats.Lost++
		f.log.Warn("a rotated file cannot be read", zap.String("path", s.path), zap.Error(err))
		return
	}
	if g.id != s.id || fl.isCopy(g) {
		g.file.Close()
		return
	}
	fl.add(f, g)
}

// place moves a file without a cursor to where reading starts.
func (f *Files) place(fl *follower) error {
	g := fl.cur
	if f.opt.From == nil && f.opt.Once || f.opt.From != nil && f.opt.From(fl.path).IsZero() {
		return nil
	}
	if !f.resumed.IsZero() && g.born().After(f.resumed) {
		return nil // it came while nobody was reading
	}
	size, _ := g.status()
	return g.seek(size)
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
