package sources

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/influxdata/tail"
	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// cpuTime is what this process has used, user and system.
func cpuTime() time.Duration {
	var u unix.Rusage
	check(unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perLine reports the CPU time per line; wall clocks are not to be trusted on a shared machine.
func perLine(b *testing.B, lines int, run func()) {
	b.ReportAllocs()
	began := cpuTime()
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(cpuTime()-began)/float64(b.N*lines), "cpu-ns/line")
	b.ReportMetric(0, "ns/op")
}

const benchLines = 1_000_000

// benchLog is a file of a million lines of sshd, 108 bytes each.
func benchLog(b *testing.B) string {
	path := filepath.Join(b.TempDir(), "auth.log")
	file, err := os.Create(path)
	check(err)
	defer file.Close()
	w := bufio.NewWriterSize(file, 1<<20)
	for n := range benchLines {
		fmt.Fprintf(w, "Nov 22 07:%02d:%02d web1 sshd[%d]: Failed password for invalid user admin from 192.0.2.%d port %d ssh2 %07d\n",
			n/60%60, n%60, 10000+n%50000, n%256, 10000+n%50000, n)
	}
	check(w.Flush())
	return path
}

// Catching up on a file: through the source into batches, through influxdata/tail's own Lines, and a bare
// scan for newlines.
func BenchmarkCatchUp(b *testing.B) {
	path := benchLog(b)
	b.Run("files", func(b *testing.B) {
		var batch pipeline.Batch
		perLine(b, benchLines, func() {
			f := NewFiles(FilesOptions{Paths: []string{path}, Once: true})
			n := 0
			for f.Read(context.Background(), &batch) == nil {
				n += len(batch.Records)
				batch.Reset()
			}
			if n != benchLines {
				b.Fatalf("got %d lines, want %d", n, benchLines)
			}
			f.Close()
		})
	})
	b.Run("influxdata tail", func(b *testing.B) {
		perLine(b, benchLines, func() {
			t, err := tail.TailFile(path, tail.Config{Follow: true, Poll: true, Logger: tail.DiscardingLogger})
			check(err)
			for range benchLines {
				<-t.Lines
			}
			check(t.Stop())
		})
	})
	b.Run("bare scan", func(b *testing.B) {
		buf := make([]byte, 1<<20)
		perLine(b, benchLines, func() {
			file, err := os.Open(path)
			check(err)
			defer file.Close()
			lines, kept := 0, 0
			for {
				n, err := file.Read(buf[kept:])
				p := buf[:kept+n]
				for {
					i := bytes.IndexByte(p, '\n')
					if i < 0 {
						break
					}
					lines++
					p = p[i+1:]
				}
				kept = copy(buf, p)
				if err == io.EOF {
					break
				}
			}
			if lines != benchLines {
				b.Fatalf("got %d lines, want %d", lines, benchLines)
			}
		})
	})
}

func BenchmarkReader(b *testing.B) {
	path := benchLog(b)
	var batch pipeline.Batch
	perLine(b, benchLines, func() {
		file, err := os.Open(path)
		check(err)
		defer file.Close()
		r := NewReader("stdin", file)
		for r.Read(context.Background(), &batch) == nil {
			batch.Reset()
		}
	})
}

// From write(2) to Read's return, a line at a time on a quiet machine.
func BenchmarkLatency(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	check(os.WriteFile(path, nil, 0o644))
	ctx, cancel := context.WithCancel(context.Background())
	f := NewFiles(FilesOptions{Paths: []string{path}})
	got := make(chan time.Time)
	go func() {
		defer close(got)
		var batch pipeline.Batch
		for f.Read(ctx, &batch) == nil {
			if len(batch.Records) > 0 {
				got <- time.Now()
			}
			batch.Reset()
		}
	}()
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	check(err)
	defer w.Close()
	for !f.watching() {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	var took []time.Duration
	for b.Loop() {
		time.Sleep(15 * time.Millisecond)
		began := time.Now()
		_, err := w.WriteString("Nov 22 07:23:11 web1 sshd[1]: a line\n")
		check(err)
		took = append(took, (<-got).Sub(began))
	}
	cancel()
	for range got {
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(0, "ns/op")
}

// What following ten files costs in which nothing happens, in percent of a core.
func BenchmarkIdle(b *testing.B) {
	dir := b.TempDir()
	for i := range 10 {
		check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("log%d", i)), []byte("a line\n"), 0o644))
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := NewFiles(FilesOptions{Paths: []string{filepath.Join(dir, "log*")}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		var batch pipeline.Batch
		for f.Read(ctx, &batch) == nil {
			batch.Reset()
		}
	}()
	time.Sleep(500 * time.Millisecond)
	cpu, wall := time.Duration(0), time.Duration(0)
	for b.Loop() {
		began, at := cpuTime(), time.Now()
		time.Sleep(3 * time.Second)
		cpu, wall = cpu+cpuTime()-began, wall+time.Since(at)
	}
	cancel()
	<-done
	b.ReportMetric(100*float64(cpu)/float64(wall), "percent")
	b.ReportMetric(0, "ns/op")
}
