package matchers

// readDate reads what a matcher has found. limit is the last second that a date without a year may stand for.
func readDate(slots *dateSlots, line []byte, limit int64) (f dateFields, ok bool) {
	text := func(s dateSlot) []byte {
		if slots[s][0] < 0 {
			return nil
		}
		return line[slots[s][0]:slots[s][1]]
	}
	if ok, done := absolute(&f, text); done {
		return f, ok
	}
	f.hour, f.minute, f.second = number(text(slotHour)), number(text(slotMinute)), number(text(slotSecond))
	f.nanos = nanos(text(slotFraction))
	if t := text(slotHour12); t != nil {
		if f.hour = number(t); f.hour == 12 {
			f.hour = 0
		}
		if half := text(slotAMPM); half != nil && half[0]|0x20 == 'p' {
			f.hour += 12
		}
	}
	if !f.valid() {
		return f, false
	}
	f.zone(text)
	if t := text(slotYear); t != nil {
		if f.year = number(t); f.year == 0 {
			return f, false
		}
	} else if t := text(slotYear2); t != nil {
		f.year = 2000 + number(t)
	}
	return f, f.calendar(text, limit)
}

// absolute reads dates that count seconds.
func absolute(f *dateFields, text func(dateSlot) []byte) (ok, done bool) {
	if t := text(slotEpoch); t != nil {
		return f.epoch(t, false), true
	}
	if t := text(slotLongEpoch); t != nil {
		return f.epoch(t, true), true
	}
	if t := text(slotTAI); t != nil {
		return f.tai(t), true
	}
	return false, false
}

// zone reads the zone that the date names. A name that is not known, such as a word that happens to stand before the
// date, counts as none.
func (f *dateFields) zone(text func(dateSlot) []byte) {
	t := text(slotOffset)
	if t == nil {
		t = text(slotZone)
	}
	if int(matchUTC(t, 0, true)) == len(t) {
		f.zoned = t != nil
		return
	}
	f.east, f.zoned = zones().seconds(t)
}

// calendar reads the day: by month and day, by the day of the year, or by week and weekday.
func (f *dateFields) calendar(text func(dateSlot) []byte, limit int64) bool {
	switch {
	case text(slotMonth) != nil:
		f.month = number(text(slotMonth))
	case text(slotMon) != nil:
		f.month = monthOf(text(slotMon), 0)
	case text(slotMonthName) != nil:
		f.month = monthOf(text(slotMonthName), 0)
	}
	f.day = number(text(slotDay))
	if f.month > 0 || f.day > 0 {
		return f.month > 0 && f.month <= 12 && f.day > 0
	}
	return f.byWeek(text, limit)
}

// byWeek reads a day by its number in the year or by its week, in the last year that does not put it behind limit if the date
// gives none.
func (f *dateFields) byWeek(text func(dateSlot) []byte, limit int64) bool {
	if f.year != 0 {
		days, ok := weekDay(text, f.year)
		f.setDay(days)
		return ok
	}
	year := yearOf(int(floorDay(limit) / 86400))
	days, ok := weekDay(text, year)
	if !ok {
		return true // the time of today
	}
	if int64(days)*86400+f.timeOfDay() > limit {
		days, _ = weekDay(text, year-1)
	}
	f.setDay(days)
	f.floats = true
	return true
}

// weekDay counts the days from 1970-01-01 to the day that the letters for weeks and days of a year name.
func weekDay(text func(dateSlot) []byte, year int) (days int, ok bool) {
	weekday := 0
	switch {
	case text(slotWday) != nil:
		weekday = weekdayOf(text(slotWday), 0)
	case text(slotWdayName) != nil:
		weekday = weekdayOf(text(slotWdayName), 0)
	case text(slotWday1) != nil:
		weekday = number(text(slotWday1))
	case text(slotWday0) != nil:
		weekday = mod7(number(text(slotWday0))+6) + 1
	}
	switch {
	case text(slotYday) != nil:
		return daysOf(year, 1, 1) + number(text(slotYday)) - 1, true
	case text(slotISOYear) != nil && text(slotISOWeek) != nil:
		return isoDays(number(text(slotISOYear)), number(text(slotISOWeek)), max(weekday, 1)), true
	case text(slotSundayWeek) != nil && weekday > 0:
		return weekDays(year, number(text(slotSundayWeek)), weekday, true), true
	case text(slotMondayWeek) != nil && weekday > 0:
		return weekDays(year, number(text(slotMondayWeek)), weekday, false), true
	}
	return 0, false
}

// setDay sets year, month and day.
func (f *dateFields) setDay(days int) {
	f.year = yearOf(days)
	rest := days - daysOf(f.year, 1, 1)
	for f.month = 1; rest >= monthDays(f.year, f.month); f.month++ {
		rest -= monthDays(f.year, f.month)
	}
	f.day = rest + 1
}

// epoch reads seconds since 1970 with a fraction; a long one of 13 or more bytes is in milliseconds, of 16 or more
// without a point in microseconds.
func (f *dateFields) epoch(t []byte, long bool) bool {
	f.absolute = true
	n, whole := int64(0), 0
	for whole < len(t) && t[whole] != '.' {
		n = n*10 + int64(t[whole]-'0')
		whole++
	}
	f.nanos = 0
	if whole < len(t) {
		f.nanos = nanos(t[whole+1:])
	}
	switch {
	case !long || len(t) < 13:
		f.unix = n
	case len(t) >= 16 && whole == len(t):
		f.unix, f.nanos = n/1e6, int(n%1e6)*1e3
	default:
		f.unix, f.nanos = n/1e3, int(n%1e3)*1e6+f.nanos/1e3
	}
	return true
}

// lastUnix is the end of the year 9999, behind which nothing is a date.
const lastUnix = 253402300799

// tai reads a TAI64N label, @ and 24 hexadecimal digits (https://cr.yp.to/libtai/tai64.html). As in fail2ban the seconds
// count as Unix ones, which is ten ahead of what daemontools means and more ahead of true TAI.
func (f *dateFields) tai(t []byte) bool {
	f.absolute = true
	var n [2]int64
	for i, c := range t[2:] {
		v := int64(c - '0')
		if c >= 'a' {
			v = int64(c-'a') + 10
		}
		if i < 15 {
			n[0] = n[0]<<4 | v
		} else {
			n[1] = n[1]<<4 | v
		}
	}
	f.unix = n[0]
	if n[1] < 1e9 {
		f.nanos = int(n[1])
	}
	return f.unix <= lastUnix
}
