package dfa

// What a Scanner may take is bounded:
//
//	memory   states of 8 MiB, shared by its parts. A part whose cache is full forgets all its states but
//	         those in which its lanes are, and goes on.
//	time     a state costs some thousand times what a step does. So each must pay for itself: a part
//	         that makes more than one for 2 KiB of text thrashes, and is split (split.go).
//
// However hostile rules and lines are, the time stays linear in the length of the lines.
const (
	maxCache = 8 << 20
	maxParts = 64
	minCache = maxCache / maxParts
	perState = 2 << 10 // symbols
)

// limit is the size of all caches together.
func (s *Scanner) limit() int {
	if s.set.opt.Cache > 0 {
		return s.set.opt.Cache
	}
	return maxCache
}

// room makes sure that one more state may be made. It returns false if the part should rather be split.
func (p *part) room() bool {
	size := p.cache.size()
	if size > p.limit/4 && p.steps < p.built*perState && !p.opt.noSplit {
		p.thrashed = true
		return false
	}
	if size > p.limit || p.opt.rows > 0 && len(p.cache.states) > p.opt.rows {
		p.flush()
	}
	p.built++
	p.stats.States++
	return true
}

// flush empties the cache, but for the states in which the lanes are.
func (p *part) flush() {
	c := p.cache
	type kept struct {
		insts  []int32
		before kind
	}
	var keep [laneCount]kept
	for i := range p.lanes {
		if l := &p.lanes[i]; l.line != none {
			s := c.state(l.row)
			keep[i] = kept{append([]int32(nil), c.of(s.insts)...), s.before}
		}
	}
	c.reset()
	for i := range p.lanes {
		if l := &p.lanes[i]; l.line != none {
			l.row = c.restore(keep[i].insts, keep[i].before)
		}
	}
	p.stats.Flushes++
	p.stats.Steps += p.steps
	p.steps, p.built = 0, 0
}

// restore is the row of a state whose matches were noted.
func (c *cache) restore(insts []int32, before kind) uint32 {
	c.next.clear()
	c.matched.clear()
	for _, i := range insts {
		c.next.add(i)
	}
	return c.intern(before)
}
