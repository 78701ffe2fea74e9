package pipeline

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// Stats are what a pipeline counts while it runs. They may be read at any time, in a time that does not depend on how
// many bans and addresses there are. The zero value is ready to use; one that is given to several pipelines, one
// after the other, goes on counting.
type Stats struct {
	mu      sync.Mutex
	sources map[string]*sourceCount
	jails   map[string]*jailCount
	watch   hub
}

// SourceStats is what came from one Batch.Source.
type SourceStats struct {
	Source   string
	Lines    uint64
	Rate     float64   // lines per second, over the last 10 s
	LastLine string    // hostile bytes, at most 256 of them
	LastRead time.Time // when it was read; zero: no line yet
	AtEnd    time.Time // when the source was last at its end; zero where it cannot say, or has not been yet
	Error    string    // why it cannot be read now; "" if it can
}

// JailStats is what one jail has done.
type JailStats struct {
	Jail    string
	Tracked int       // addresses that have offences in the window
	Hits    uint64    // offences so far
	Live    int       // live bans
	Bans    uint64    // bans so far, without those of earlier runs
	LastHit time.Time // when the last offence was worked off
}

// SinkStats is how a sink is doing.
type SinkStats struct {
	Sink    string
	Waiting int       // targets that have changed and are not delivered
	Applied time.Time // when it last did what it was asked to; zero: never yet
	Failing time.Time // since when it fails; zero: it works
	Error   string    // how it fails
	Gate    bool      // it can let packets through in spite of bans
	Lifts   bool      // it cannot, and holds no bans while there is a pause
}

// StateStats is how the store is doing.
type StateStats struct {
	Kept  bool      // there is a store
	Saved time.Time // the last commit; zero: none yet
	Error string    // why the last one failed; "" if it did not
}

type sourceCount struct {
	SourceStats
	line    []byte // behind LastLine, reused
	seconds [16]uint32
	second  int64 // the last one that seconds has
	first   int64
}

type jailCount struct {
	hits, bans uint64
	last       time.Time
}

// rateSeconds is over how long a rate is taken.
const rateSeconds = 10

// read counts a batch as it comes from the Source of that name.
func (s *Stats) read(name string, b *Batch, err error, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.source(name).Error = err.Error()
	} else if c := s.sources[name]; c != nil {
		c.Error = ""
	}
	n := len(b.Records)
	if n == 0 {
		return
	}
	c := s.source(b.Source)
	if b.Live {
		c.AtEnd = at
	}
	c.Lines += uint64(n)
	c.LastRead = at
	last := b.Records[n-1].Line
	c.line = append(c.line[:0], last[:min(len(last), sampleMaxBytes)]...)
	c.tick(at.Unix())
	c.seconds[c.second%int64(len(c.seconds))] += uint32(n)
}

func (s *Stats) source(name string) *sourceCount {
	c := s.sources[name]
	if c == nil {
		if s.sources == nil {
			s.sources = make(map[string]*sourceCount)
		}
		c = &sourceCount{SourceStats: SourceStats{Source: name}}
		s.sources[name] = c
	}
	return c
}

// tick empties the seconds that have passed without a line.
func (c *sourceCount) tick(now int64) {
	if c.first == 0 {
		c.first, c.second = now, now
	}
	for n := 0; c.second < now && n < len(c.seconds); n++ {
		c.second++
		c.seconds[c.second%int64(len(c.seconds))] = 0
	}
	c.second = max(c.second, now)
}

// rate is that of the last whole seconds.
func (c *sourceCount) rate(now int64) float64 {
	c.tick(now)
	sum, n := uint32(0), min(rateSeconds, now-c.first)
	for i := int64(1); i <= n; i++ {
		sum += c.seconds[(now-i)%int64(len(c.seconds))]
	}
	return float64(sum) / float64(max(n, 1))
}

func (s *Stats) jail(name string) *jailCount {
	j := s.jails[name]
	if j == nil {
		if s.jails == nil {
			s.jails = make(map[string]*jailCount)
		}
		j = &jailCount{}
		s.jails[name] = j
	}
	return j
}

// worked counts a batch at the end of the line.
func (s *Stats) worked(b *Batch, now func() time.Time) {
	if len(b.Records) == 0 && len(b.Actions) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var at time.Time
	var j *jailCount
	jail := ""
	for i := range b.Records {
		r := &b.Records[i]
		if r.Kind != Hit {
			continue
		}
		if at.IsZero() {
			at = now()
		}
		if j == nil || r.Jail != jail {
			j, jail = s.jail(r.Jail), r.Jail
		}
		j.hits++
		j.last = at
	}
	for i := range b.Actions {
		if a := &b.Actions[i]; a.Op == Ban && !a.Restored {
			s.jail(a.Jail).bans++
		}
	}
}

// Keep forgets the sources for which keep is false: a pipeline that follows another may have none of that name.
func (s *Stats) Keep(keep func(source string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.sources, func(name string, _ *sourceCount) bool { return !keep(name) })
}

// Sources lists what has been read, by name.
func (s *Stats) Sources(now time.Time) []SourceStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]SourceStats, 0, len(s.sources))
	for _, c := range s.sources {
		out := c.SourceStats
		out.LastLine, out.Rate = string(c.line), c.rate(now.Unix())
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b SourceStats) int { return cmp.Compare(a.Source, b.Source) })
	return all
}

// fill adds what Stats knows of a jail.
func (s *Stats) fill(j *JailStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.jails[j.Jail]; c != nil {
		j.Hits, j.Bans, j.LastHit = c.hits, c.bans, c.last
	}
}
