package matchers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const (
	fail2banPython = "/usr/bin/python3"
	fail2banLogs   = "/usr/lib/python3/dist-packages/fail2ban/tests/files/logs"
)

// fail2banScript finds and reads dates with fail2ban's own detector: one for all lines of a case, or a new one for each.
const fail2banScript = `
import json, os, sys, time, logging
logging.disable(logging.CRITICAL)
os.environ['TZ'] = 'Europe/Zurich'
time.tzset()
from fail2ban.server.datedetector import DateDetector
from fail2ban.server.mytime import MyTime
MyTime.setTime(1124013600)
def detector(patterns):
    d = DateDetector()
    for p in patterns: d.appendTemplate(p)
    return d
def answer(d, line):
    m, t = d.matchTime(line)
    if not m: return None
    s, e = m.start(1), m.end(1)
    when = None
    try:
        g = d.getTime(line, (m, t))
        if g: when = int(g[0])
    except Exception: pass
    return [len(line[:s].encode()), len(line[:e].encode()), when]
out = []
for case in json.load(sys.stdin):
    d = detector(case['patterns'])
    row = []
    for line in case['lines']:
        if case['fresh']: d = detector(case['patterns'])
        row.append(answer(d, line))
    out.append(row)
json.dump(out, sys.stdout)
`

type fail2banCase struct {
	Patterns []string `json:"patterns"`
	Lines    []string `json:"lines"`
	Fresh    bool     `json:"fresh"` // each line alone
}

// fail2banDates asks fail2ban. An answer is empty (no date) or the date's begin, its end and its time, if it has one.
func fail2banDates(t *testing.T, cases []fail2banCase) [][][]*int64 {
	t.Helper()
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(fail2banPython, "-c", fail2banScript)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers [][][]*int64
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

// dateCorpus reads fail2ban's sample logs, by file.
func dateCorpus(t *testing.T) map[string][]string {
	t.Helper()
	if err := exec.Command(fail2banPython, "-c", "import fail2ban.server.datedetector").Run(); err != nil {
		t.Skip("fail2ban is not installed")
	}
	files := map[string][]string{}
	err := filepath.Walk(fail2banLogs, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for line := range strings.Lines(string(data)) {
			line = strings.TrimRight(line, "\r\n")
			if line != "" && !strings.HasPrefix(line, "# ") && utf8.ValidString(line) {
				files[path] = append(files[path], line)
			}
		}
		return err
	})
	if err != nil {
		t.Skip("fail2ban's sample logs are not installed")
	}
	return files
}

// agreeDates compares our answers with fail2ban's. known says why one may differ.
func agreeDates(t *testing.T, cases []fail2banCase, known func(pattern []string, line, got, want string) bool) {
	t.Helper()
	zurich, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Fatal(err)
	}
	answers := fail2banDates(t, cases)
	ref := time.Unix(1124013600, 0)
	n, dated, read, differ := 0, 0, 0, 0
	for i, c := range cases {
		d := mustDates(t, zurich, c.Patterns...)
		f := d.Finder()
		for j, line := range c.Lines {
			if c.Fresh {
				f = d.Finder()
			}
			got := describeDate(f, line, ref)
			want := "no date"
			if a := answers[i][j]; a != nil {
				want = fmt.Sprintf("%q", line[*a[0]:*a[1]])
				switch {
				case *a[0] == *a[1]:
					want += " now"
					dated++
				case a[2] != nil:
					dated, read = dated+1, read+1
					want += fmt.Sprint(" ", *a[2])
				default:
					want += " unreadable"
				}
			}
			n++
			if got != want && (known == nil || !known(c.Patterns, line, got, want)) {
				if differ++; differ < 40 {
					t.Errorf("%q: %s\ngot  %s\nwant %s", c.Patterns, line, got, want)
				}
			}
		}
	}
	t.Logf("%d lines, %d with a date, %d that can be read; %d differ", n, dated, read, differ)
}

func describeDate(f *Finder, line string, ref time.Time) string {
	span, ok := f.Find([]byte(line))
	if !ok {
		return "no date"
	}
	text := fmt.Sprintf("%q", line[span.Start:span.End])
	at, ok := f.Time([]byte(line), span, ref)
	switch {
	case !ok:
		return text + " unreadable"
	case span.Len() == 0:
		return text + " now"
	}
	return text + fmt.Sprint(" ", at.Unix())
}

// filterPatterns are the datepatterns of fail2ban's filters, as they are after interpolation.
var filterPatterns = [][]string{
	{},
	{`{^LN-BEG}`},
	{`{^LN-BEG}Epoch`},
	{`{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`, `^[^\[]*\[({DATE})`, `{^LN-BEG}`},
	{`^[^\[]*\[({DATE})`, `{^LN-BEG}`},
	{`{^LN-BEG}TAI64N`, `{^LN-BEG}`},
	{`^{DATE}`},
	{`^[^\[]*(\[{DATE}\s*\])`, `{^LN-BEG}`},
	{`^[^-]+ -- [^-]+ -- - ({DATE})`, `{^LN-BEG}`},
	{`^<co ts="{DATE}"\s+`},
	{`^<\d+>\d+\s+{DATE}`},
	{`^<W>{DATE}`},
	{`^t=%Y-%m-%dT%H:%M:%S%z`},
	{`^\[%d/%b/%Y %H:%M:%S\]`},
	{`^L %d/%m/%Y - %H:%M:%S`},
	{`^(?:=[^=]+={3,} )?(%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?)`, `^I\(()**`},
	{`^(?:%Y-)?%m-%d[ T]%H:%M:%S(?:\.%f)?`, `{^LN-BEG}`},
	{`^%m/%d/%Y %H:%M:%S`},
	{`^%b %d, %ExY %I:%M:%S %p`, `^WARNING:()**`, `{^LN-BEG}`},
	{`^%Y:%m:%d-%H:%M:%S`},
	{`^%Y-%m-%d %H:%M:%S`},
	{`^%H:%M:%S.%f`},
	{`EPOCH`},
	{`LEPOCH`},
	{`%d/%b[^/]*/%Y:%H:%M:%S %z`},
	{`{^LN-BEG}%b-%d-%Exy %H:%M:%S`, `{^LN-BEG}`},
	{`{^LN-BEG}(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?`},
	{`{NONE}`},
	{`%Y-%m-%d`},
	{`%H:%M:%S`},
	{`{UNB}%H:%M:%S`},
	{`(?i:on )?%d (%b)(?:ember)?[ ,]+(?!x)%Y\b`},
	{`(?<!\d)%H(?P<x>[:.])%M(?P=x)%S(?= \S|$)`},
}

// TestDatesFail2banLines holds every sample line, alone, against fail2ban's detector, for every datepattern
// of its filters.
func TestDatesFail2banLines(t *testing.T) {
	seen := map[string]bool{}
	var lines []string
	for _, file := range dateCorpus(t) {
		for _, line := range file {
			if !seen[line] {
				seen[line] = true
				lines = append(lines, line)
			}
		}
	}
	var cases []fail2banCase
	for _, p := range filterPatterns {
		cases = append(cases, fail2banCase{Patterns: p, Lines: lines, Fresh: true})
	}
	agreeDates(t, cases, nil)
}

// TestDatesFail2banFiles reads each sample file line by line with one detector, which learns, against one Finder.
func TestDatesFail2banFiles(t *testing.T) {
	var cases []fail2banCase
	for _, file := range dateCorpus(t) {
		cases = append(cases, fail2banCase{Patterns: []string{}, Lines: file})
	}
	agreeDates(t, cases, nil)
}

// dateish writes lines full of dates and of what is nearly one.
func dateish(r *rand.Rand) string {
	pieces := []string{
		"2005-01-23 21:59:59", "2005/01/23T21:59:59.123", "2005.01.23  1:59:59,5 Z", "2005-01-23 21:59:59 +0100", "Jan 23 21:59:59",
		"Sun Jan 23 21:59:59 2005", "Jan  3  1:59:59.25", "Sun Jan 23 2005 21:59:59", "23/01/2005 21:59:59", "3/1/05  1:59:59",
		"23/Jan/2005:21:59:59 -0000", " 3/Jan/2005 21:59:59", "01/23/2005:21:59:59", "01-23-2005 21:59:59.252", "02-03-2005 21:59:59.252",
		"1106513999", "[1106513999.123]", "audit(1106513999.123:98)", "21:59:59", "<01/23/05@21:59:59>", "050123 21:59:59",
		"Jan 23, 2005 9:59:59 PM", "Jan-23-05 21:59:59", "20050123T215959", "20050123215959.12+01:00", "CET Jan 23 21:59:59",
		"+01:00 Jan 23 21:59:59 2005", "@4000000041f4104f00000000", "192.0.2.1", "[", "]", " ", "  ", "-", "x", "é", "“", "_", ":", ".", "1", "0", "9", "sshd",
	}
	s := ""
	for range 1 + r.IntN(4) {
		s += pieces[r.IntN(len(pieces))]
		if r.IntN(2) == 0 {
			s += " "
		}
	}
	line := []rune(s)
	for range r.IntN(3) {
		i := r.IntN(len(line))
		switch r.IntN(3) {
		case 0:
			line = append(line[:i], line[i+1:]...)
		case 1:
			line[i] = []rune("0123456789 :-./TZ+x")[r.IntN(19)]
		default:
			line = append(line[:i:i], append([]rune{[]rune("0123456789 :-./TZ+x")[r.IntN(19)]}, line[i:]...)...)
		}
		if len(line) == 0 {
			return "x"
		}
	}
	return string(line)
}

// laterYear is a year that we take for one and fail2ban does not: its %ExY ends three years from now.
var laterYear = regexp.MustCompile(`20[3-9]\d`)

// longFraction is one of nanoseconds, behind which we read the zone.
var longFraction = regexp.MustCompile(`[.,]\d{7,9}\s*[-+UGZ]`)

// lastWins is fail2ban's habit of taking the last of its templates wherever it stands in the line: a TAI64N label that
// somebody wrote into a message takes the place of the date.
func lastWins(got, want string) bool {
	return strings.HasPrefix(want, `"@`) && got != "no date" && !strings.HasPrefix(got, `"@`)
}

// farTAI is a label behind the year 9999.
func farTAI(got string) bool {
	return strings.HasPrefix(got, `"@`) && strings.HasSuffix(got, "unreadable")
}

// TestDatesFail2banMutants holds lines that are nothing but dates and near misses against fail2ban's detector.
func TestDatesFail2banMutants(t *testing.T) {
	dateCorpus(t)
	r := rand.New(rand.NewPCG(1, 2))
	lines := make([]string, several(4000))
	for i := range lines {
		lines[i] = dateish(r)
	}
	agreeDates(t, []fail2banCase{
		{Patterns: []string{}, Lines: lines, Fresh: true},
		{Patterns: []string{`{^LN-BEG}`}, Lines: lines, Fresh: true},
		{Patterns: []string{`^[^\[]*\[({DATE})`}, Lines: lines, Fresh: true},
		{Patterns: []string{`^{DATE}`}, Lines: lines, Fresh: true},
		{Patterns: []string{`LEPOCH`}, Lines: lines, Fresh: true},
		{Patterns: []string{`%Y%m%d %k%M%S`}, Lines: lines, Fresh: true},
		{Patterns: []string{`%d%m%y %l%M%S`}, Lines: lines, Fresh: true},
	}, func(_ []string, line, got, want string) bool {
		return laterYear.MatchString(line) || longFraction.MatchString(line) || lastWins(got, want) || farTAI(got) ||
			strings.HasSuffix(want, "unreadable") && strings.HasPrefix(got, strings.TrimSuffix(want, "unreadable"))
	})
}

// TestDatesFail2banZones holds the table of abbreviations against fail2ban's.
func TestDatesFail2banZones(t *testing.T) {
	dateCorpus(t)
	out, err := exec.Command(fail2banPython, "-c",
		"import json; from fail2ban.server.strptime import TZ_ABBR_OFFS as z; print(json.dumps({k: v*60 for k, v in z.items() if k}))").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := zoneTable{}
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	delete(want, "null")
	if got := newZoneTable(); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
