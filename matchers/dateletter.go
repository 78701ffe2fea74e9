package matchers

// A dateSlot names a part of a date that a pattern can hold: one per strptime letter with a meaning of its own.
// Slots are also the group names by which a pattern can spell a letter out: (?P<Y>\d{4}).
type dateSlot uint8

const (
	slotCut   dateSlot = iota // group 1 of the pattern: the bytes that are cut out of the line
	slotYear                  // Y
	slotYear2                 // y
	slotMonth                 // m
	slotMon                   // b
	slotMonthName
	slotDay // d
	slotHour
	slotHour12
	slotMinute
	slotSecond
	slotFraction
	slotAMPM
	slotWday // a
	slotWdayName
	slotYday       // j
	slotSundayWeek // U
	slotMondayWeek // W
	slotWday0      // w, Sunday is 0
	slotWday1      // u, Monday is 1
	slotISOWeek    // V
	slotISOYear    // G
	slotOffset     // z
	slotZone       // Z
	slotEpoch
	slotLongEpoch
	slotTAI
	slotCount
)

// A dateLetter is one strptime letter as a pattern spells it. Widths differ from slot to slot, and between
// %H and %ExH: the Ex letters insist on all digits.
type dateLetter uint8

const (
	letterYear dateLetter = iota
	letterExYear
	letterYear2
	letterMonth
	letterExMonth
	letterMon
	letterMonthName
	letterDay
	letterExDay
	letterHour
	letterExHour
	letterSpaceHour
	letterExSpaceHour
	letterHour12
	letterSpaceHour12
	letterExSpaceHour12
	letterMinute
	letterExMinute
	letterSecond
	letterExSecond
	letterFraction
	letterAMPM
	letterWday
	letterWdayName
	letterYday
	letterWeek
	letterWday0
	letterWday1
	letterISOWeek
	letterOffset
	letterExOffset
	letterZone
	letterExZone
	letterNone
)

// dateLetterOf maps what follows a % to the letter and the part of the date that it fills. The words are those of
// strptime(3) and fail2ban's own (%k and %l may have a leading space, %Ex… are exact).
func dateLetterOf(word string) (dateLetter, dateSlot) {
	switch word {
	case "Y":
		return letterYear, slotYear
	case "ExY":
		return letterExYear, slotYear
	case "y", "Exy":
		return letterYear2, slotYear2
	case "m":
		return letterMonth, slotMonth
	case "Exm":
		return letterExMonth, slotMonth
	case "b":
		return letterMon, slotMon
	case "B":
		return letterMonthName, slotMonthName
	case "d":
		return letterDay, slotDay
	case "Exd":
		return letterExDay, slotDay
	case "H":
		return letterHour, slotHour
	case "ExH":
		return letterExHour, slotHour
	case "k":
		return letterSpaceHour, slotHour
	case "Exk":
		return letterExSpaceHour, slotHour
	case "I":
		return letterHour12, slotHour12
	case "l":
		return letterSpaceHour12, slotHour12
	case "Exl":
		return letterExSpaceHour12, slotHour12
	case "M":
		return letterMinute, slotMinute
	case "ExM":
		return letterExMinute, slotMinute
	case "S":
		return letterSecond, slotSecond
	case "ExS":
		return letterExSecond, slotSecond
	case "f":
		return letterFraction, slotFraction
	case "p":
		return letterAMPM, slotAMPM
	case "a":
		return letterWday, slotWday
	case "A":
		return letterWdayName, slotWdayName
	case "j":
		return letterYday, slotYday
	case "U":
		return letterWeek, slotSundayWeek
	case "W":
		return letterWeek, slotMondayWeek
	case "w":
		return letterWday0, slotWday0
	case "u":
		return letterWday1, slotWday1
	case "V":
		return letterISOWeek, slotISOWeek
	case "G":
		return letterYear, slotISOYear
	case "z":
		return letterOffset, slotOffset
	case "Exz":
		return letterExOffset, slotOffset
	case "Z":
		return letterZone, slotZone
	case "ExZ":
		return letterExZone, slotZone
	}
	return letterNone, slotCount
}
