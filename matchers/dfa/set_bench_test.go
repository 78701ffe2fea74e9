package dfa

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkSet scans lines by 10, 100 and 1,000 rules that are anchored: in four lanes, in one, and by package regexp,
// rule after rule. The lines are the same for all, and match the same: a few of them one of the first ten rules.
// cpu-ns/line is of the processor's time.
func BenchmarkSet(b *testing.B) {
	lines := plainLines(rand.New(rand.NewPCG(8, 9)), 10_000, 10)
	for _, n := range []int{10, 100, 1000} {
		rules := plainRules(n)
		b.Run(fmt.Sprintf("rules=%d/lanes", n), func(b *testing.B) { benchSet(b, rules, lines, Options{}) })
		b.Run(fmt.Sprintf("rules=%d/one", n), func(b *testing.B) { benchSet(b, rules, lines, Options{oneLane: true}) })
		b.Run(fmt.Sprintf("rules=%d/regexp", n), func(b *testing.B) { benchRegexp(b, rules, lines[:200]) })
	}
}

// BenchmarkSetRunes scans lines whose words are beyond ASCII: each rune is decoded, and looked up by its number.
func BenchmarkSetRunes(b *testing.B) {
	var lines []Line
	for _, l := range plainLines(rand.New(rand.NewPCG(8, 9)), 2000, 10) {
		tail := append([]byte("пользователь не найден 用户不存在 "), l.Tail...)
		lines = append(lines, Line{Head: l.Head, Tail: tail})
	}
	rules := append(plainRules(10), `не \w+ 用`) // so that no line ends early
	b.Run("lanes", func(b *testing.B) { benchSet(b, rules, lines, Options{}) })
	b.Run("one", func(b *testing.B) { benchSet(b, rules, lines, Options{oneLane: true}) })
}

func benchSet(b *testing.B, rules []string, lines []Line, opt Options) {
	s := scanner(b, rules, opt)
	scanAll(s, lines)
	scanAll(s, lines)
	before := s.Stats()
	b.ReportAllocs()
	report := perLine(b, len(lines))
	for b.Loop() {
		scanAll(s, lines)
	}
	report()
	after := s.Stats()
	b.ReportMetric(float64(after.Steps-before.Steps)/float64(b.N)/float64(len(lines)), "steps/line")
	b.ReportMetric(float64(after.Cells), "cells")
	b.ReportMetric(float64(after.Bytes), "cache-bytes")
}

func benchRegexp(b *testing.B, rules []string, lines []Line) {
	var all []*regexp.Regexp
	for _, r := range rules {
		all = append(all, regexp.MustCompile(r))
	}
	var text []byte
	report := perLine(b, len(lines))
	for b.Loop() {
		for i := range lines {
			text = lines[i].join(text[:0])
			for _, re := range all {
				re.Match(text)
			}
		}
	}
	report()
}

// perLine reports the thread's own time from now on, for each line.
func perLine(b *testing.B, lines int) func() {
	runtime.LockOSThread()
	now := func() int64 {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
			b.Fatal(err)
		}
		return t.Nano()
	}
	start := now()
	return func() {
		b.ReportMetric(float64(now()-start)/float64(b.N)/float64(lines), "cpu-ns/line")
		b.ReportMetric(0, "ns/op")
		runtime.UnlockOSThread()
	}
}
