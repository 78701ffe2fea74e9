package matchers

import (
	"errors"
	"fmt"
)

// A dateCompiler collects instructions.
type dateCompiler struct {
	inst []dateInst
}

var errDateTooBig = errors.New("the pattern is too big")

func (c *dateCompiler) emit(i dateInst) int {
	c.inst = append(c.inst, i)
	return len(c.inst) - 1
}

// node compiles n, behind which comes what follow says.
func (c *dateCompiler) node(n *dateNode, follow dateFollow) error {
	if len(c.inst) > maxProgram {
		return errDateTooBig
	}
	switch n.op {
	case dateNodeCat:
		for i, s := range n.sub {
			if err := c.node(s, followOf(n.sub[i+1:], follow, endsWord(s))); err != nil {
				return err
			}
		}
	case dateNodeAlt:
		return c.alternatives(n.sub, follow)
	case dateNodeSet:
		c.emit(dateInst{op: dateOpSet, set: n.set})
	case dateNodeNonWord:
		c.emit(dateInst{op: dateOpNonWord})
	case dateNodeAssert:
		c.emit(dateInst{op: dateOpAssert, assert: n.assert})
	case dateNodeLook:
		c.emit(dateInst{op: dateOpLook, look: n.look})
	case dateNodeLetter:
		c.mark(n, dateOpOpen)
		c.emit(dateInst{op: dateOpLetter, letter: n.letter, slot: n.slot, fold: n.fold, set: follow.set, end: follow.end})
		c.mark(n, dateOpClose)
	case dateNodeGroup:
		c.mark(n, dateOpOpen)
		if err := c.node(n.sub[0], follow); err != nil {
			return err
		}
		c.mark(n, dateOpClose)
	case dateNodeRepeat:
		return c.repeat(n, follow)
	case dateNodeRef:
		return fmt.Errorf("byte %d: a back-reference (?P=%s) must stand behind a group of single characters of that name",
			n.at+1, n.name)
	}
	return nil
}

// mark opens or closes the parts of the date that n fills.
func (c *dateCompiler) mark(n *dateNode, op dateOp) {
	if n.op == dateNodeGroup && n.slot != slotCount {
		c.emit(dateInst{op: op, slot: n.slot})
	}
	if n.cut {
		c.emit(dateInst{op: op, slot: slotCut})
	}
}

func (c *dateCompiler) alternatives(sub []*dateNode, follow dateFollow) error {
	var jumps []int
	for i, s := range sub {
		split := -1
		if i+1 < len(sub) {
			split = c.split(s, false)
		}
		if err := c.node(s, follow); err != nil {
			return err
		}
		if split >= 0 {
			jumps = append(jumps, c.emit(dateInst{op: dateOpJump}))
			c.inst[split].y = int32(len(c.inst))
		}
	}
	for _, j := range jumps {
		c.inst[j].x = int32(len(c.inst))
	}
	return nil
}

// split emits a choice between n, which comes next, and what y will be set to. Lazy ones try y first.
func (c *dateCompiler) split(n *dateNode, lazy bool) int {
	in := dateInst{op: dateOpSplit, x: int32(len(c.inst) + 1), lazy: lazy}
	if set, empty := firstBytes(n); !empty {
		in.set = set
	} else {
		in.set, in.end = byteSet{}.negate(), true
	}
	return c.emit(in)
}

// repeat compiles a quantifier. A run of one set that nothing in it can follow needs no way back.
func (c *dateCompiler) repeat(n *dateNode, follow dateFollow) error {
	body := n.sub[0]
	set, single := singleSet(body)
	if single && n.max < 0 && !n.lazy && !body.captures() && set.disjoint(follow.set) {
		c.emit(dateInst{op: dateOpRun, set: set, x: int32(n.min)})
		return nil
	}
	first, empty := firstBytes(body)
	again := dateFollow{set: first, end: empty}
	if empty {
		again.set.union(byteSet{}.negate())
	}
	again.set.union(follow.set)
	again.end = again.end || follow.end
	for range n.min {
		if err := c.node(body, again); err != nil {
			return err
		}
	}
	if n.max < 0 {
		if empty {
			return fmt.Errorf("byte %d: what may match nothing is repeated without limit", n.at+1)
		}
		split := c.split(body, n.lazy)
		if err := c.node(body, again); err != nil {
			return err
		}
		c.emit(dateInst{op: dateOpJump, x: int32(split)})
		c.inst[split].y = int32(len(c.inst))
		return nil
	}
	var splits []int
	for range n.max - n.min {
		splits = append(splits, c.split(body, n.lazy))
		if err := c.node(body, again); err != nil {
			return err
		}
	}
	for _, s := range splits {
		c.inst[s].y = int32(len(c.inst))
	}
	return nil
}

// A dateFollow is what may stand at a place for a match to go on there: a byte of set, or the line's end.
type dateFollow struct {
	set byteSet
	end bool
}

// followOf says what may follow where the parts in rest come next, and then what outer says. word tells that the byte
// before is a word's, so that a place outside words has none behind it.
func followOf(rest []*dateNode, outer dateFollow, word bool) (f dateFollow) {
	for _, n := range rest {
		if n.op == dateNodeAssert && n.assert == assertOutside && word {
			letters, _ := classSet('W')
			f.set.union(letters)
			f.end = true
			return f
		}
		if n.op == dateNodeAssert && n.assert == assertEnd {
			f.end = true
			return f
		}
		set, empty := firstBytes(n)
		f.set.union(set)
		if !empty {
			return f
		}
	}
	f.set.union(outer.set)
	f.end = f.end || outer.end
	return f
}

// endsWord says that n cannot match without a letter, digit or "_" at its end.
func endsWord(n *dateNode) bool {
	word, _ := classSet('w')
	switch n.op {
	case dateNodeLetter:
		return true
	case dateNodeSet:
		return n.set.disjoint(word.negate())
	case dateNodeGroup, dateNodeRepeat:
		return endsWord(n.sub[0])
	case dateNodeAlt:
		for _, s := range n.sub {
			if !endsWord(s) {
				return false
			}
		}
		return true
	case dateNodeCat:
		for i := len(n.sub) - 1; i >= 0; i-- {
			if !endsWord(n.sub[i]) {
				return false
			}
			if _, empty := firstBytes(n.sub[i]); !empty {
				return true
			}
		}
	}
	return false
}

// captures says that n, or something in it, is remembered.
func (n *dateNode) captures() bool {
	if n.cut || n.op == dateNodeLetter || n.op == dateNodeGroup && n.slot != slotCount {
		return true
	}
	for _, s := range n.sub {
		if s.captures() {
			return true
		}
	}
	return false
}

// firstBytes is what n can begin with, or empty if it can match without taking a byte. Sets may be too big, never
// too small.
func firstBytes(n *dateNode) (set byteSet, empty bool) {
	switch n.op {
	case dateNodeSet:
		return n.set, false
	case dateNodeNonWord:
		word, _ := classSet('w')
		return word.negate(), false
	case dateNodeLetter:
		return n.letter.first(n.fold), false
	case dateNodeGroup:
		return firstBytes(n.sub[0])
	case dateNodeRepeat:
		set, empty = firstBytes(n.sub[0])
		return set, empty || n.min == 0
	case dateNodeAlt:
		for _, s := range n.sub {
			f, e := firstBytes(s)
			set.union(f)
			empty = empty || e
		}
		return set, empty
	case dateNodeCat:
		for _, s := range n.sub {
			f, e := firstBytes(s)
			set.union(f)
			if !e {
				return set, false
			}
		}
		return set, true
	}
	return set, true // a place takes no byte
}

// first is the set of bytes that the letter's text can begin with.
func (l dateLetter) first(fold bool) (s byteSet) {
	for c := range 256 {
		if l.begins(byte(c)) {
			s.add(byte(c))
		}
	}
	if fold {
		s = s.fold()
	}
	return s
}

func (l dateLetter) begins(c byte) bool {
	switch l {
	case letterMon, letterMonthName, letterWday, letterWdayName, letterAMPM:
		return (c|0x20)-'a' < 26
	case letterZone, letterExZone:
		return in(c, 'A', 'Z')
	case letterOffset, letterExOffset:
		return in(c, 'A', 'Z') || c == '+' || c == '-'
	case letterDay, letterSpaceHour, letterExSpaceHour, letterSpaceHour12, letterExSpaceHour12:
		return isDigit(c) || c == ' '
	}
	return isDigit(c)
}
