package sources

import (
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// Stats counts what a source has read since it was made.
type Stats struct {
	Source string    // as in pipeline.Batch.Source
	Lines  uint64    // lines delivered
	Bytes  uint64    // their bytes, without newlines
	Cut    uint64    // lines delivered in part: too long, or never ended
	Lost   uint64    // times that lines may have been lost: a truncation, a generation gone unread
	Lag    int64     // bytes written and not yet read, at the last look; 0 where the source cannot say
	Last   time.Time // when a line was last read; zero: none was

	// Behind is how old the last line was that was read, if that is 10 s or more and others wait behind it. Only the
	// journal says so, which has no Lag.
	Behind time.Duration
}

// count adds the records of b from the first'th on.
func (s *Stats) count(b *pipeline.Batch, first int, at time.Time) {
	if first == len(b.Records) {
		return
	}
	for i := first; i < len(b.Records); i++ {
		s.Bytes += uint64(len(b.Records[i].Line))
		if b.Records[i].Cut {
			s.Cut++
		}
	}
	s.Lines += uint64(len(b.Records) - first)
	s.Last = at
}
