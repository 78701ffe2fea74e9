package matchers

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// zoneHours lists the abbreviations that a date may carry, by hours east of UTC, as fail2ban reads them. They are
// fixed offsets: CET is +1 in July too. Several are used for more than one zone; a log whose zone is
// another one of the same name needs numbers.
const zoneHours = `
-12 Y
-11 X NUT SST
-10 W CKT HAST HST TAHT TKT
-9.5 MART MIT
-9 V AKST GAMT GIT HADT HNY
-8 U AKDT CIST HAY HNP PST PT
-7 T HAP HNR MST PDT
-6 S CST EAST GALT HAR HNC MDT
-5 R CDT COT EASST ECT EST ET HAC HNE PET
-4.5 HLV VET
-4 Q AST BOT CLT COST EDT FKT GYT HAE HNA PYT
-3.5 HNT NST NT
-3 P ADT ART BRT CLST FKST GFT HAA PMST PYST SRT UYT WGT
-2.5 HAT NDT
-2 O BRST FNT PMDT UYST WGST
-1 N AZOT CVT EGT
0 Z EGST GMT UTC WET WT
1 A CET DFT WAT WEDT WEST
2 B CAT CEDT CEST EET SAST WAST
3 C EAT EEDT EEST IDT MSK
3.5 IRST
4 D AMT AZT GET GST KUYT MSD MUT RET SAMT SCT
4.5 AFT IRDT
5 E AMST AQTT AZST HMT MAWT MVT PKT TFT TJT TMT UZT YEKT
5.5 SLT
5.75 NPT
6 F ALMT BIOT BTT IOT KGT NOVT OMST YEKST
6.5 CCT MMT
7 G CXT DAVT HOVT ICT KRAT NOVST OMSST THA WIB
8 H ACT AWST BDT BNT CAST HKT IRKT KRAST MYT PHT SGT ULAT WITA WST
9 I AWDT IRKST JST KST PWT TLT WDT WIT YAKT
9.5 ACST
10 K AEST ChST PGT VLAT YAKST YAPT
10.5 ACDT LHST
11 L AEDT LHDT MAGT NCT PONT SBT VLAST VUT
11.5 NFT
12 M ANAST ANAT FJT GILT MAGST MHT NZST PETST PETT TVT WFT
13 FJST NZDT
`

// A zoneTable is zoneHours in seconds.
type zoneTable map[string]int

// zones is the table, built when it is first needed and then only read.
var zones = sync.OnceValue(newZoneTable)

func newZoneTable() zoneTable {
	t := zoneTable{}
	for row := range strings.Lines(zoneHours) {
		words := strings.Fields(row)
		if len(words) == 0 {
			continue
		}
		hours, err := strconv.ParseFloat(words[0], 64)
		if err != nil {
			panic(err) // the table above is wrong
		}
		for _, name := range words[1:] {
			t[name] = int(hours * 3600)
		}
	}
	return t
}

// seconds reads what a %z, %Z or one of their Ex forms took: a name, an offset, or a name and an offset,
// which add up. A name in lower case or one that is not known gives false.
func (t zoneTable) seconds(text []byte) (east int, ok bool) {
	n := 0
	for n < len(text) && text[n] != '+' && text[n] != '-' {
		n++
	}
	if n > 0 {
		if east, ok = t[string(text[:n])]; !ok {
			return 0, false
		}
	}
	return east + offsetSeconds(text[n:]), true
}

// offsetSeconds reads +hh, +hhmm or +hh:mm; nothing is 0.
func offsetSeconds(text []byte) int {
	if len(text) < 3 {
		return 0
	}
	s := number(text[1:3]) * 3600
	if len(text) >= 5 {
		s += number(text[len(text)-2:]) * 60
	}
	if text[0] == '-' {
		return -s
	}
	return s
}

// DateZone reads a logtimezone: an offset with or without a name before it ("UTC+0300", "-04:30", "CEST"), as
// fail2ban takes them, or a name from the time zone database ("Europe/Berlin"). Abbreviations are fixed offsets
// and come first, so "EST" is no name of the database here.
func DateZone(name string) (*time.Location, error) {
	text := []byte(name)
	if w := letterExOffset.match(text, 0, false); len(text) > 0 && int(w&0xff) == len(text) {
		if east, ok := zones().seconds(text); ok {
			return time.FixedZone(name, east), nil
		}
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" {
		return nil, fmt.Errorf("unknown time zone %q", name)
	}
	return loc, nil
}

// matchZone is match for zones: %z takes Z, UTC, GMT or an offset, %Z a word of three to five capitals (or Z).
func (l dateLetter) matchZone(line []byte, pos int, fold bool) widthList {
	letters := 0 // as many as could belong to a zone's name
	for letters < 5 && isUpper(at(line, pos+letters), fold) {
		letters++
	}
	switch l {
	case letterOffset:
		if w := matchUTC(line, pos, fold); w != 0 {
			return w
		}
		return matchOffset(line, pos)
	case letterZone:
		w := nameWidths(letters) &^ 0 // three to five
		if at(line, pos) == 'Z' || fold && at(line, pos) == 'z' {
			return w<<8 | 1
		}
		return w
	case letterExZone:
		return withOne(nameWidths(letters), letters)
	}
	// %Exz: a name and an offset, an offset, or a name
	names := withOne(nameWidths(letters), letters)
	var both widthList
	if letters == 0 || letters == 1 || letters >= 3 {
		if both = matchOffset(line, pos+letters); both != 0 {
			both += widthList(letters) * 0x0101 & (0xff | spread(both))
		}
	}
	if both == 0 {
		return names
	}
	if both > 0xff {
		return names<<16 | both
	}
	return names<<8 | both
}

// spread is 0xff00 for a list of two.
func spread(l widthList) widthList {
	if l > 0xff {
		return 0xff00
	}
	return 0
}

func isUpper(c byte, fold bool) bool { return in(c, 'A', 'Z') || fold && in(c, 'a', 'z') }

// nameWidths lists n down to 3, the widths of a zone's name when n letters stand there.
func nameWidths(n int) (l widthList) {
	for i := 3; i <= n; i++ {
		l = l<<8 | widthList(i)
	}
	return l
}

// withOne adds the width 1 behind the others.
func withOne(l widthList, letters int) widthList {
	if letters == 0 {
		return l
	}
	shift := 0
	for l>>shift != 0 {
		shift += 8
	}
	return l | 1<<shift
}

func matchUTC(line []byte, pos int, fold bool) widthList {
	a := at(line, pos)
	if a == 'Z' || fold && a == 'z' {
		return width1
	}
	if pos+3 > len(line) {
		return 0
	}
	switch n := name3(line, pos); {
	case n != 'u'<<16|'t'<<8|'c' && n != 'g'<<16|'m'<<8|'t':
		return 0
	case fold || in(a, 'A', 'Z') && in(line[pos+1], 'A', 'Z') && in(line[pos+2], 'A', 'Z'):
		return width3
	}
	return 0
}

// matchOffset takes +hh:mm or +hhmm, else +hh; hours go up to 19.
func matchOffset(line []byte, pos int) widthList {
	if c := at(line, pos); c != '+' && c != '-' || !upTo(at(line, pos+1), '1') || !isDigit(at(line, pos+2)) {
		return 0
	}
	switch {
	case at(line, pos+3) == ':' && isDigit(at(line, pos+4)) && isDigit(at(line, pos+5)):
		return 6 | 3<<8
	case isDigit(at(line, pos+3)) && isDigit(at(line, pos+4)):
		return 5 | 3<<8
	}
	return width3
}
