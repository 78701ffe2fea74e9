package matchers

import "encoding/binary"

// pair reads one digit or two; n is how many.
func pair(line []byte, p int) (v, n int) {
	a := at(line, p) - '0'
	if a > 9 {
		return 0, 0
	}
	if b := at(line, p+1) - '0'; b <= 9 {
		return int(a)*10 + int(b), 2
	}
	return int(a), 1
}

// two reads two digits, or gives -1.
func two(line []byte, p int) int {
	if p+2 > len(line) {
		return -1
	}
	a, b := line[p]-'0', line[p+1]-'0'
	if a > 9 || b > 9 {
		return -1
	}
	return int(a)*10 + int(b)
}

// year20 reads a year from 2000 to 2099, or gives 0.
func year20(line []byte, p int) int {
	if p+4 > len(line) || line[p] != '2' || line[p+1] != '0' {
		return 0
	}
	if y := two(line, p+2); y >= 0 {
		return 2000 + y
	}
	return 0
}

// dayAt reads a day of a month: two digits, one, or one behind a space.
func dayAt(line []byte, p int) (day, n int) {
	if at(line, p) == ' ' {
		if c := at(line, p+1); in(c, '1', '9') && !isDigit(at(line, p+2)) {
			return int(c - '0'), 2
		}
		return 0, 0
	}
	if day, n = pair(line, p); day < 1 || day > 31 {
		return 0, 0
	}
	return day, n
}

// monthAt reads the number of a month.
func monthAt(line []byte, p int) (month, n int) {
	if month, n = pair(line, p); month < 1 || month > 12 {
		return 0, 0
	}
	return month, n
}

// Eight bytes of a date are read as one word, in which the first byte is the lowest. A mask has 0xff where a sign must stand.
const (
	clockMask  = 0x0000ff0000ff0000 // 21:59:59
	clockSigns = 0x00003a00003a0000
	isoMask    = 0xff0000ff00000000 // 2005-01-
	ones       = 0x0101010101010101
)

// pairs reads numbers of two digits from eight bytes, of which those in mask must be signs. Each number is in the
// byte of its first digit.
func pairs(text, mask, signs uint64) (v uint64, ok bool) {
	y := text ^ (ones*'0'&^mask | signs)
	if y&(ones*0xf0|mask)|(y+ones*6)&(ones*0xf0) != 0 {
		return 0, false
	}
	return y*10 + y>>8, true
}

// clock reads h:m:s and gives the place behind it, or 0. Two digits of an hour go up to maxHour.
func (s *dateScan) clock(line []byte, p, maxHour int) int {
	if p+8 <= len(line) {
		if v, ok := pairs(binary.LittleEndian.Uint64(line[p:]), clockMask, clockSigns); ok {
			s.hour, s.minute, s.second = int(v&0xff), int(v>>24&0xff), int(v>>48&0xff)
			if s.hour > maxHour || s.minute > 59 || s.second > 61 || p+8 < len(line) && isDigit(line[p+8]) {
				return 0
			}
			s.reset()
			s.secondAt = p + 6
			return p + 8
		}
	}
	return s.slowClock(line, p, maxHour)
}

// slowClock is clock for numbers of one digit.
func (s *dateScan) slowClock(line []byte, p, maxHour int) int {
	var n int
	if s.hour, n = pair(line, p); n == 0 || s.hour > maxHour || at(line, p+n) != ':' {
		return 0
	}
	p += n + 1
	if s.minute, n = pair(line, p); n == 0 || s.minute > 59 || at(line, p+n) != ':' {
		return 0
	}
	p += n + 1
	if s.second, n = pair(line, p); n == 0 || s.second > 61 || isDigit(at(line, p+n)) {
		return 0
	}
	s.reset()
	return p + n
}

// reset takes back what an earlier date had and this one may lack.
func (s *dateScan) reset() {
	s.nanos, s.east, s.zoned, s.absolute = 0, 0, false, false
	s.nameStart, s.nameEnd, s.bare, s.bad, s.secondAt, s.kept = 0, 0, 0, false, -1, nil
}

// loose is the hour of %k, which may have a space before it and goes up to 29.
func (s *dateScan) loose(line []byte, p int) int {
	if at(line, p) == ' ' {
		p++
	}
	return s.clock(line, p, 29)
}

// fraction gives the place behind the point at p and one to six digits, or p.
func (s *dateScan) fraction(line []byte, p int) int {
	n, value := p+1, 0
	for n < len(line) && isDigit(line[n]) {
		if n <= p+6 {
			value = value*10 + int(line[n]-'0')
		}
		n++
	}
	if digits := n - p - 1; digits == 0 || digits > 6 {
		return p
	}
	for i := n - p - 1; i < 9; i++ {
		value *= 10
	}
	s.nanos = value
	return n
}

// A dateTail is what may stand behind the seconds and their fraction.
type dateTail uint8

const (
	tailNone   dateTail = iota
	tailZone            // a zone behind any spaces; a comma will do for the fraction's point
	tailSpaced          // a zone behind one space
	tailYear            // a year behind a space
)

// read reads the tail at p and gives the place behind it, or 0.
func (t dateTail) read(s *dateScan, line []byte, p int) int {
	switch t {
	case tailZone:
		return s.zoneBehind(line, p)
	case tailSpaced:
		return s.zoneSpaced(line, p)
	case tailYear:
		return s.yearBehind(line, p)
	}
	return 0
}

// ending takes the longest of: fraction and tail, fraction, tail, nothing, that ends outside a word.
func (s *dateScan) ending(line []byte, kind dateKind, start, p int, tail dateTail) bool {
	long := p
	if c := at(line, p); c == '.' || c == ',' && tail == tailZone {
		long = s.fraction(line, p)
	}
	for {
		if end := tail.read(s, line, long); end > 0 {
			return s.found(line, kind, start, end)
		}
		if s.found(line, kind, start, long) {
			if long == p && (kind == kindISO || kind == kindCompact) {
				s.bare = p
			}
			return true
		}
		if long == p {
			return false
		}
		long, s.nanos = p, 0
	}
}

// zoneBehind reads a zone behind any spaces and gives the place behind it, or 0.
func (s *dateScan) zoneBehind(line []byte, p int) int {
	if p >= len(line) {
		return 0
	}
	if c := line[p]; c == ':' || c == ']' {
		return 0
	}
	for p < len(line) && isSpace(line[p]) {
		p++
	}
	return s.zoneHere(line, p, false)
}

// zoneSpaced reads a zone behind one space, in any case.
func (s *dateScan) zoneSpaced(line []byte, p int) int {
	if at(line, p) != ' ' {
		return 0
	}
	return s.zoneHere(line, p+1, true)
}

func (s *dateScan) zoneHere(line []byte, p int, fold bool) int {
	if w := int(matchUTC(line, p, fold)); w > 0 {
		if wordAt(line, p+w) {
			return 0
		}
		s.east, s.zoned = 0, true
		return p + w
	}
	for w := matchOffset(line, p); w != 0; w >>= 8 {
		if n := int(w & 0xff); !wordAt(line, p+n) {
			s.east, s.zoned = offsetSeconds(line[p:p+n]), true
			return p + n
		}
	}
	return 0
}

// isSpace is \s.
func isSpace(c byte) bool { return c == ' ' || c-'\t' < 5 || c-0x1c < 4 }

// yearBehind reads a year behind a space.
func (s *dateScan) yearBehind(line []byte, p int) int {
	if at(line, p) == ' ' && at(line, p+1) == '2' {
		if y := year20(line, p+1); y > 0 && !wordAt(line, p+5) {
			s.year = y
			return p + 5
		}
	}
	return 0
}

// dayMon reads 2005:21:59:59 +0100.
func (s *dateScan) dayMon(line []byte, start, p int) bool {
	if s.year = year20(line, p); s.year == 0 {
		return false
	}
	if p += 4; at(line, p) == ':' || at(line, p) == ' ' {
		p++
	}
	p = s.clock(line, p, 23)
	return p > 0 && s.ending(line, kindDayMon, start, p, tailSpaced)
}
