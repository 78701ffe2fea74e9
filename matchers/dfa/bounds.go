package dfa

// What a Scanner may take is bounded:
//
//	memory   its parts share 8 MiB for their states. When these are full, the part that has the most
//	         forgets all but those in which its lanes are, and goes on.
//	time     to make a cell of the table, and the state that it leads to, costs a thousand times what a step
//	         does, so each must pay for itself. A part has credit for the time in which it meets its lines,
//	         some 40 ms of work, and then as much as makes it five times slower than steps alone. One that
//	         wants more thrashes, and is split (split.go).
//
// Work is counted in instructions that were visited, some 20 ns each; a cell costs some more of them. However
// hostile rules and lines are, the time stays linear in the length of the lines.
const (
	maxCache  = 8 << 20 // bytes
	maxParts  = 64
	cellWork  = 32      // of a cell, besides its instructions
	perWork   = 4       // symbols that pay for one
	maxCredit = 1 << 21 // work
	minCredit = 1 << 17
)

// limit is the size of all caches together.
func (s *Scanner) limit() int {
	if s.set.opt.Cache > 0 {
		return s.set.opt.Cache
	}
	return maxCache
}

// room makes sure that one more cell may be made. It returns false if the part should rather be split.
func (p *part) room() bool {
	earned := p.steps / perWork
	p.steps -= earned * perWork
	p.credit = min(p.credit+earned, p.most)
	if p.credit < 0 && !p.of.set.opt.noSplit {
		p.thrashed = true
		return false
	}
	if rows := p.of.set.opt.rows; rows > 0 && len(p.cache.states) > rows {
		p.flush()
	} else if p.of.size() > p.of.limit() {
		p.of.largest().flush()
	}
	return true
}

// make makes a cell of the table, and pays for it.
func (p *part) make(row uint32, symbol int) uint32 {
	before := p.cache.visits
	cell := p.cache.step(row, symbol)
	p.credit -= p.cache.visits - before + cellWork
	p.stats.Cells++
	return cell
}

// size is what the states of all parts take, in bytes.
func (s *Scanner) size() int {
	total := 0
	for _, p := range s.parts {
		total += p.cache.size()
	}
	return total
}

func (s *Scanner) largest() *part {
	largest := s.parts[0]
	for _, p := range s.parts {
		if p.cache.size() > largest.cache.size() {
			largest = p
		}
	}
	return largest
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
