package sources

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func dateOf(_ string, line []byte) (time.Time, bool) {
	date, _, _ := strings.Cut(string(line), " ")
	at, err := time.Parse(time.RFC3339, date)
	return at, err == nil
}

// A file without a cursor is read from a date on: every line of the log is tried as the place to start.
func TestFilesStartByDate(t *testing.T) {
	first := time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name  string
		lines int // one a minute
		line  func(n int) string
	}{
		{"one line", 1, func(n int) string { return "a" }},
		{"short lines", 9000, func(n int) string { return fmt.Sprint(n) }},
		{"long lines", 60, func(n int) string { return strings.Repeat("x", 9000) }},
		{"with undated ones between", 900, func(n int) string { return "a\n\tat main.main\n\tat " + strings.Repeat("y", n%500) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text strings.Builder
			for n := range c.lines {
				fmt.Fprintf(&text, "%s %s\n", first.Add(time.Duration(n)*time.Minute).Format(time.RFC3339), c.line(n))
			}
			for at := 0; at <= c.lines; at += max(1, c.lines/37) {
				from := first.Add(time.Duration(at)*time.Minute - time.Second)
				f := follow(t, FilesOptions{
					Paths: []string{"log"}, Once: true, DateOf: dateOf,
					From: func(string) time.Time { return from },
				})
				write(t, f.path("log"), text.String())
				got := f.lines(1, time.Second)
				want := "log: " + first.Add(time.Duration(at)*time.Minute).Format(time.RFC3339)
				if at == c.lines && got != nil || at < c.lines && (got == nil || !strings.HasPrefix(got[0], want)) {
					t.Fatalf("from line %d: got %.60q, want %q", at, got, want)
				}
			}
		})
	}
}

func TestFilesWithoutDatesStartAtTheEnd(t *testing.T) {
	for name, text := range map[string]string{
		"short":      "one\ntwo\n",
		"unfinished": "one\ntwo",
		"long":       strings.Repeat("a line of some length\n", 400_000),
	} {
		t.Run(name, func(t *testing.T) {
			f := follow(t, FilesOptions{
				Paths: []string{"log"}, DateOf: dateOf,
				From: func(string) time.Time { return time.Unix(1, 0) },
			})
			f.append("log", text)
			f.wants()
			f.append("log", "new\n")
			last := text[strings.LastIndexByte(text, '\n')+1:]
			f.wants("log: " + last + "new")
		})
	}
}

// Where it was said to read from the end, nothing is lost either, though no line was read before a restart.
func TestFilesSaveWhereTheyStart(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"log"}})
	f.append("log", "old\n")
	f.wants()
	f.append("log", "while we are away\n")
	f.restart()
	f.wants("log: while we are away")
}

// What is made while we are away is read from its beginning, dates or not.
func TestFilesReadNewOnesAfterARestart(t *testing.T) {
	f := follow(t, FilesOptions{Paths: []string{"*.log"}})
	f.append("a.log", "old\n")
	f.wants()
	f.append("a.log", "one\n")
	f.wants("a.log: one")
	f.append("a.log", "two\n")
	f.append("b.log", "three\n")
	f.restart()
	f.wants("a.log: two", "b.log: three")
}
