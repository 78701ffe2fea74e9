package matchers

import (
	"sync/atomic"

	"github.com/banpipe/banpipe/matchers/dfa"
)

// Counts is what Match has seen. Its fields may be read at any time.
type Counts struct {
	Lines    atomic.Int64 // judged
	Hits     atomic.Int64 // records that were left
	OddDates atomic.Int64 // hits whose date was more than 60 s off the clock, counted as now
	NoHost   atomic.Int64 // matches whose host is no address: no hits
	NotJSON  atomic.Int64 // lines that are no JSON object, by each idea of dates that wants one

	// What went another way than one pass over the line.
	Backtracked atomic.Int64 // rules that regexp2 was asked about, for what no automaton can do
	Confirmed   atomic.Int64 // rules that regexp was asked about, since their automaton had too many states
	Flushes     atomic.Int64 // caches of states that were full, and were emptied
	Splits      atomic.Int64 // sets of rules that had too many states together, and were split
	Alone       atomic.Int64 // rules that have left the sets for regexp, in each worker
	SlowFailed  atomic.Int64 // times that the slow path gave up on a line: no matches
}

// slowCounts is what a Matcher adds to Counts.
type slowCounts struct {
	backtracked, confirmed, flushes, gaveUp int
	splits, alone                           int
}

// scanned adds what a scanner has done between two moments.
func (s *slowCounts) scanned(before, after dfa.Stats) {
	s.flushes += after.Flushes - before.Flushes
	s.splits += after.Splits - before.Splits
	s.alone += after.Alone - before.Alone
}

// countSlow adds what m has done since it was last asked.
func (m *Match) countSlow(of *Matcher) {
	if of.slow == (slowCounts{}) {
		return
	}
	s := of.slow
	of.slow = slowCounts{}
	m.count(func(c *Counts) {
		c.Backtracked.Add(int64(s.backtracked))
		c.Confirmed.Add(int64(s.confirmed))
		c.Flushes.Add(int64(s.flushes))
		c.Splits.Add(int64(s.splits))
		c.Alone.Add(int64(s.alone))
		c.SlowFailed.Add(int64(s.gaveUp))
	})
}
