package matchers

import (
	"slices"
	"sync"
	"sync/atomic"
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
	SlowFailed  atomic.Int64 // times that the slow path gave up on a line: no matches

	mu   sync.Mutex
	left []Note
}

// Left lists the rules that have gone to Go's regexp, since their automaton had too many states for the lines
// that came.
func (c *Counts) Left() []Note {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.left)
}

func (c *Counts) leave(notes []Note) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range notes {
		if !slices.Contains(c.left, n) {
			c.left = append(c.left, n)
		}
	}
}

// slowCounts is what a Matcher adds to Counts.
type slowCounts struct{ backtracked, confirmed, flushes, splits, gaveUp int }

// countSlow adds what a Matcher has done since it was last asked.
func (m *Match) countSlow(of *Matcher) {
	if of.slow == (slowCounts{}) && len(of.left) == 0 {
		return
	}
	s, left := of.slow, of.left
	of.slow, of.left = slowCounts{}, nil
	m.count(func(c *Counts) {
		c.Backtracked.Add(int64(s.backtracked))
		c.Confirmed.Add(int64(s.confirmed))
		c.Flushes.Add(int64(s.flushes))
		c.Splits.Add(int64(s.splits))
		c.SlowFailed.Add(int64(s.gaveUp))
		c.leave(left)
	})
}
