package main

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/wasilibs/go-re2/experimental"
	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/matchers/dfa"
	"github.com/banpipe/banpipe/pipeline"
)

// engines are the same rules in each engine.
type engines struct {
	rules   []string // as Go's regexp has them
	program *matchers.Program
	dates   *matchers.Finder
	scanner *dfa.Scanner
	re2     *experimental.Set
	std     []*regexp.Regexp
}

func newEngines(jails []matchers.JailFilter) (*engines, error) {
	p, err := matchers.NewProgram(jails)
	if err != nil {
		return nil, err
	}
	dates, err := matchers.NewDates(nil, matchers.DateOptions{})
	if err != nil {
		return nil, err
	}
	e := &engines{rules: p.Regexes(), program: p, dates: dates.Finder()}
	set, err := dfa.NewSet(e.rules, dfa.Options{})
	if err != nil {
		return nil, err
	}
	e.scanner = set.NewScanner()
	if e.re2, err = experimental.CompileSetWithOptions(e.rules, experimental.CompileOptions{MaxMem: 64 << 20}); err != nil {
		return nil, fmt.Errorf("RE2: %w", err)
	}
	for _, r := range e.rules {
		re, err := regexp.Compile(r)
		if err != nil {
			return nil, err
		}
		e.std = append(e.std, re)
	}
	return e, nil
}

// texts are lines as rules see them: without their dates.
func (e *engines) texts(lines [][]byte) (pieces []dfa.Line, whole [][]byte) {
	for _, line := range lines {
		date, _ := e.dates.Find(line)
		pieces = append(pieces, dfa.Line{Head: line[:date.Start], Tail: line[date.End:]})
		whole = append(whole, slices.Concat(line[:date.Start], line[date.End:], []byte("\n")))
	}
	return pieces, whole
}

// agree holds that all say the same of each line.
func (e *engines) agree(lines [][]byte) error {
	pieces, whole := e.texts(lines)
	e.scanner.Scan(pieces)
	for i, text := range whole {
		var want, got []int
		for r, re := range e.std {
			if re.Match(text) {
				want = append(want, r)
			}
			if e.scanner.Rules(i)[r/64]>>(r%64)&1 != 0 {
				got = append(got, r)
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("banpipe's set differs from regexp on %q: got %v, want %v", text, got, want)
		}
		re2, err := e.re2.FindAllWithError(text, -1)
		if err != nil {
			return err
		}
		if slices.Sort(re2); !slices.Equal(re2, want) {
			return fmt.Errorf("RE2's set differs from regexp on %q: got %v, want %v", text, re2, want)
		}
	}
	return nil
}

// matcher is the stage Match: jails, hosts and times of the hits.
func (e *engines) matcher(lines [][]byte) time.Duration {
	programs := func(string) *matchers.Program { return e.program }
	parse, match := &matchers.Parse{Programs: programs}, &matchers.Match{Programs: programs}
	now := time.Date(2026, time.November, 22, 12, 0, 0, 0, time.UTC)
	return best(len(lines), func(clock func(bool)) {
		for chunk := range slices.Chunk(lines, 400) {
			b := &pipeline.Batch{Source: "compare"}
			for _, line := range chunk {
				b.Append(line, now)
			}
			_ = parse.Process(context.Background(), b)
			clock(true)
			_ = match.Process(context.Background(), b)
			clock(false)
		}
	})
}

// set is the set that Match runs: which rules match.
func (e *engines) set(lines [][]byte) time.Duration {
	pieces, _ := e.texts(lines)
	return best(len(lines), func(clock func(bool)) {
		clock(true)
		for chunk := range slices.Chunk(pieces, 400) {
			e.scanner.Scan(chunk)
		}
		clock(false)
	})
}

func (e *engines) re2Set(lines [][]byte) time.Duration {
	_, whole := e.texts(lines)
	return best(len(lines), func(clock func(bool)) {
		clock(true)
		for _, text := range whole {
			_, _ = e.re2.FindAllWithError(text, -1)
		}
		clock(false)
	})
}

func (e *engines) regexp(lines [][]byte) time.Duration {
	_, whole := e.texts(lines)
	return best(len(lines), func(clock func(bool)) {
		clock(true)
		for _, text := range whole {
			for _, re := range e.std {
				re.Match(text)
			}
		}
		clock(false)
	})
}

// best is the least CPU time per line of some rounds, of what lies between clock(true) and clock(false).
func best(lines int, round func(clock func(on bool))) time.Duration {
	const rounds = 4
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	least := time.Duration(1 << 62)
	for range rounds {
		var took, since time.Duration
		round(func(on bool) {
			if on {
				since = cpu()
			} else {
				took += cpu() - since
			}
		})
		least = min(least, took)
	}
	return least / time.Duration(lines)
}

func cpu() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err) // it is there since Linux 2.6.12
	}
	return time.Duration(t.Nano())
}
