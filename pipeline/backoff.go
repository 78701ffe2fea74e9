package pipeline

import (
	"context"
	"math/rand/v2"
	"time"
)

// A backoff is how long the edges wait before they try again: 1 s, 2 s, 4 s … 1 min, each less up to a
// fifth, so that what failed together does not come back together.
type backoff struct{ last time.Duration }

func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, time.Second), time.Minute)
	return b.last - rand.N(b.last/5)
}

func (b *backoff) reset() { b.last = 0 }

// sleep waits for d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
