package matchers

import (
	"fmt"
	"time"
)

// Dates finds and reads the dates of log lines, by the alternatives of one datepattern. It is immutable; workers
// search with a Finder each.
//
// Which date is taken. A line may hold several, and what stands further right is often written by the remote party. So the
// place decides: first comes what an alternative that is tied to the line's start or end finds, or any other at the line's
// first or second byte; otherwise the leftmost date is the line's. Where several alternatives fit at the
// same place, the one that this source's last line had is kept while it fits, else the first in order is taken. A source
// can thus change the reading of 02-03-2026 (it is month first after a 02-13-2026), but nothing that is
// written behind a date can take its place. (fail2ban also weighs how often each of its templates was
// used, and takes the last of them wherever it stands in the line.)
type Dates struct {
	programs []*dateProgram // nil where a fast twin stands for them
	names    []string       // of the programs: the alternative as it was written
	family   []int          // of the programs: the forms of one template have the same
	groups   []dateGroup
	loc      *time.Location
	ahead    int64 // DateOptions.Ahead in seconds
	textual  bool  // a date's text alone tells what it means: Finder may remember it
}

// DateOptions changes how dates are read.
type DateOptions struct {
	Location *time.Location // the zone of dates that name none; nil means time.Local

	// Ahead is how far after the reference a date without a year may lie before it is taken for one of a year ago; 0 means
	// 24 h, as in fail2ban: right where the reference is the clock. Where it is the time of the line before,
	// half a year is.
	Ahead time.Duration
}

// NewDates compiles a datepattern's alternatives: strptime letters in a regular expression of Python's kind, with
// fail2ban's words {^LN-BEG}, {DATE}, {DEFAULT}, {EPOCH}, {LEPOCH}, {UNB}, {NONE}, EPOCH, LEPOCH, TAI64N, and ** for an end that may lie
// inside a word. With no alternative the date is looked for in fail2ban's 17 default shapes.
// Back-references are taken to groups of single characters only, look-arounds to a few characters. An
// error names the alternative and the byte.
func NewDates(patterns []string, opts DateOptions) (*Dates, error) {
	return newDates(patterns, opts, false)
}

// newDates is NewDates. It compiles programs where they are run: for alternatives without a fast twin, or for all.
func newDates(patterns []string, opts DateOptions, all bool) (*Dates, error) {
	d := &Dates{loc: opts.Location}
	if d.loc == nil {
		d.loc = time.Local
	}
	if d.ahead = int64(opts.Ahead / time.Second); d.ahead <= 0 {
		d.ahead = 86400
	}
	list := expandTemplates(patterns)
	d.groups = list.groups
	d.programs = make([]*dateProgram, len(list.all))
	for _, g := range list.groups {
		for i := g.from; i < g.to; i++ {
			t := list.all[i]
			d.names, d.family = append(d.names, t.name), append(d.family, t.family)
			if g.fast != nil && !all {
				continue
			}
			var err error
			if d.programs[i], err = t.compile(); err != nil {
				return nil, fmt.Errorf("datepattern %q: %w", t.name, err)
			}
		}
	}
	d.textual = len(patterns) < 2
	return d, nil
}

// Finder returns a new Finder: one per worker and source.
func (d *Dates) Finder() *Finder {
	f := &Finder{dates: d, last: -1, clock: zoneClock{loc: d.loc}, now: zoneClock{loc: d.loc}}
	f.scans[0].memos, f.scans[1].memos = &f.memos, &f.memos
	return f
}
