package matchers

// The names are those of the C locale: a log that names its months in another language needs a datepattern
// with numbers. Case never matters.

func monthNames() [12]string {
	return [12]string{"january", "february", "march", "april", "may", "june", "july", "august", "september",
		"october", "november", "december"}
}

func weekdayNames() [7]string {
	return [7]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
}

// name3 packs three letters in lower case; other bytes give something that equals no name.
func name3(line []byte, pos int) uint32 {
	if pos+3 > len(line) {
		return 0
	}
	return uint32(line[pos]|0x20)<<16 | uint32(line[pos+1]|0x20)<<8 | uint32(line[pos+2]|0x20)
}

// monthOf is 1 to 12 for the month whose first three letters begin at pos, else 0.
func monthOf(line []byte, pos int) int {
	switch name3(line, pos) {
	case 'j'<<16 | 'a'<<8 | 'n':
		return 1
	case 'f'<<16 | 'e'<<8 | 'b':
		return 2
	case 'm'<<16 | 'a'<<8 | 'r':
		return 3
	case 'a'<<16 | 'p'<<8 | 'r':
		return 4
	case 'm'<<16 | 'a'<<8 | 'y':
		return 5
	case 'j'<<16 | 'u'<<8 | 'n':
		return 6
	case 'j'<<16 | 'u'<<8 | 'l':
		return 7
	case 'a'<<16 | 'u'<<8 | 'g':
		return 8
	case 's'<<16 | 'e'<<8 | 'p':
		return 9
	case 'o'<<16 | 'c'<<8 | 't':
		return 10
	case 'n'<<16 | 'o'<<8 | 'v':
		return 11
	case 'd'<<16 | 'e'<<8 | 'c':
		return 12
	}
	return 0
}

// weekdayOf is 1 (Monday) to 7 (Sunday) for the day whose first three letters begin at pos, else 0.
func weekdayOf(line []byte, pos int) int {
	switch name3(line, pos) {
	case 'm'<<16 | 'o'<<8 | 'n':
		return 1
	case 't'<<16 | 'u'<<8 | 'e':
		return 2
	case 'w'<<16 | 'e'<<8 | 'd':
		return 3
	case 't'<<16 | 'h'<<8 | 'u':
		return 4
	case 'f'<<16 | 'r'<<8 | 'i':
		return 5
	case 's'<<16 | 'a'<<8 | 't':
		return 6
	case 's'<<16 | 'u'<<8 | 'n':
		return 7
	}
	return 0
}

// matchName is match for letters that stand for words.
func (l dateLetter) matchName(line []byte, pos int) widthList {
	switch l {
	case letterAMPM:
		if a := at(line, pos) | 0x20; (a == 'a' || a == 'p') && at(line, pos+1)|0x20 == 'm' {
			return width2
		}
	case letterMon:
		if monthOf(line, pos) > 0 {
			return width3
		}
	case letterWday:
		if weekdayOf(line, pos) > 0 {
			return width3
		}
	case letterMonthName:
		if m := monthOf(line, pos); m > 0 {
			return foldWidth(line, pos, monthNames()[m-1])
		}
	case letterWdayName:
		if d := weekdayOf(line, pos); d > 0 {
			return foldWidth(line, pos, weekdayNames()[d-1])
		}
	}
	return 0
}

// foldWidth is the length of word if it stands at pos, in any case.
func foldWidth(line []byte, pos int, word string) widthList {
	for i := range len(word) {
		if at(line, pos+i)|0x20 != word[i] {
			return 0
		}
	}
	return widthList(len(word))
}
