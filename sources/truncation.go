package sources

import (
	"slices"
	"time"

	"go.uber.org/zap"
)

// truncated begins g anew. What was written to it and not read before it was truncated is in the copy
// that logrotate made of it (copytruncate), but for the lines between the end of copying and the
// truncation: those nobody has, so that it counts as a loss.
func (fl *follower) truncated(f *Files, g *generation, now time.Time) {
	f.log.Debug("file was truncated", zap.String("path", fl.path), zap.Int64("offset", g.off))
	fl.stats.Lost++
	fl.hasty = now.Add(aheadFor)
	if g.copy { // somebody needs the room: what was unread is gone
		size, _ := g.status()
		g.copy = g.seek(size) == nil
		return
	}
	s := g.saved()
	fl.remember(g.known())
	g.restart()
	before := slices.Clone(fl.gens)
	all := siblings(fl.path, fl.real)
	if c := fl.findCopy(&s, all, now); c != nil {
		fl.add(f, c)
	}
	for _, c := range all { // and the copies of what came and went since
		if fl.seen != nil && !fl.seen[c.seen()] && fl.isNew(&c) && fl.takeNew(f, c, now).final() {
			fl.seen[c.seen()] = true
		}
	}
	for _, c := range fl.gens {
		if !slices.Contains(before, c) {
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
		g, err := fl.openFile(c.path, now)
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
