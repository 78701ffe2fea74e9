package dfa

import "unicode/utf8"

// A part scans lines for some rules of a set. A line goes through it so:
//
//	Head, Tail      a cell of the table for each byte, while it has no mark        run, lockstep
//	a marked cell   makes a state, notes a match, or ends the line                 advance
//	behind Tail     the newline or U+FFFD, and the end                             finish
//
// A line that nothing can match any more is not read on: most leave after a few bytes.
type part struct {
	of    *Scanner
	cache *cache
	lanes [laneCount]lane
	work  work
	stats Stats

	steps    int  // that have not earned any credit yet
	credit   int  // work that may be done
	most     int  // that credit may come to
	thrashed bool // the part is to be split: what is left of work was not done
}

// A lane is a line on its way through the table.
type lane struct {
	line int // none if there is none
	text []byte
	tail bool // text is of the second piece
	row  uint32
}

// work is which lines are still to be scanned.
type work struct {
	lines []Line
	next  int
	again []int // those that were on their way when a part was split
}

// take is the next line to scan; none if there is none.
func (w *work) take() int {
	if n := len(w.again); n > 0 {
		line := w.again[n-1]
		w.again = w.again[:n-1]
		return line
	}
	if w.next == len(w.lines) {
		return none
	}
	w.next++
	return w.next - 1
}

// take starts the next line in l, and the one after that where its start has decided all. It returns false if
// there are no more.
func (p *part) take(l *lane) bool {
	for l.line = p.work.take(); l.line != none; l.line = p.work.take() {
		line := &p.work.lines[l.line]
		if l.text, l.tail = line.Head, false; len(l.text) == 0 { // the date comes first in most logs
			l.text, l.tail = line.Tail, true
		}
		if p.arrive(l, p.cache.begin()) {
			return true
		}
	}
	return false
}

// forget drops the lines.
func (p *part) forget() {
	p.work = work{again: p.work.again[:0]}
	for i := range p.lanes {
		p.lanes[i].text = nil
	}
}

// scan does the work. It returns false if the part is to be split; what was not done is then in p.work.
func (p *part) scan() bool {
	if !p.of.set.opt.oneLane {
		p.lockstep()
	}
	for i := range p.lanes {
		l := &p.lanes[i]
		for !p.thrashed && (l.line != none || p.take(l)) {
			p.run(l)
		}
	}
	if !p.thrashed {
		return true
	}
	for i := range p.lanes {
		if l := &p.lanes[i]; l.line != none {
			p.work.again = append(p.work.again, l.line)
			l.line = none
		}
	}
	return false
}

// run takes a line to its end; or, if the part is to be split, some way.
func (p *part) run(l *lane) {
	ascii := &p.cache.nfa.alphabet.ascii
	for l.line != none && !p.thrashed {
		table, text, row := p.cache.table, l.text, l.row
		i := 0
		for ; i < len(text); i++ {
			cell := table[row+uint32(ascii[text[i]])]
			if cell&slow != 0 {
				break
			}
			row = cell
		}
		l.text, l.row = text[i:], row
		p.step(i)
		p.advance(l)
	}
}

func (p *part) step(n int) {
	p.steps += n
	p.stats.Steps += n
}

// advance takes a lane over what the table alone cannot: the end of a piece, or a symbol whose cell is marked.
// It sets l.line to none when the line is done.
func (p *part) advance(l *lane) {
	if len(l.text) > 0 {
		p.symbols(l)
		return
	}
	line := &p.work.lines[l.line]
	if !l.tail && len(line.Tail) > 0 {
		l.tail, l.text = true, line.Tail
		return
	}
	if p.finish(l, line); !p.thrashed {
		l.line = none
	}
}

// symbols takes a lane over the next symbol, and over the runes beyond ASCII that follow: they come in runs.
func (p *part) symbols(l *lane) {
	for {
		if symbol := p.symbol(l); !p.enter(l, symbol) {
			if !p.thrashed {
				l.line = none
			}
			return
		}
		if len(l.text) == 0 || l.text[0] < utf8.RuneSelf {
			return
		}
	}
}

// finish shows the rules what is behind a line.
func (p *part) finish(l *lane, line *Line) {
	a := p.cache.nfa.alphabet
	last := a.rune('\n')
	if line.Cut {
		last = a.rune(utf8.RuneError)
	}
	if p.enter(l, last) {
		p.enter(l, a.end)
	}
}

// symbol reads the next rune of a lane. One may begin in the first piece and end in the second.
func (p *part) symbol(l *lane) int {
	a := p.cache.nfa.alphabet
	if b := l.text[0]; b < utf8.RuneSelf {
		l.text = l.text[1:]
		return int(a.ascii[b])
	}
	if l.tail || utf8.FullRune(l.text) {
		r, size := utf8.DecodeRune(l.text)
		l.text = l.text[size:]
		return a.rune(r)
	}
	var both [utf8.UTFMax]byte
	tail := p.work.lines[l.line].Tail
	n := copy(both[:], l.text)
	r, size := utf8.DecodeRune(both[:n+copy(both[n:], tail)])
	if size < n {
		l.text = l.text[size:]
	} else {
		l.text, l.tail = tail[size-n:], true
	}
	return a.rune(r)
}

// enter takes a lane over a symbol and notes what has matched. It returns false where nothing can match any
// more, or where the part is to be split.
func (p *part) enter(l *lane, symbol int) bool {
	p.step(1)
	cell := p.cache.table[l.row+uint32(symbol)]
	if cell == unknown {
		if !p.room() {
			return false
		}
		cell = p.make(l.row, symbol)
	}
	return p.arrive(l, cell)
}

// arrive puts a lane where a cell says.
func (p *part) arrive(l *lane, cell uint32) bool {
	l.row = cell &^ slow
	if cell&slow == 0 {
		return true
	}
	s := p.cache.state(l.row)
	for _, rule := range p.cache.of(s.matched) {
		p.of.hits.add(l.line, rule)
	}
	return !s.dead
}
