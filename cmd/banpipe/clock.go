package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/matchers"
)

// parseClock reads what --now says; "" is the clock.
func parseClock(text string) (time.Time, error) {
	if text == "" {
		return time.Now(), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, &usageError{fmt.Errorf("--now %q is not a time like 2026-11-22T07:23:11Z", text)}
}

// lastLines is how much of the end of a log is searched for its last date.
const lastLines = 64 << 10

// lastDate is the youngest date among the ends of logs; now if there is none. A date in the future is not
// believed.
func lastDate(ends [][]byte, now time.Time) time.Time {
	dates, err := matchers.NewDates(nil, matchers.DateOptions{})
	if err != nil {
		return now
	}
	var last time.Time
	for _, end := range ends {
		f := dates.Finder()
		for line := range bytes.Lines(end) {
			line = bytes.TrimRight(line, "\r\n")
			span, ok := f.Find(line)
			if !ok || span.Len() == 0 {
				continue
			}
			if at, ok := f.Time(line, span, now); ok && at.After(last) && !at.After(now) {
				last = at
			}
		}
	}
	if last.IsZero() {
		return now
	}
	return last
}

// endsOf reads the ends of the logs that the jails of a run look at.
func endsOf(cfg *configs.Config, chosen []string) (ends [][]byte) {
	for name, j := range cfg.Jails {
		if len(chosen) > 0 && !slices.Contains(chosen, name) || len(chosen) == 0 && !j.Enabled {
			continue
		}
		for _, pattern := range j.LogPath {
			paths, _ := filepath.Glob(pattern)
			for _, path := range paths {
				if end, err := readTail(path, lastLines); err == nil {
					ends = append(ends, end)
				}
			}
		}
	}
	return ends
}

// readTail reads the last max bytes of a regular file, from the beginning of a line.
func readTail(path string, max int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	cut := info.Size() > max
	if cut {
		if _, err := f.Seek(-max, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, max))
	if i := bytes.IndexByte(text, '\n'); cut && i >= 0 {
		text = text[i+1:]
	}
	return text, err
}
