package matchers

import "strings"

// A dateFast is a family of programs that differ in the default template they hold, and the dateScan that stands for them:
// the default templates anywhere in a line, at its start, or behind a prefix that is read without choices.
type dateFast struct {
	prefix   []dateInst // what stands before {DATE}; nil: at the line's start, or anywhere
	allow    kindSet
	anywhere bool
	oneSpace bool
	epochs   bool           // EPOCH and TAI64N are found at the line's start beside the prefix
	direct   bool           // what is cut out is the date, so that it can be read without its prefix
	program  [kindCount]int // the program of each kind at the line's start, -1: none
	free     [kindCount]int // the same for anywhere
}

// A dateGroup is a stretch of Dates.programs, in their order.
type dateGroup struct {
	from, to int
	fast     *dateFast // nil: the programs are run one by one
}

// find is the fast twin of running the family's programs.
func (d *dateFast) find(s *dateScan, line []byte) (h dateHit, ok bool) {
	s.oneSpace = d.oneSpace
	if d.prefix != nil {
		return d.behind(s, line)
	}
	h.fast = true
	switch {
	case s.startAt(line, d.allow):
		h.program = d.program[s.kind]
	case !d.anywhere:
		return h, false
	default:
		if !s.anywhere(line) {
			return h, false
		}
		if h.program, h.place = d.free[s.kind], s.start; h.place == 1 {
			h.place = 0
		}
	}
	h.cut = [2]int32{int32(s.start), int32(s.end)}
	return h, true
}

// behind reads the prefix and the date behind it.
func (d *dateFast) behind(s *dateScan, line []byte) (h dateHit, ok bool) {
	p, from := 0, -1
	for i := range d.prefix {
		in := &d.prefix[i]
		switch in.op {
		case dateOpSet:
			if p >= len(line) || !in.set.has(line[p]) {
				return h, false
			}
			p++
		case dateOpRun:
			start := p
			for p < len(line) && in.set.has(line[p]) {
				p++
			}
			if p-start < int(in.x) {
				return h, false
			}
		case dateOpOpen:
			from = p
		}
	}
	if !s.at(line, p, d.allow) {
		if !d.epochs || !s.startAt(line, 1<<kindEpoch|1<<kindTAI) {
			return h, false
		}
		from = s.start
	}
	return dateHit{program: d.program[s.kind], cut: [2]int32{int32(from), int32(s.end)}, fast: true}, true
}

// fastDefaults is the family of all default templates, or of those at the line's start, from the program on.
func fastDefaults(from int, list []dateTemplate) *dateFast {
	d := &dateFast{allow: allKinds, direct: true}
	d.number(from, list)
	d.anywhere = d.free[kindISO] >= 0
	return d
}

// number notes which program stands for which kind.
func (d *dateFast) number(from int, list []dateTemplate) {
	for k := range d.program {
		d.program[k], d.free[k] = -1, -1
	}
	for i, t := range list {
		if t.free {
			d.free[t.kind] = from + i
		} else {
			d.program[t.kind] = from + i
		}
	}
}

// fastPrefix is the family that {DATE} stands for in p, or nil if it cannot be read without choices: if what stands before
// it leaves any, if something stands behind it, or if its letters may be of either case.
func fastPrefix(p string, from int, list []dateTemplate) *dateFast {
	place := dateWord.FindStringIndex(p)
	if place == nil || strings.Contains(p, "%") || strings.TrimRight(p[place[1]:], ")") != "" {
		return nil
	}
	q := dateParser{text: p[:place[0]] + dateMark + p[place[1]:]}
	n, err := q.alternatives()
	if err != nil || q.more() {
		return nil
	}
	c := dateCompiler{}
	if c.node(q.whole(n), dateFollow{byteSet{}.negate(), true}) != nil {
		return nil
	}
	d := &dateFast{allow: allKinds &^ (1<<kindEpoch | 1<<kindTAI | 1<<kindAngle | 1<<kindDashes)}
	if d.prefix = straight(c.inst); d.prefix == nil {
		return nil
	}
	if len(d.prefix) == 1 { // nothing stands before the date
		d.allow |= 1<<kindAngle | 1<<kindDashes
	}
	d.direct = d.prefix[len(d.prefix)-1].op == dateOpOpen
	d.epochs = strings.EqualFold(p, "^{DATE}")
	d.number(from, list)
	return d
}

// fastSingle is the family of one pattern that is a default template by another name, or nil.
func fastSingle(p string, from int, t dateTemplate) *dateFast {
	d := &dateFast{direct: true}
	text := strings.NewReplacer("(?P<_sep>", "(?P<sep>", "(?P=_sep)", "(?P=sep)").Replace(p)
	if rest, ok := strings.CutPrefix(text, lineStart); ok {
		text = rest
	} else if rest, ok := strings.CutPrefix(text, "^"); ok {
		text, d.prefix = rest, []dateInst{{op: dateOpOpen}}
	} else {
		return nil
	}
	switch text {
	case `%ExY(?P<sep>[-/.])%m(?P=sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`:
		t.kind, d.oneSpace = kindISO, true
	case `(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?`:
		t.kind = kindSyslog
	default:
		return nil
	}
	d.allow = 1 << t.kind
	t.free = false
	d.number(from, []dateTemplate{t})
	return d
}

// dateMark takes the place of {DATE} while a prefix is compiled. It is a byte that no date begins with.
const dateMark = "\x00"

// straight cuts off the part of a program that comes before the date, if it begins at the line's start and
// goes only one way.
func straight(inst []dateInst) []dateInst {
	if len(inst) == 0 || inst[0].op != dateOpAssert || inst[0].assert != assertStart {
		return nil
	}
	opens, run := 0, byteSet{}
	for i, in := range inst[1:] {
		switch in.op {
		case dateOpOpen:
			opens++
		case dateOpRun:
			run = in.set
		case dateOpSet:
			if in.set == setOf(dateMark) {
				if opens != 1 || !run.disjoint(dateBegins()) {
					return nil
				}
				return inst[1 : i+1]
			}
			if in.set != in.set.fold() {
				return nil
			}
			run = byteSet{}
		default:
			return nil
		}
	}
	return nil
}

// dateBegins is what a date can begin with. The space of a day is left out: where a run of spaces can end before one
// it can also end behind it, with the same date.
func dateBegins() (s byteSet) {
	s = setOf("+-<@")
	s.addRange('0', '9')
	s.addRange('a', 'z')
	return s.fold()
}
