package control

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// fill gives the pipeline 100,000 bans and 1,000,000 tracked addresses.
func (b *bench) fill(t testing.TB) {
	const bans, tracked = 100_000, 1_000_000
	var lines []string
	line := func(from byte, n uint32) {
		lines = append(lines, netip.AddrFrom4([4]byte{from, byte(n >> 16), byte(n >> 8), byte(n)}).String())
		if len(lines) == 512 {
			b.feed <- lines
			lines = nil
		}
	}
	for i := range uint32(bans) {
		line(11, i)
		line(11, i)
	}
	for i := range uint32(tracked) {
		line(12, i)
	}
	b.feed <- lines
	eventually(t, "bans and windows", func() bool {
		return b.window.Tracked("sshd") == tracked && b.decide.Live("sshd") == bans && b.back.count() == bans
	})
}

// A transit notes how long lines take from the source to behind Decide.
type transit struct {
	mu   sync.Mutex
	took []time.Duration
}

func (m *transit) Process(_ context.Context, b *pipeline.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range b.Records {
		m.took = append(m.took, time.Since(b.Records[i].Time))
	}
	return nil
}

// take returns the median, the 99th of a hundred, and the longest, and begins anew.
func (m *transit) take() (median, most, longest time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slices.Sort(m.took)
	n := len(m.took)
	median, most, longest = m.took[n/2], m.took[n*99/100], m.took[n-1]
	m.took = m.took[:0]
	return median, most, longest
}

// What status costs with 100,000 bans and 1,000,000 tracked addresses: itself, and the lines that pass meanwhile.
// list, for comparison, walks all bans.
func BenchmarkStatus(b *testing.B) {
	m := &transit{}
	s := start(b, m)
	s.fill(b)
	for _, c := range []struct{ name, path string }{
		{"nothing", ""}, {"status", "/v1/status"}, {"list", "/v1/bans"},
	} {
		b.Run(c.name, func(b *testing.B) {
			ctx, stop := context.WithCancel(b.Context())
			fed := make(chan struct{})
			m.mu.Lock()
			m.took = m.took[:0]
			m.mu.Unlock()
			go func() {
				defer close(fed)
				tick := time.NewTicker(200 * time.Microsecond)
				defer tick.Stop()
				for ctx.Err() == nil {
					s.feed <- []string{"nothing to see"}
					<-tick.C
				}
			}()
			var took []time.Duration
			for b.Loop() {
				time.Sleep(time.Millisecond) // nobody asks more often; without a pause it measures how two cores are shared
				if c.path == "" {
					continue
				}
				begun := time.Now()
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest("GET", c.path, nil))
				took = append(took, time.Since(begun))
				if w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
			stop()
			<-fed
			median, most, worst := m.take()
			if slices.Sort(took); len(took) > 0 {
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "answer-median-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "answer-p99-ms")
			}
			b.ReportMetric(float64(median.Microseconds())/1000, "transit-median-ms")
			b.ReportMetric(float64(most.Microseconds())/1000, "transit-p99-ms")
			b.ReportMetric(float64(worst.Microseconds())/1000, "transit-longest-ms")
		})
	}
}
