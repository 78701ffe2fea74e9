package matchers

import "encoding/binary"

// dateMemos are the last dates that a dateScan read, one of each form, since a log may be written by several programs: 4 of
// them, found by the byte with which they begin.
type dateMemos struct {
	list  [memoForms]dateMemo
	last  int       // the one that was used last: it is tried first
	begin [4]uint64 // a bit for each byte with which one begins
}

// A dateMemo is a date that was read, kept so that the next one is known by comparing bytes if only its
// seconds and its fraction differ: most lines of a busy log are of the same minute. It changes no answer: what a scan
// reads at a place, one that wants the same of dates, depends on no byte that is not compared here.
type dateMemo struct {
	dateWish
	fields   dateFields
	kind     dateKind
	fraction bool
	n        int // bytes from the date's start to its end; 0: nothing is kept
	second   int // where the seconds begin, from the date's start
	words    int // how many words of eight bytes are compared
	text     [memoWords]uint64
	same     [memoWords]uint64 // 0xff for bytes that must be the same
	digits   [memoWords]uint64 // 0xff for the seconds' and the fraction's digits

	minute dateMinute
}

// A dateMinute is the instant that a date stands for, or its minute. A date without a year, or a day, holds only while it
// is the last such one before a limit that moves with the reference.
type dateMinute struct {
	known         bool
	unix, local   int64
	window, ahead int64 // in seconds; window 0: it always holds
}

// holds says that second of the minute is still what it was, by the reference's clock.
func (m *dateMinute) holds(clock *zoneClock, second, ref int64) bool {
	if !m.known || m.window == 0 {
		return m.known
	}
	limit := ref + clock.offset(ref) + m.ahead
	local := m.local + second
	return local <= limit && local > limit-m.window
}

const (
	memoForms = 4
	memoWords = 5
)

// begins reports whether a date that is kept begins with c.
func (m *dateMemos) begins(c byte) bool { return m.begin[c>>6]>>(c&63)&1 != 0 }

// slot is where a date of a form is to be kept: in the place of one that looks like it, or of the one that was put
// there before the others.
func (m *dateMemos) slot(kind dateKind, n int) *dateMemo {
	for i := range m.list {
		if m.list[i].kind == kind && m.list[i].n == n {
			return &m.list[i]
		}
	}
	m.last = (m.last + 1) % memoForms
	return &m.list[m.last]
}

// note notes with which bytes the dates begin that are kept now.
func (m *dateMemos) note() {
	m.begin = [4]uint64{}
	for i := range m.list {
		if m.list[i].n > 0 {
			c := byte(m.list[i].text[0])
			m.begin[c>>6] |= 1 << (c & 63)
		}
	}
}

// again reads the date at p if it is one that is kept, but for its seconds.
func (s *dateScan) again(line []byte, p int, allow kindSet) bool {
	for i := range memoForms {
		at := (s.memos.last + i) % memoForms
		if m := &s.memos.list[at]; m.n > 0 && byte(m.text[0]) == line[p] && s.like(m, line, p, allow) {
			s.memos.last = at
			return true
		}
	}
	return false
}

// like reads the date at p if it is that of m.
func (s *dateScan) like(m *dateMemo, line []byte, p int, allow kindSet) bool {
	if m.dateWish != s.dateWish || p+8*m.words > len(line) {
		return false
	}
	for i := range m.words {
		text := binary.LittleEndian.Uint64(line[p+8*i:])
		if (text^m.text[i])&m.same[i] != 0 {
			return false
		}
		y := text ^ ones*'0'
		if (y|(y+ones*6))&(ones*0xf0)&m.digits[i] != 0 {
			return false
		}
	}
	if line[p+m.second] > '5' || !allow.has(m.kind) {
		return false
	}
	s.dateFields, s.kind, s.start, s.end, s.kept = m.fields, m.kind, p, p+m.n, m
	s.dateFields.second = int(line[p+m.second]-'0')*10 + int(line[p+m.second+1]-'0')
	if m.fraction {
		s.fraction(line, p+m.second+2)
	}
	s.nameStart, s.nameEnd, s.bad, s.bare = 0, 0, false, 0
	return true
}

// keep makes the date that was just read the one that is kept, if what is behind it is plain: no byte that could have
// belonged to the date decides that it did not.
func (s *dateScan) keep(line []byte) {
	if s.secondAt < s.start || s.absolute || s.nameEnd > 0 || s.end >= len(line) || s.second > 59 {
		return
	}
	if s.kind == kindDashes || s.kind == kindAngle || s.kind == kindComma {
		return
	}
	if c := line[s.end-3]; s.zoned && (c == '+' || c == '-') { // an offset without minutes
		return
	}
	behind := 1
	switch c := line[s.end]; {
	case c >= 0x80 || isWord(c) || c == '.' || c == ',' || c == '+' || c == '-':
		return
	case isSpace(c):
		if behind = 2; s.end+1 >= len(line) || line[s.end+1] >= 0x80 {
			return
		}
		switch line[s.end+1] {
		case '2', 'Z', 'z', 'U', 'u', 'G', 'g', '+', '-', ' ', '\t', '\n', '\v', '\f', '\r', 0x1c, 0x1d, 0x1e, 0x1f:
			return
		}
	}
	var text, same, digits [8 * memoWords]byte
	n := s.end - s.start + behind
	if n > len(text) {
		return
	}
	m := s.memos.slot(s.kind, s.end-s.start)
	copy(text[:], line[s.start:s.start+n])
	for i := 0; i < n; i += 8 { // what is too much is taken back below
		binary.LittleEndian.PutUint64(same[i:], ones*0xff)
	}
	if n < len(text) {
		clear(same[n:])
	}
	m.second = s.secondAt - s.start
	m.fraction = false
	for i := m.second; i < n && (isDigit(text[i]) || i == m.second+2 && (text[i] == '.' || text[i] == ',')); i++ {
		if i == m.second+2 {
			m.fraction = true
		} else {
			same[i], digits[i] = 0, 0xff
		}
	}
	m.words = (n + 7) / 8
	for i := range m.words {
		m.text[i] = binary.LittleEndian.Uint64(text[8*i:])
		m.same[i] = binary.LittleEndian.Uint64(same[8*i:])
		m.digits[i] = binary.LittleEndian.Uint64(digits[8*i:])
	}
	m.dateWish, m.fields, m.kind, m.n = s.dateWish, s.dateFields, s.kind, s.end-s.start
	m.minute.known = false
	s.memos.note()
}
