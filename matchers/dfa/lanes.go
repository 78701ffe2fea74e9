package dfa

// A step waits for the one before: the row that it needs is what that one has loaded. Lines do not wait for
// one another, so four go through the table in lockstep, each in a lane, and the processor has four loads
// on their way instead of one:
//
//	lane 0  ─ row ─ row ─ row ─ row ─┤ dead: the next line
//	lane 1  ─ row ─ row ─ row ─ row ─
//	lane 2  ─ row ─ row ─ row ─ row ─
//	lane 3  ─ row ─ row ─ row ─ row ─
//
// Where one has a marked cell or comes to the end of a piece, all stop, it is taken over that, and they go on.
// When there are not enough lines left for all lanes, scan takes the rest one by one.
const laneCount = 4

// lockstep scans until a lane finds no more lines, or the part is to be split.
func (p *part) lockstep() {
	for i := range p.lanes {
		if p.lanes[i].line == none && !p.take(&p.lanes[i]) {
			return
		}
	}
	ascii := &p.cache.nfa.alphabet.ascii
	for {
		l0, l1, l2, l3 := &p.lanes[0], &p.lanes[1], &p.lanes[2], &p.lanes[3]
		n := min(len(l0.text), len(l1.text), len(l2.text), len(l3.text))
		t0, t1, t2, t3 := l0.text[:n], l1.text[:n], l2.text[:n], l3.text[:n]
		r0, r1, r2, r3 := l0.row, l1.row, l2.row, l3.row
		table := p.cache.table
		i := 0
		for ; i < len(t0) && i < len(t1) && i < len(t2) && i < len(t3); i++ {
			c0 := table[r0+uint32(ascii[t0[i]])]
			c1 := table[r1+uint32(ascii[t1[i]])]
			c2 := table[r2+uint32(ascii[t2[i]])]
			c3 := table[r3+uint32(ascii[t3[i]])]
			if (c0|c1|c2|c3)&slow != 0 {
				break
			}
			r0, r1, r2, r3 = c0, c1, c2, c3
		}
		l0.row, l1.row, l2.row, l3.row = r0, r1, r2, r3
		l0.text, l1.text, l2.text, l3.text = l0.text[i:], l1.text[i:], l2.text[i:], l3.text[i:]
		p.step(laneCount * i)
		for k := range p.lanes {
			l := &p.lanes[k]
			if len(l.text) > 0 && p.cache.table[l.row+uint32(ascii[l.text[0]])]&slow == 0 {
				continue
			}
			if p.advance(l); p.thrashed || l.line == none && !p.take(l) {
				return
			}
		}
	}
}
