package matchers

import "errors"

// A dateProgram is one datepattern, compiled for a matcher that tries the alternatives in Python's order. It is
// immutable.
type dateProgram struct {
	inst     []dateInst
	anchored bool // begins at the line's start or ends at its end: found there, it needs no comparison with others
	first    byteSet
	anyFirst bool // it may match nothing, or bytes that first does not know
	slots    uint32
	nanos    bool // a fraction and then a zone may stand behind the seconds
	places   int  // instructions that are remembered when a search goes on for long
}

type dateOp uint8

const (
	dateOpSet     dateOp = iota // one byte of set
	dateOpNonWord               // one character that is not a letter, a digit or "_"
	dateOpLetter                // a strptime letter into slot
	dateOpSplit                 // x first, then y; the other way round if lazy
	dateOpJump
	dateOpOpen  // the slot begins here
	dateOpClose // the slot ends here
	dateOpRun   // as many bytes of set as there are, at least x
	dateOpAssert
	dateOpLook
	dateOpMatch
)

type dateInst struct {
	op     dateOp
	letter dateLetter
	slot   dateSlot
	fold   bool
	lazy   bool // dateOpSplit
	end    bool // set holds the line's end too
	assert dateAssert
	x, y   int32
	place  int32 // among the remembered instructions
	look   *lookAround
	set    byteSet // dateOpSplit: what x can begin with; dateOpLetter: what may come next
}

// maxProgram bounds a pattern's size in instructions.
const maxProgram = 20000

// compileDate makes a program of a whole pattern.
func compileDate(n *dateNode) (*dateProgram, error) {
	c := dateCompiler{}
	if err := c.node(n, dateFollow{byteSet{}.negate(), true}); err != nil {
		return nil, err
	}
	c.emit(dateInst{op: dateOpMatch})
	p := &dateProgram{inst: c.inst}
	p.first, p.anyFirst = firstBytes(n)
	for i := range p.inst {
		in := &p.inst[i]
		switch in.op {
		case dateOpSplit, dateOpLetter, dateOpRun:
			in.place = int32(p.places)
			p.places++
		}
		if in.op == dateOpLetter || in.op == dateOpOpen {
			p.nanos = p.nanos || in.slot == slotOffset && p.slots>>slotFraction&1 != 0
			p.slots |= 1 << in.slot
		}
	}
	p.anchored = p.start() || endsLine(n)
	return p, p.check()
}

// endsLine says that n matches at the line's end only.
func endsLine(n *dateNode) bool {
	for len(n.sub) > 0 && (n.op == dateNodeCat || n.op == dateNodeGroup) {
		n = n.sub[len(n.sub)-1]
	}
	return n.op == dateNodeAssert && n.assert == assertEnd
}

// check refuses what can be found and never read.
func (p *dateProgram) check() error {
	has := func(s ...dateSlot) bool {
		for _, one := range s {
			if p.slots>>one&1 != 0 {
				return true
			}
		}
		return false
	}
	month, day := has(slotMonth, slotMon, slotMonthName), has(slotDay)
	switch {
	case month && !day:
		return errors.New("it has a month and no day (%d)")
	case day && !month:
		return errors.New("it has a day and no month (%m, %b)")
	case has(slotISOYear) != has(slotISOWeek):
		return errors.New("%G and %V need one another")
	case has(slotHour12) && has(slotHour):
		return errors.New("it has the hour twice (%H and %I)")
	}
	return nil
}
