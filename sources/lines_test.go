package sources

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// splitSlowly is what split must do, said in the plainest way: of a whole text, byte by byte.
func splitSlowly(text []byte, limit int) (lines []string, left string) {
	var line []byte
	for i := 0; ; i++ {
		for len(line) == 0 && i < len(text) && text[i] == 0 {
			i++
		}
		if i >= len(text) {
			return lines, string(line)
		}
		if text[i] != '\n' {
			line = append(line, text[i])
			continue
		}
		lines = append(lines, whole(line, limit))
		line = nil
	}
}

func whole(line []byte, limit int) string {
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > limit {
		return string(line[:limit]) + " (cut)"
	}
	return string(line)
}

// splitBlocks splits a text that comes in blocks, as a generation reads it: what was not used up comes
// again with the next block.
func splitBlocks(text []byte, limit int, sizes []byte) (lines []string, left int) {
	s := splitter{max: limit}
	start, end := 0, 0
	for i := 0; end < len(text); i++ {
		size := 1
		if len(sizes) > 0 {
			size = 1 + int(sizes[i%len(sizes)])
		}
		end = min(len(text), end+size)
		for more := true; more; {
			var b pipeline.Batch
			n := s.split(&b, text[start:end], time.Time{})
			more = b.Full()
			start += n
			for _, r := range b.Records {
				cut := ""
				if r.Cut {
					cut = " (cut)"
				}
				lines = append(lines, string(r.Line)+cut)
			}
		}
		if end-start > limit+1 {
			panic(fmt.Sprintf("%d bytes left of a line, want at most %d", end-start, limit+1))
		}
	}
	return lines, len(text) - start
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"one\ntwo\n", []string{"one", "two"}},
		{"one\r\ntwo\r\n", []string{"one", "two"}},
		{"one\rtwo\n", []string{"one\rtwo"}},
		{"\n\n", []string{"", ""}},
		{"unfinished", nil},
		{"\x00\x00\x00one\n", []string{"one"}},
		{"one\x00two\n", []string{"one\x00two"}},
		{"\xff\xfe not UTF-8\n", []string{"\xff\xfe not UTF-8"}},
		{"0123456789012345\n", []string{"0123456789012345"}},
		{"0123456789012345\r\n", []string{"0123456789012345"}},
		{"01234567890123456\n", []string{"0123456789012345 (cut)"}},
		{"01234567890123456 and more\nnext\n", []string{"0123456789012345 (cut)", "next"}},
	} {
		t.Run(fmt.Sprintf("%q", c.text), func(t *testing.T) {
			for _, size := range []byte{0, 1, 2, 3, 100} {
				if got, _ := splitBlocks([]byte(c.text), 16, []byte{size}); !slices.Equal(got, c.want) {
					t.Errorf("in blocks of %d: got %q, want %q", size+1, got, c.want)
				}
			}
		})
	}
}

// However a text is cut into blocks, the lines are the same.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\x00\x00three\n"), []byte{3, 1}, uint8(5))
	f.Add([]byte("a line that is too long\nand\n"), []byte{7}, uint8(4))
	f.Add([]byte(strings.Repeat("x\n", 1200)), []byte{255}, uint8(4))
	f.Fuzz(func(t *testing.T, text, sizes []byte, limit uint8) {
		want, left := splitSlowly(text, int(limit))
		got, rest := splitBlocks(text, int(limit), sizes)
		if len(left) > int(limit)+1 { // its beginning comes before its end is known
			if len(got) != len(want)+1 || got[len(want)] != left[:limit]+" (cut)" {
				t.Fatalf("got %q behind %d lines, want the beginning of %q", got[len(want):], len(want), left)
			}
			got = got[:len(want)]
		} else if rest < len(left) {
			t.Fatalf("got %d bytes left, want %q", rest, left)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
