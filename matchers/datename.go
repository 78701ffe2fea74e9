package matchers

// The names are those of the C locale: a log that names its months in another language needs a datepattern
// with numbers. Case never matters.

func monthNames() [12]string {
	return [12]string{
		"january", "february", "march", "april", "may", "june", "july", "august", "september",
		"october", "november", "december",
	}
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

// A nameSlot holds a name and its number where the name's hash says; a number of 0 is a slot without a name.
type nameSlot struct{ name, number uint32 }

// The factors were found by trial: they give every name a slot of its own.
const (
	monthFactor   = 3241395385
	weekdayFactor = 1313756511
)

var monthSlots = [16]nameSlot{
	0:  {'n'<<16 | 'o'<<8 | 'v', 11},
	1:  {'j'<<16 | 'a'<<8 | 'n', 1},
	2:  {'j'<<16 | 'u'<<8 | 'n', 6},
	3:  {'a'<<16 | 'p'<<8 | 'r', 4},
	5:  {'s'<<16 | 'e'<<8 | 'p', 9},
	6:  {'m'<<16 | 'a'<<8 | 'r', 3},
	9:  {'j'<<16 | 'u'<<8 | 'l', 7},
	11: {'m'<<16 | 'a'<<8 | 'y', 5},
	12: {'f'<<16 | 'e'<<8 | 'b', 2},
	13: {'o'<<16 | 'c'<<8 | 't', 10},
	14: {'a'<<16 | 'u'<<8 | 'g', 8},
	15: {'d'<<16 | 'e'<<8 | 'c', 12},
}

var weekdaySlots = [8]nameSlot{
	0: {'f'<<16 | 'r'<<8 | 'i', 5},
	1: {'w'<<16 | 'e'<<8 | 'd', 3},
	2: {'t'<<16 | 'h'<<8 | 'u', 4},
	3: {'t'<<16 | 'u'<<8 | 'e', 2},
	4: {'s'<<16 | 'a'<<8 | 't', 6},
	6: {'s'<<16 | 'u'<<8 | 'n', 7},
	7: {'m'<<16 | 'o'<<8 | 'n', 1},
}

// monthOf is 1 to 12 for the month whose first three letters begin at pos, else 0.
func monthOf(line []byte, pos int) int {
	n := name3(line, pos)
	if slot := &monthSlots[n*monthFactor>>28]; slot.name == n {
		return int(slot.number)
	}
	return 0
}

// weekdayOf is 1 (Monday) to 7 (Sunday) for the day whose first three letters begin at pos, else 0.
func weekdayOf(line []byte, pos int) int {
	n := name3(line, pos)
	if slot := &weekdaySlots[n*weekdayFactor>>29]; slot.name == n {
		return int(slot.number)
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
