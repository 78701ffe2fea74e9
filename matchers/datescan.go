package matchers

// A dateKind is one of the default templates, by its place in defaultTemplates.
type dateKind uint8

const (
	kindISO           dateKind = iota // 2005-01-23T21:59:59.981+01:00
	kindSyslog                        // Sun Jan 23 21:59:59.011 2005
	kindSyslogYear                    // Sun Jan 23 2005 21:59:59.011
	kindDayMonth                      // 23/01/2005 21:59:59
	kindDayMon                        // 23/Jan/2005:21:59:59 +0000
	kindMonthDayColon                 // 01/23/2005:21:59:59
	kindMonthDay                      // 01-23-2005 21:59:59.252
	kindEpoch                         // 1138049999.123
	kindClock                         // 21:59:59
	kindAngle                         // <01/23/05@21:59:59>
	kindSix                           // 050123 21:59:59
	kindComma                         // Jan 23, 2005 9:59:59 PM
	kindDashes                        // Jan-23-05 21:59:59
	kindCompact                       // 20050123T215959
	kindZoned                         // CET Jan 23 21:59:59
	kindOffset                        // +01:00 Jan 23 21:59:59
	kindTAI                           // @4000000041f4104f00000000
	kindCount
)

// A kindSet is a set of kinds, one bit each.
type kindSet uint32

func (s kindSet) has(k dateKind) bool { return s>>k&1 != 0 }

const (
	allKinds kindSet = 1<<kindCount - 1
	// startKinds are looked for at the line's start only.
	startKinds = kindSet(1<<kindClock | 1<<kindAngle | 1<<kindDashes)
)

// A dateScan reads the default templates by position, without their patterns: the fast twin of the programs that
// defaultTemplates compiles to. One value serves one search after another.
type dateScan struct {
	dateFields
	dateWish
	memos      *dateMemos
	kept       *dateMemo // whose date it is, but for its seconds; nil: it was read
	kind       dateKind
	start, end int
	secondAt   int // where two digits of seconds begin; -1: they have not both
	nameStart  int // where a zone's name lies, if the date has one
	nameEnd    int
	bare       int  // the place behind the seconds, if a fraction and a zone could have stood there
	bad        bool // the date is no time
}

// A dateWish is what is told a dateScan of the dates that it is to read.
type dateWish struct {
	monthFirst bool // 02-03-2026 begins with the month: this source showed a 02-13-2026
	oneSpace   bool // between an ISO day and its hour stands one character
}

// startAt finds a date of one of the kinds at the line's start, behind at most two characters that are no words'.
func (s *dateScan) startAt(line []byte, allow kindSet) bool {
	if len(line) > 0 && isWord(line[0]) {
		return s.at(line, 0, allow)
	}
	first := nonWord(line, 0)
	second := first
	if first > 0 {
		second += nonWord(line, first)
	}
	return s.at(line, second, allow) || second > first && s.at(line, first, allow) || first > 0 && s.at(line, 0, allow)
}

// anywhere finds the leftmost date. A date begins where a word does, or with a sign; most words cannot begin one, as their
// first letter tells. A zone before a syslog date is looked for from there, not in every word.
func (s *dateScan) anywhere(line []byte) bool {
	allow := allKinds &^ (startKinds | 1<<kindEpoch | 1<<kindZoned)
	for p := 0; p < len(line); p++ {
		c := line[p]
		switch dateByte(c) {
		case byteOther:
			continue
		case byteSign:
			if n := at(line, p+1); (c != ' ' || in(n, '1', '9')) && s.at(line, p, allow) {
				return true
			}
			continue
		case byteDigit, byteInitial:
			if n := digitsEnd(line, p); !mayBegin(n-p, at(line, n)) {
				p = n - 1
				break
			}
			if p > 0 && line[p-1] >= 0x80 && wordBefore(line, p) {
				break
			}
			if s.memos.begins(c) && s.again(line, p, allow) ||
				isDigit(c) && s.digits(line, p, allow|auditEpoch(line, p)) ||
				!isDigit(c) && s.words(line, p, allow) {
				if s.kind == kindSyslog {
					s.zoneBefore(line)
				}
				return true
			}
		}
		for p++; p < len(line) && dateByte(line[p])-byteWord <= byteInitial-byteWord; p++ {
		}
		p--
	}
	return false
}

// zoneBefore draws a zone's name into the syslog date that stands behind it.
func (s *dateScan) zoneBefore(line []byte) {
	end := s.start - 1
	if end < 1 || line[end] != ' ' {
		return
	}
	p := end
	for p > 0 && p > end-6 && (line[p-1]|0x20)-'a' < 26 {
		p--
	}
	if n := end - p; n == 0 || n == 2 || n > 5 || n == 1 && line[p]|0x20 != 'z' || wordBefore(line, p) {
		return
	}
	s.kind, s.start, s.nameStart, s.nameEnd = kindZoned, p, p, end
}

// The classes of bytes that a search for dates tells apart.
const (
	byteOther   = iota // no date begins here
	byteWord           // nor does one begin with this letter
	byteDigit          // but with a digit
	byteInitial        // or the first letter of a month or a weekday
	byteSign           // or one of these
)

// dateByte is the class of a byte.
func dateByte(c byte) byte { return dateBytes[c] }

// dateBytes is a byte per byte: its class.
const dateBytes = "" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x04\x00\x00" +
	"\x02\x02\x02\x02\x02\x02\x02\x02\x02\x02\x00\x00\x00\x00\x00\x00" +
	"\x04\x03\x01\x01\x03\x01\x03\x01\x01\x01\x03\x01\x01\x03\x03\x03" +
	"\x01\x01\x01\x03\x03\x01\x01\x03\x01\x01\x01\x00\x00\x00\x00\x01" +
	"\x00\x03\x01\x01\x03\x01\x03\x01\x01\x01\x03\x01\x01\x03\x03\x03" +
	"\x01\x01\x01\x03\x03\x01\x01\x03\x01\x01\x01\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// auditEpoch allows for an epoch behind "audit(".
func auditEpoch(line []byte, p int) kindSet {
	const audit = "audit("
	if p >= len(audit) && line[p-1] == '(' && string(line[p-len(audit):p]) == audit && !wordBefore(line, p-len(audit)) {
		return 1 << kindEpoch
	}
	return 0
}

// at reads a date that begins at p.
func (s *dateScan) at(line []byte, p int, allow kindSet) bool {
	if p >= len(line) {
		return false
	}
	if s.memos.begins(line[p]) && s.again(line, p, allow) {
		return true
	}
	switch c := line[p]; {
	case isDigit(c):
		return s.digits(line, p, allow)
	case (c|0x20)-'a' < 26:
		return s.words(line, p, allow)
	case c == ' ':
		return s.dayFirst(line, p, allow)
	case c == '+' || c == '-':
		return allow.has(kindOffset) && s.offsetFirst(line, p)
	case c == '@':
		return allow.has(kindTAI) && s.label(line, p)
	case c == '<':
		return p == 0 && allow.has(kindAngle) && s.angle(line)
	}
	return false
}

// found notes a date in [start, end), unless it ends inside a word.
func (s *dateScan) found(line []byte, kind dateKind, start, end int) bool {
	if end < len(line) && (isWord(line[end]) || line[end] >= 0x80 && wordAt(line, end)) {
		return false
	}
	s.kind, s.start, s.end = kind, start, end
	return true
}

// digits reads what begins with a number, by how many digits that has.
func (s *dateScan) digits(line []byte, p int, allow kindSet) bool {
	if line[p] == '2' && p+19 <= len(line) && line[p+4]-'0' > 9 && allow.has(kindISO) && s.isoExact(line, p) {
		return true
	}
	n := digitsEnd(line, p)
	switch n - p {
	case 1, 2:
		if c := at(line, n); c == ':' {
			return allow.has(kindClock) && s.clockOnly(line, p)
		} else if c == '-' || c == '/' {
			return s.dayFirst(line, p, allow) || s.monthFirstColon(line, p, allow)
		}
	case 4:
		return allow.has(kindISO) && s.iso(line, p)
	case 6:
		return allow.has(kindSix) && s.six(line, p)
	case 8:
		return allow.has(kindCompact) && s.compact(line, p)
	case 10, 11:
		return allow.has(kindEpoch) && s.seconds(line, p, n)
	}
	return false
}

// digitsEnd is where the digits that begin at p end; p if there are none.
func digitsEnd(line []byte, p int) int {
	for p < len(line) && isDigit(line[p]) {
		p++
	}
	return p
}

// mayBegin reports whether a date may begin with n digits and c behind them, see digits: the numbers of an address
// do not. A word, n is 0, may.
func mayBegin(n int, c byte) bool {
	switch n {
	case 1, 2:
		return c == ':' || c == '-' || c == '/'
	case 0, 4, 6, 8, 10, 11:
		return true
	}
	return false
}

// words reads what begins with a month, a weekday or a zone.
func (s *dateScan) words(line []byte, p int, allow kindSet) bool {
	q := p
	s.month = monthOf(line, p)
	if s.month == 0 && at(line, p+3) == ' ' && weekdayOf(line, p) > 0 {
		q += 4
		s.month = monthOf(line, q)
	}
	if s.month > 0 {
		switch c := at(line, q+3); {
		case c == ' ' && s.syslog(line, p, q+4, allow):
			return true
		case c == '-' && p == 0 && q == 0 && allow.has(kindDashes):
			return s.dashes(line)
		}
	}
	return allow.has(kindZoned) && s.zoneFirst(line, p)
}

// zoneFirst reads a zone's name and the syslog date behind it. As in fail2ban any word of three to five letters is
// taken for a zone; if it is none, it says nothing.
func (s *dateScan) zoneFirst(line []byte, p int) bool {
	n := p
	for n < p+6 && n < len(line) && (line[n]|0x20)-'a' < 26 {
		n++
	}
	if w := n - p; w == 2 || w == 6 || w == 1 && line[p]|0x20 != 'z' || at(line, n) != ' ' {
		return false
	}
	q := n + 1
	if weekdayOf(line, q) > 0 && at(line, q+3) == ' ' {
		q += 4
	}
	if s.month = monthOf(line, q); s.month == 0 || at(line, q+3) != ' ' || !s.syslog(line, p, q+4, 1<<kindSyslog) {
		return false
	}
	s.kind, s.nameStart, s.nameEnd = kindZoned, p, n
	return true
}

// offsetFirst reads an offset and the syslog date behind it.
func (s *dateScan) offsetFirst(line []byte, p int) bool {
	for w := matchOffset(line, p); w != 0; w >>= 8 {
		q := p + int(w&0xff)
		if at(line, q) != ' ' {
			continue
		}
		text := line[p:q]
		q++
		if weekdayOf(line, q) > 0 && at(line, q+3) == ' ' {
			q += 4
		}
		if s.month = monthOf(line, q); s.month > 0 && at(line, q+3) == ' ' && s.syslog(line, p, q+4, 1<<kindSyslog) {
			s.kind, s.east, s.zoned = kindOffset, offsetSeconds(text), true
			return true
		}
	}
	return false
}
