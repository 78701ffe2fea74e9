package matchers

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// twinPatterns are the datepatterns whose dates a dateScan reads, alone and beside others.
var twinPatterns = [][]string{
	{},
	{`{^LN-BEG}`},
	{`^{DATE}`},
	{`^({DATE})`},
	{`^[^\[]*\[({DATE})`},
	{`^<\d+>\d+\s+{DATE}`},
	{`{^LN-BEG}TAI64N`, `{^LN-BEG}`},
	{`{^LN-BEG}%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`, `^[^\[]*\[({DATE})`, `{^LN-BEG}`},
	{`{^LN-BEG}(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?`, `{DEFAULT}`},
	{`^%ExY(?P<_sep>[-/.])%m(?P=_sep)%d[T ]%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`, `{^LN-BEG}`},
	{`{DEFAULT}`, `^x{DATE}`},
	{`{^LN-BEG}%b %d`, `{DEFAULT}`},
}

// twins read a line by position and by running the patterns' programs.
type twins struct{ fast, slow *Finder }

func newTwins(t testing.TB, patterns []string) twins {
	return twins{mustDates(t, berlin(t), patterns...).Finder(), slowDates(t, berlin(t), patterns...).Finder()}
}

// slowDates are Dates without fast twins.
func slowDates(t testing.TB, loc *time.Location, patterns ...string) *Dates {
	t.Helper()
	d, err := newDates(patterns, DateOptions{Location: loc}, true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.groups {
		d.groups[i].fast = nil
	}
	return d
}

// check reads line with both, and again by Time alone.
func (w twins) check(t testing.TB, patterns []string, line []byte, ref time.Time) {
	t.Helper()
	got, want := answer(w.fast, line, ref), answer(w.slow, line, ref)
	if got != want {
		t.Errorf("%q: %q\ngot  %s\nwant %s", patterns, line, got, want)
	}
	if again := answer(w.fast, line, ref); again != got {
		t.Errorf("%q: %q\nfirst %s\nagain %s", patterns, line, got, again)
	}
}

func answer(f *Finder, line []byte, ref time.Time) string {
	span, ok := f.Find(line)
	at, read := f.Time(line, span, ref)
	if !read {
		at = time.Time{}
	}
	return fmt.Sprint(span, ok, read, at)
}

// TestDatesTwin holds the readers by position against the patterns' programs, over lines that come one after another
// so that both learn.
func TestDatesTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	ref := time.Date(2005, 8, 14, 12, 0, 0, 0, time.UTC)
	for _, patterns := range twinPatterns {
		w, lines, last := newTwins(t, patterns), [5]string{}, ""
		for n := range several(6000) {
			line := dateish(r)
			switch r.IntN(8) {
			case 0:
				line = "<14>1 " + line
			case 1:
				line = "x [" + line
			case 2:
				line = lines[r.IntN(len(lines))] // so that what is kept is used
				if i := r.IntN(len(line) + 1); r.IntN(2) == 0 {
					line = line[:i] + string(rune('0'+r.IntN(10))) + line[min(i+1, len(line)):]
				}
			case 3:
				line = []string{"CET ", "x ", "from ", "Z "}[r.IntN(4)] + last
			}
			last, lines[n%len(lines)] = line, line
			w.check(t, patterns, []byte(line), ref)
		}
	}
}

// TestDatesTimeAlone holds that a finder that only reads dates, which others have found, says what one that has read none
// before does.
func TestDatesTimeAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	ref := time.Date(2005, 8, 14, 12, 0, 0, 0, time.UTC)
	for _, patterns := range twinPatterns {
		d := mustDates(t, berlin(t), patterns...)
		alone, lines := d.Finder(), [5]string{}
		for n := range several(3000) {
			line := dateish(r)
			if n > len(lines) && r.IntN(3) > 0 {
				line = lines[r.IntN(len(lines))]
				if i := r.IntN(len(line) + 1); r.IntN(2) == 0 {
					line = line[:i] + string(rune('0'+r.IntN(10))) + line[min(i+1, len(line)):]
				}
			}
			lines[n%len(lines)] = line
			span, ok := d.Finder().Find([]byte(line))
			if !ok {
				continue
			}
			got, gotOK := alone.Time([]byte(line), span, ref)
			want, wantOK := d.Finder().Time([]byte(line), span, ref)
			if gotOK != wantOK || gotOK && !got.Equal(want) {
				t.Errorf("%q: %q: got %v %v, want %v %v", patterns, line, got, gotOK, want, wantOK)
			}
		}
	}
}

// several is n, or a tenth of it in a short run.
func several(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// FuzzDatesTwin does so on any bytes, and then on the same line with one byte changed, so that what the first one left is used.
func FuzzDatesTwin(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		f.Add([]byte(dateish(r)), uint(r.IntN(30)), byte('0'+r.IntN(10)))
	}
	for _, c := range benchDates {
		f.Add([]byte(c.line), uint(r.IntN(30)), byte('0'+r.IntN(10)))
	}
	var all []twins
	for _, patterns := range twinPatterns {
		all = append(all, newTwins(f, patterns))
	}
	ref := time.Date(2005, 8, 14, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, line []byte, at uint, c byte) {
		next := bytes.Clone(line)
		if len(next) > 0 {
			next[at%uint(len(next))] = c
		}
		for i, w := range all {
			w.fast, w.slow = w.fast.dates.Finder(), w.slow.dates.Finder()
			w.check(t, twinPatterns[i], line, ref)
			w.check(t, twinPatterns[i], next, ref)
			w.check(t, twinPatterns[i], line, ref)
		}
	})
}

// FuzzDatesPattern compiles any pattern and searches with it: an error or an answer, soon.
func FuzzDatesPattern(f *testing.F) {
	for _, patterns := range filterPatterns {
		for _, p := range patterns {
			f.Add(p, []byte("2005-01-23 21:59:59 [23/Jan/2005:21:59:59 +0000] 21:59:59"))
		}
	}
	f.Add(`(a*)*(?:b+c?){3,5}[^x-z\d]|%H(?<!a|bc)`, []byte("aaaabbbbcccc"))
	ref := time.Date(2005, 8, 14, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, pattern string, line []byte) {
		d, err := NewDates([]string{pattern}, DateOptions{Location: time.UTC})
		if err != nil {
			return
		}
		finder := d.Finder()
		span, ok := finder.Find(line)
		if !ok {
			return
		}
		if span.Start < 0 || span.End < span.Start || span.End > len(line) {
			t.Fatalf("%q in %q: got %v", pattern, line, span)
		}
		finder.Time(line, span, ref)
	})
}
