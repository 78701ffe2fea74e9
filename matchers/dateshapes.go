package matchers

import "encoding/binary"

// The readers below take the place where a format begins, or the place behind what was read already, and note the
// date's fields. Each is the format's pattern, read once from left to right: numbers may have one digit
// or two where the pattern says so, and what is optional at the end is taken if the date then still ends outside a word.

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
