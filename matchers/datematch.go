package matchers

// A dateMatch is the working memory of one search: no allocation once it has grown. It belongs to one Finder.
type dateMatch struct {
	slot    dateSlots
	stack   []dateJob
	steps   int
	seen    []uint64 // (instruction, byte) pairs that led nowhere; in use once a search is long
	seeing  bool
	columns int
}

// dateSlots says where each part of a date lies in its line; the begin is -1 if it is missing.
type dateSlots [slotCount][2]int32

// A dateJob is a way not yet tried: instruction pc at byte pos, with the widths left for a letter. If pc is
// negative a slot gets its old value back instead.
type dateJob struct {
	pc, pos int32
	left    widthList
}

// patience is how many steps a search may take, beside a few per byte, before it begins to remember which ways
// it has been: only then is it linear in the line's length, whatever the pattern.
const patience = 2048

// search finds the first place from which p matches line, and none behind limit.
func (m *dateMatch) search(p *dateProgram, line []byte, limit int) (start, end int, ok bool) {
	m.steps, m.seeing = 0, false
	last := min(limit, len(line))
	if p.start() {
		last = min(last, 0)
	}
	for start = 0; start <= last; start++ {
		if !p.anyFirst && (start == len(line) || !p.first.has(line[start])) {
			continue
		}
		if end, ok = m.run(p, line, start); ok {
			return start, end, true
		}
	}
	return 0, 0, false
}

// start says that p can match at the line's start only.
func (p *dateProgram) start() bool {
	for _, in := range p.inst {
		if in.op != dateOpOpen {
			return in.op == dateOpAssert && in.assert == assertStart
		}
	}
	return false
}

// run matches p at start. It goes on with the first alternative and keeps the others on the stack.
func (m *dateMatch) run(p *dateProgram, line []byte, start int) (end int, ok bool) {
	for i := range m.slot {
		m.slot[i][0] = -1
	}
	m.stack = m.stack[:0]
	pc, pos := int32(0), start
	for {
		in := &p.inst[pc]
		good := true
		switch in.op {
		case dateOpSet:
			good = pos < len(line) && in.set.has(line[pos])
			pos++
			pc++
		case dateOpLetter:
			good = m.letter(p, in, line, &pc, &pos)
		case dateOpSplit:
			good = m.split(p, in, line, &pc, pos)
		case dateOpJump:
			pc = in.x
		case dateOpOpen, dateOpClose:
			m.note(in.slot, in.op, pos)
			pc++
		case dateOpRun:
			m.watch(p, line)
			from := pos
			for pos < len(line) && in.set.has(line[pos]) {
				if pos++; m.seeing && pos-from >= int(in.x) && !m.mark(p, pc, pos) {
					good = false
					break
				}
			}
			m.steps += pos - from
			good = good && pos-from >= int(in.x)
			pc++
		case dateOpNonWord:
			n := nonWord(line, pos)
			good = n > 0
			pos += n
			pc++
		case dateOpAssert:
			good = in.assert.holds(line, pos)
			pc++
		case dateOpLook:
			good = in.look.holds(line, pos)
			pc++
		case dateOpMatch:
			return pos, true
		}
		if !good && !m.back(p, &pc, &pos) {
			return 0, false
		}
	}
}

// letter takes a letter: the first of its widths behind which the match can go on, and keeps the others.
func (m *dateMatch) letter(p *dateProgram, in *dateInst, line []byte, pc *int32, pos *int) bool {
	var list widthList
	shift := 0
	for w := in.letter.match(line, *pos, in.fold); w != 0; w >>= 8 {
		next := *pos + int(w&0xff)
		if next < len(line) && in.set.has(line[next]) || next == len(line) && in.end {
			list |= w & 0xff << shift
			shift += 8
		}
	}
	if list > 0xff && !m.first(p, line, *pc, *pos) {
		return false
	}
	return m.take(p, pc, pos, list)
}

// split goes the first way and keeps the other, unless the next byte forbids the first.
func (m *dateMatch) split(p *dateProgram, in *dateInst, line []byte, pc *int32, pos int) bool {
	if pos < len(line) && !in.set.has(line[pos]) || pos == len(line) && !in.end {
		*pc = in.y
		return true
	}
	if !m.first(p, line, *pc, pos) {
		return false
	}
	x, y := in.x, in.y
	if in.lazy {
		x, y = y, x
	}
	m.stack = append(m.stack, dateJob{pc: y, pos: int32(pos)})
	*pc = x
	return true
}

// take goes on behind a letter by the first of its widths and keeps the others.
func (m *dateMatch) take(p *dateProgram, pc *int32, pos *int, w widthList) bool {
	if w == 0 {
		return false
	}
	if w > 0xff {
		m.stack = append(m.stack, dateJob{pc: *pc, pos: int32(*pos), left: w >> 8})
	}
	end := *pos + int(w&0xff)
	m.set(p.inst[*pc].slot, int32(*pos), int32(end))
	*pos = end
	*pc++
	return true
}

// note writes down where a group begins or ends.
func (m *dateMatch) note(slot dateSlot, op dateOp, pos int) {
	from := int32(pos)
	if op == dateOpClose {
		from = m.slot[slot][0]
	}
	m.set(slot, from, int32(pos))
}

// set writes down where a part lies; if there is a way back, the old value is kept for it.
func (m *dateMatch) set(slot dateSlot, from, to int32) {
	if len(m.stack) > 0 {
		old := m.slot[slot]
		m.stack = append(m.stack, dateJob{pc: -1 - int32(slot), pos: old[0], left: widthList(old[1])})
	}
	m.slot[slot] = [2]int32{from, to}
}

// back takes up the way that was left last.
func (m *dateMatch) back(p *dateProgram, pc *int32, pos *int) bool {
	for len(m.stack) > 0 {
		j := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if j.pc < 0 {
			m.slot[-1-j.pc] = [2]int32{j.pos, int32(j.left)}
			continue
		}
		*pc, *pos = j.pc, int(j.pos)
		if j.left == 0 || m.take(p, pc, pos, j.left) {
			return true
		}
	}
	return false
}

// first counts a step, and says whether this is the first time that the search comes by here, as far as it remembers.
func (m *dateMatch) first(p *dateProgram, line []byte, pc int32, pos int) bool {
	m.steps++
	m.watch(p, line)
	return !m.seeing || m.mark(p, pc, pos)
}

// watch begins to remember where the search has been once it is long.
func (m *dateMatch) watch(p *dateProgram, line []byte) {
	if m.seeing || m.steps < patience+4*len(line) {
		return
	}
	m.seeing, m.columns = true, len(line)+1
	words := (p.places*m.columns + 63) / 64
	if cap(m.seen) < words {
		m.seen = make([]uint64, words)
	}
	m.seen = m.seen[:words]
	clear(m.seen)
}

// mark remembers that the search has come by, and says whether it is for the first time.
func (m *dateMatch) mark(p *dateProgram, pc int32, pos int) bool {
	bit := int(p.inst[pc].place)*m.columns + pos
	if m.seen[bit>>6]>>(bit&63)&1 != 0 {
		return false
	}
	m.seen[bit>>6] |= 1 << (bit & 63)
	return true
}
