package matchers

// dateFields is what a date says, in numbers. It is filled by the reader of a format and turned into a time by
// Finder.resolve.
type dateFields struct {
	year, month, day     int // year 0: not given; month 0: no day either
	hour, minute, second int
	nanos                int
	east                 int   // seconds east of UTC, if zoned
	unix                 int64 // if absolute: everything
	zoned, absolute      bool
	floats               bool // the year was taken from the reference
}

// aheadToday is how far ahead of the reference a time without a day may lie.
const aheadToday = 60

// daysOf counts the days from 1970-01-01 to a day of the Gregorian calendar.
func daysOf(year, month, day int) int {
	if month <= 2 { // the year begins in March, so that 29 February is its last day
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 719469
}

// yearOf is the year of a day counted from 1970-01-01.
func yearOf(days int) int {
	y := 1970 + int(float64(days)/365.2425)
	for daysOf(y, 1, 1) > days {
		y--
	}
	for daysOf(y+1, 1, 1) <= days {
		y++
	}
	return y
}

func leap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func monthDays(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if leap(year) {
			return 29
		}
		return 28
	}
	return 31
}

// valid says that a clock can show the time; 60 seconds are a leap second's.
func (f *dateFields) valid() bool {
	return uint(f.hour) < 24 && uint(f.minute) < 60 && uint(f.second) <= 60
}

// timeOfDay is it in seconds.
func (f *dateFields) timeOfDay() int64 { return int64(f.hour*3600 + f.minute*60 + f.second) }

// local is the date in seconds since 1970 by the clock that wrote it. The reference is ref by that same clock, and
// a date without a year lies at most ahead seconds behind it.
func (f *dateFields) local(ref, ahead int64) (sec int64, ok bool) {
	switch {
	case f.month == 0:
		limit := ref + aheadToday
		sec = floorDay(limit) + f.timeOfDay()
		if sec > limit {
			sec -= 86400
		}
		return sec, true
	case f.year != 0:
		if f.day < 1 || f.day > monthDays(f.year, f.month) {
			return 0, false
		}
		return int64(daysOf(f.year, f.month, f.day))*86400 + f.timeOfDay(), true
	}
	limit := ref + ahead
	year := yearOf(int(floorDay(limit) / 86400))
	for range 9 { // 29 February may be eight years ago
		if f.day >= 1 && f.day <= monthDays(year, f.month) {
			sec = int64(daysOf(year, f.month, f.day))*86400 + f.timeOfDay()
			if sec <= limit {
				return sec, true
			}
		}
		year--
	}
	return 0, false
}

// floorDay is the last midnight.
func floorDay(sec int64) int64 {
	day := sec % 86400
	if day < 0 {
		day += 86400
	}
	return sec - day
}

// number reads digits, as many as there are in text; spaces before them do not count.
func number(text []byte) (n int) {
	for _, c := range text {
		if isDigit(c) {
			n = n*10 + int(c-'0')
		}
	}
	return n
}

// nanos reads the digits behind a decimal point, of which nine count.
func nanos(text []byte) (n int) {
	for i := range 9 {
		n *= 10
		if i < len(text) {
			n += int(text[i] - '0')
		}
	}
	return n
}

// weekDays counts the days from 1970-01-01 to a weekday (1 is Monday) of a week, as strftime(3) numbers them: %U
// weeks begin on the first Sunday of the year, %W weeks on its first Monday, what is before is week 0.
func weekDays(year, week, weekday int, sunday bool) int {
	jan1 := daysOf(year, 1, 1)
	first, day := mod7(jan1+3), weekday-1 // both 0 on Monday; 1970-01-01 was a Thursday
	if sunday {
		first, day = mod7(first+1), mod7(day+1)
	}
	if week == 0 {
		return jan1 + day - first
	}
	return jan1 + mod7(7-first) + 7*(week-1) + day
}

// isoDays is weekDays by ISO 8601: week 1 is the one with 4 January in it.
func isoDays(year, week, weekday int) int {
	jan4 := daysOf(year, 1, 4)
	return jan4 - mod7(jan4+3) + 7*(week-1) + weekday - 1
}

func mod7(n int) int { return ((n % 7) + 7) % 7 }

// longFraction reads what may stand behind the seconds, which end at bare: a fraction of seven to nine digits is not cut
// out of the line, as in fail2ban, but it and the zone behind it count.
func (s *dateScan) longFraction(line []byte) bool {
	p := s.bare
	n := p + 1
	for n < len(line) && isDigit(line[n]) {
		n++
	}
	if c := at(line, p); c != '.' && c != ',' || n-p < 8 || n-p > 10 {
		return false
	}
	s.nanos = nanos(line[p+1 : n])
	s.zoneBehind(line, n)
	return true
}

// bare is the place behind the seconds of a date that the program found without a fraction and a zone, though it
// allows for them there; else 0.
func (p *dateProgram) bare(slots *dateSlots) int {
	if !p.nanos || slots[slotFraction][0] >= 0 || slots[slotOffset][0] >= 0 || slots[slotSecond][0] < 0 {
		return 0
	}
	return int(slots[slotSecond][1])
}
