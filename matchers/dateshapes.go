package matchers

import "encoding/binary"

// The readers below take the place where a format begins, or the place behind what was read already, and note the
// date's fields. Each is the format's pattern, read once from left to right: numbers may have one digit
// or two where the pattern says so, and what is optional at the end is taken if the date then still ends outside a word.

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
	s.nameStart, s.nameEnd, s.bare, s.bad, s.secondAt, s.kept = 0, 0, 0, false, -1, false
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

// iso reads 2005-01-23T21:59:59.981+01:00.
func (s *dateScan) iso(line []byte, p int) bool {
	sep := at(line, p+4)
	if s.year = year20(line, p); s.year == 0 || sep != '-' && sep != '/' && sep != '.' {
		return false
	}
	q, n := p+5, 0
	if s.month, n = monthAt(line, q); n == 0 || at(line, q+n) != sep {
		return false
	}
	q += n + 1
	if s.day, n = dayAt(line, q); n == 0 {
		return false
	}
	q += n
	switch {
	case at(line, q) == 'T':
		q++
	case at(line, q) != ' ':
		return false
	default:
		if q++; at(line, q) == ' ' && !s.oneSpace {
			q++
		}
	}
	if q = s.clock(line, q, 23); q == 0 {
		return false
	}
	return s.ending(line, kindISO, p, q, tailZone)
}

// isoExact is iso for a date that has all its digits, behind which the line goes on for 19 bytes at least.
func (s *dateScan) isoExact(line []byte, p int) bool {
	b := line[p : p+19 : p+19]
	sep := uint64(b[4])
	day, ok := pairs(binary.LittleEndian.Uint64(b), isoMask, sep<<32|sep<<56)
	clock, good := pairs(binary.LittleEndian.Uint64(b[11:]), clockMask, clockSigns)
	d1, d2 := b[8]-'0', b[9]-'0'
	if !ok || !good || day&0xff != 20 || sep != '-' && sep != '/' && sep != '.' || b[10] != 'T' && b[10] != ' ' || d1 > 3 || d2 > 9 {
		return false
	}
	s.year, s.month, s.day = 2000+int(day>>16&0xff), int(day>>40&0xff), int(d1)*10+int(d2)
	s.hour, s.minute, s.second = int(clock&0xff), int(clock>>24&0xff), int(clock>>48&0xff)
	if s.month-1 > 11 || s.month == 0 || s.day-1 > 30 || s.day == 0 || s.hour > 23 || s.minute > 59 || s.second > 61 ||
		isDigit(at(line, p+19)) {
		return false
	}
	s.reset()
	s.secondAt = p + 17
	return s.ending(line, kindISO, p, p+19, tailZone)
}

// compact reads 20050123T215959.981+01:00.
func (s *dateScan) compact(line []byte, p int) bool {
	s.year, s.month, s.day = year20(line, p), two(line, p+4), two(line, p+6)
	if s.year == 0 || s.month-1 > 11 || s.month < 1 || s.day < 1 || s.day > 31 {
		return false
	}
	q := p + 8
	switch {
	case at(line, q) == 'T':
		q++
	case at(line, q) != ' ':
		return false
	default:
		if q++; at(line, q) == ' ' {
			q++
		}
	}
	s.hour, s.minute, s.second = two(line, q), two(line, q+2), two(line, q+4)
	if s.hour < 0 || s.hour > 23 || s.minute < 0 || s.minute > 59 || s.second < 0 || s.second > 61 {
		return false
	}
	s.reset()
	s.secondAt = q + 4
	return s.ending(line, kindCompact, p, q+6, tailZone)
}

// syslog reads what follows "Jan " at p: 23 21:59:59.011 2005, 23 2005 21:59:59.011, or 23, 2005 9:59:59 PM. The date
// begins at start, with its weekday if it has one.
func (s *dateScan) syslog(line []byte, start, p int, allow kindSet) bool {
	n := 0
	if s.day, n = dayAt(line, p); n == 0 {
		return false
	}
	p += n
	if at(line, p) == ',' {
		return allow.has(kindComma) && start == p-n-4 && s.comma(line, start, p+1)
	}
	if at(line, p) != ' ' {
		return false
	}
	if p++; year20(line, p) > 0 {
		return allow.has(kindSyslogYear) && s.syslogYear(line, start, p)
	}
	if p = s.loose(line, p); p == 0 || !allow.has(kindSyslog) {
		return false
	}
	s.year = 0
	return s.ending(line, kindSyslog, start, p, tailYear)
}

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

// syslogYear reads 2005 21:59:59.011.
func (s *dateScan) syslogYear(line []byte, start, p int) bool {
	if s.year = year20(line, p); s.year == 0 || at(line, p+4) != ' ' {
		return false
	}
	p = s.loose(line, p+5)
	return p > 0 && s.ending(line, kindSyslogYear, start, p, tailNone)
}

// comma reads " 2005 9:59:59 PM".
func (s *dateScan) comma(line []byte, start, p int) bool {
	if s.year = year20(line, p+1); s.year == 0 || at(line, p) != ' ' || at(line, p+5) != ' ' {
		return false
	}
	if p = s.clock(line, p+6, 12); p == 0 || at(line, p) != ' ' || letterAMPM.matchName(line, p+1) == 0 {
		return false
	}
	if s.hour == 0 || s.hour > 12 {
		return false
	}
	s.hour %= 12
	if line[p+1]|0x20 == 'p' {
		s.hour += 12
	}
	return s.found(line, kindComma, start, p+3)
}

// dashes reads Jan-23-05 21:59:59 at the line's start.
func (s *dateScan) dashes(line []byte) bool {
	n := 0
	if s.day, n = dayAt(line, 4); n == 0 || at(line, 4+n) != '-' {
		return false
	}
	p := 5 + n
	year := two(line, p)
	if year < 0 || at(line, p+2) != ' ' {
		return false
	}
	s.year = 2000 + year
	p = s.loose(line, p+3)
	return p > 0 && s.found(line, kindDashes, 0, p)
}

// dayFirst reads what begins with a day: 23/01/2005 21:59:59 and 23/Jan/2005:21:59:59 +0100, and its double
// 01-23-2005 21:59:59.252, which comes first if the source showed one that cannot be anything else.
func (s *dateScan) dayFirst(line []byte, p int, allow kindSet) bool {
	if s.monthFirst && allow.has(kindMonthDay) && s.monthDay(line, p) {
		return true
	}
	day, n := dayAt(line, p)
	sep := at(line, p+n)
	if n > 0 && (sep == '-' || sep == '/') {
		q := p + n + 1
		if month, n := monthAt(line, q); n > 0 && at(line, q+n) == sep {
			if s.day, s.month = day, month; allow.has(kindDayMonth) && s.dayMonth(line, p, q+n+1) {
				return true
			}
		} else if month := monthOf(line, q); month > 0 && at(line, q+3) == sep {
			s.day, s.month = day, month
			return allow.has(kindDayMon) && s.dayMon(line, p, q+4)
		}
	}
	return !s.monthFirst && allow.has(kindMonthDay) && s.monthDay(line, p)
}

// dayMonth reads 2005 21:59:59 or 05 21:59:59.
func (s *dateScan) dayMonth(line []byte, start, p int) bool {
	if s.year = year20(line, p); s.year > 0 {
		p += 4
	} else if y := two(line, p); y >= 0 {
		s.year, p = 2000+y, p+2
	} else {
		return false
	}
	if at(line, p) != ' ' {
		return false
	}
	p = s.loose(line, p+1)
	return p > 0 && s.found(line, kindDayMonth, start, p)
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

// monthFirstColon reads 01/23/2005:21:59:59.
func (s *dateScan) monthFirstColon(line []byte, p int, allow kindSet) bool {
	if !allow.has(kindMonthDayColon) {
		return false
	}
	q := s.monthDayYear(line, p, '/')
	if q == 0 || at(line, q) != ':' {
		return false
	}
	q = s.clock(line, q+1, 23)
	return q > 0 && s.found(line, kindMonthDayColon, p, q)
}

// monthDay reads 01-23-2005 21:59:59.252.
func (s *dateScan) monthDay(line []byte, p int) bool {
	q := s.monthDayYear(line, p, '-')
	if q == 0 || at(line, q) != ' ' {
		return false
	}
	q = s.loose(line, q+1)
	return q > 0 && s.ending(line, kindMonthDay, p, q, tailNone)
}

// monthDayYear reads 01-23-2005 and gives the place behind it, or 0.
func (s *dateScan) monthDayYear(line []byte, p int, sep byte) int {
	n := 0
	if s.month, n = monthAt(line, p); n == 0 || at(line, p+n) != sep {
		return 0
	}
	p += n + 1
	if s.day, n = dayAt(line, p); n == 0 || at(line, p+n) != sep {
		return 0
	}
	p += n + 1
	if s.year = year20(line, p); s.year == 0 {
		return 0
	}
	return p + 4
}

// angle reads <01/23/05@21:59:59> at the line's start.
func (s *dateScan) angle(line []byte) bool {
	p, n := 1, 0
	if s.month, n = monthAt(line, p); n == 0 || at(line, p+n) != '/' {
		return false
	}
	p += n + 1
	if s.day, n = dayAt(line, p); n == 0 || at(line, p+n) != '/' {
		return false
	}
	p += n + 1
	year := two(line, p)
	if year < 0 || at(line, p+2) != '@' {
		return false
	}
	s.year = 2000 + year
	if p = s.clock(line, p+3, 23); p == 0 || at(line, p) != '>' {
		return false
	}
	s.kind, s.start, s.end = kindAngle, 0, p+1
	return true
}

// clockOnly reads 21:59:59.
func (s *dateScan) clockOnly(line []byte, p int) bool {
	q := s.clock(line, p, 23)
	s.year, s.month, s.day = 0, 0, 0
	return q > 0 && s.found(line, kindClock, p, q)
}

// six reads 050123 21:59:59.
func (s *dateScan) six(line []byte, p int) bool {
	year := two(line, p)
	s.year, s.month, s.day = 2000+year, two(line, p+2), two(line, p+4)
	if s.month < 1 || s.month > 12 || s.day < 1 || s.day > 31 || at(line, p+6) != ' ' {
		return false
	}
	q := p + 7
	if at(line, q) == ' ' {
		q++
	}
	q = s.clock(line, q, 23)
	return q > 0 && s.found(line, kindSix, p, q)
}

// seconds reads 1138049999.123, whose digits end at n.
func (s *dateScan) seconds(line []byte, p, n int) bool {
	if wordAt(line, n) {
		return false
	}
	end := n
	if at(line, n) == '.' {
		for end++; end < len(line) && isDigit(line[end]); end++ {
		}
		if digits := end - n - 1; digits < 3 || digits > 6 || wordAt(line, end) {
			end = n
		}
	}
	s.reset()
	s.kind, s.start, s.end = kindEpoch, p, end
	return s.epoch(line[p:end], false)
}

// label reads @4000000041f4104f00000000.
func (s *dateScan) label(line []byte, p int) bool {
	const size = 25
	if p+size > len(line) {
		return false
	}
	for _, c := range line[p+1 : p+size] {
		if !isDigit(c) && !in(c, 'a', 'f') {
			return false
		}
	}
	s.reset()
	s.bad = !s.tai(line[p : p+size])
	return s.found(line, kindTAI, p, p+size)
}
