package pipeline

import (
	"context"
	"io"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// flood is a source of n equal lines of 136 bytes.
type flood struct {
	left int
	line []byte
}

func (f *flood) Name() string { return "flood" }

func (f *flood) Read(_ context.Context, b *Batch) error {
	for f.left > 0 && !b.Full() {
		b.Append(f.line, t0)
		f.left--
	}
	if f.left == 0 {
		return io.EOF
	}
	return nil
}

// The empty pipeline: a source, four stages that do nothing, the end of the line.
func BenchmarkEmptyPipeline(b *testing.B) {
	nop := StageFunc(func(context.Context, *Batch) error { return nil })
	const lines = 2_000_000
	b.ReportAllocs()
	for b.Loop() {
		p := &Pipeline{
			Sources: []Source{&flood{left: lines, line: make([]byte, 136)}},
			Stages:  []Stage{nop, nop, nop, nop},
		}
		if err := p.Run(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
}

// One channel send per line over the same four hops, what the batches are measured against.
func BenchmarkSendPerLine(b *testing.B) {
	const lines = 500_000
	for b.Loop() {
		ctx, cancel := context.WithCancel(context.Background())
		in := make(chan []byte, 1024)
		pass := func(ctx context.Context, out chan<- []byte, l []byte) {
			select {
			case out <- l:
			case <-ctx.Done():
			}
		}
		go func(out chan<- []byte) {
			defer close(out)
			for range lines {
				pass(ctx, out, make([]byte, 136))
			}
		}(in)
		for range 4 {
			out := make(chan []byte, 1024)
			go func(in <-chan []byte, out chan<- []byte) {
				defer close(out)
				for l := range in {
					pass(ctx, out, l)
				}
			}(in, out)
			in = out
		}
		for range in {
		}
		cancel()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
}

// Every hit is judged and none banned: what Decide adds to Window's cost.
func BenchmarkDecide(b *testing.B) {
	d := &Decide{Jails: map[string]Jail{"j": {}}}
	batch := &Batch{}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		for i := range maxRecords {
			hitInto(batch, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), t0)
			batch.Records[i].Hits = 4
			n++
		}
		d.Process(context.Background(), batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/hit")
}

// Every hit bans somebody.
func BenchmarkDecideBans(b *testing.B) {
	d := &Decide{Jails: map[string]Jail{"j": {BanTime: time.Hour}}, Now: func() time.Time { return t0 }, MaxBans: 100_000}
	batch := &Batch{}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		for range maxRecords {
			hitInto(batch, netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), t0.Add(time.Duration(n)))
			batch.Records[len(batch.Records)-1].Hits = 5
			n++
		}
		d.Process(context.Background(), batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/ban")
}
