package matchers

// A widthList holds up to eight widths in bytes, the first to be tried lowest; a zero ends it. The order is the
// one in which a backtracking regex would try them, since the first that lets the rest match is taken.
type widthList uint64

func isDigit(c byte) bool { return c-'0' < 10 }

// upTo says that a digit is one of 0 to max.
func upTo(c, max byte) bool { return c >= '0' && c <= max }

// in says that c lies between lo and hi.
func in(c, lo, hi byte) bool { return c >= lo && c <= hi }

// at returns the byte at i, or 0 behind the end.
func at(line []byte, i int) byte {
	if i < len(line) {
		return line[i]
	}
	return 0
}

const (
	width1  widthList = 1
	width2  widthList = 2
	width3  widthList = 3
	width4  widthList = 4
	width21 widthList = 2 | 1<<8
	width12 widthList = 1 | 2<<8
)

// match lists how many bytes of line the letter may take at pos; 0 if it does not match there. fold ignores case.
func (l dateLetter) match(line []byte, pos int, fold bool) widthList {
	a, b := at(line, pos), at(line, pos+1)
	switch l {
	case letterYear:
		if isDigit(a) && isDigit(b) && isDigit(at(line, pos+2)) && isDigit(at(line, pos+3)) {
			return width4
		}
	case letterExYear:
		if a == '2' && b == '0' && isDigit(at(line, pos+2)) && isDigit(at(line, pos+3)) {
			return width4
		}
	case letterYear2:
		if isDigit(a) && isDigit(b) {
			return width2
		}
	case letterMonth:
		switch {
		case a == '0' && in(b, '1', '9'):
			return width2
		case a == '1' && upTo(b, '2'):
			return width12
		case in(a, '1', '9'):
			return width1
		}
	case letterExMonth:
		if a == '0' && in(b, '1', '9') || a == '1' && upTo(b, '2') {
			return width2
		}
	case letterDay:
		switch {
		case in(a, '1', '2') && isDigit(b):
			return width21
		case a == '3' && upTo(b, '1'):
			return width12
		case in(a, '1', '9'):
			return width1
		case (a == '0' || a == ' ') && in(b, '1', '9'):
			return width2
		}
	case letterExDay:
		if in(a, '1', '2') && isDigit(b) || a == '0' && in(b, '1', '9') || a == '3' && upTo(b, '1') {
			return width2
		}
	case letterMinute:
		switch {
		case upTo(a, '5') && isDigit(b):
			return width21
		case isDigit(a):
			return width1
		}
	case letterExMinute:
		if upTo(a, '5') && isDigit(b) {
			return width2
		}
	case letterSecond:
		switch {
		case upTo(a, '5') && isDigit(b):
			return width21
		case a == '6' && upTo(b, '1'):
			return width12
		case isDigit(a):
			return width1
		}
	case letterExSecond:
		if upTo(a, '5') && isDigit(b) || a == '6' && upTo(b, '1') {
			return width2
		}
	case letterFraction:
		return matchFraction(line, pos)
	case letterHour, letterExHour, letterSpaceHour, letterExSpaceHour,
		letterHour12, letterSpaceHour12, letterExSpaceHour12:
		return l.matchHour(line, pos)
	case letterYday, letterWeek, letterWday0, letterWday1, letterISOWeek:
		return l.matchDayNumber(a, b, at(line, pos+2))
	case letterMon, letterMonthName, letterWday, letterWdayName, letterAMPM:
		return l.matchName(line, pos)
	case letterOffset, letterExOffset, letterZone, letterExZone:
		return l.matchZone(line, pos, fold)
	}
	return 0
}

// matchHour is match for the hours, of which some may begin with a space.
func (l dateLetter) matchHour(line []byte, pos int) widthList {
	var space widthList // what is to be added to each width
	a, b := at(line, pos), at(line, pos+1)
	if a == ' ' {
		switch l {
		case letterSpaceHour, letterExSpaceHour, letterSpaceHour12, letterExSpaceHour12:
			space, a, b = 1, b, at(line, pos+2)
		}
	}
	if !isDigit(a) {
		return 0
	}
	w := width1
	switch l {
	case letterHour, letterExSpaceHour:
		if a <= '1' && isDigit(b) {
			w = width21
		} else if a == '2' && upTo(b, '3') {
			w = width12
		}
	case letterExHour:
		if a <= '1' && isDigit(b) || a == '2' && upTo(b, '3') {
			return width2
		}
		return 0
	case letterSpaceHour: // up to 29: what no clock shows is found and cut out, but is no time
		if a <= '2' && isDigit(b) {
			w = width21
		}
	case letterHour12:
		switch {
		case a == '1' && upTo(b, '2'):
			w = width21
		case a == '0' && in(b, '1', '9'):
			return width2
		case a == '0':
			return 0
		}
	case letterSpaceHour12:
		if a == '1' && isDigit(b) {
			w = width21
		}
	case letterExSpaceHour12:
		if a == '1' && upTo(b, '2') {
			w = width21
		}
	}
	if w > 0xff {
		space |= space << 8
	}
	return w + space
}

func (l dateLetter) matchDayNumber(a, b, c byte) widthList {
	switch l {
	case letterWday0:
		if upTo(a, '6') {
			return width1
		}
		return 0
	case letterWday1:
		if in(a, '1', '7') {
			return width1
		}
		return 0
	case letterWeek, letterISOWeek:
		two := a == '5' && upTo(b, '3') || upTo(a, '4') && isDigit(b)
		if l == letterISOWeek && a == '0' && b == '0' {
			two = false
		}
		if two {
			return width21
		}
		if isDigit(a) {
			return width1
		}
		return 0
	}
	if !isDigit(a) { // %j: 1 to 366, with or without leading zeros
		return 0
	}
	var list widthList
	if a != '0' {
		list = width1
	}
	if isDigit(b) && (a != '0' || b != '0') {
		list = list<<8 | 2
	}
	if n := int(a-'0')*100 + int(b-'0')*10 + int(c-'0'); isDigit(b) && isDigit(c) && n >= 1 && n <= 366 {
		list = list<<8 | 3
	}
	return list
}

// matchFraction takes one to six digits, as many as there are.
func matchFraction(line []byte, pos int) (l widthList) {
	for n := 1; n <= 6 && isDigit(at(line, pos+n-1)); n++ {
		l = l<<8 | widthList(n)
	}
	return l
}
