package sources

import (
	"bytes"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// defaultMaxLine is how long a line may be, in bytes. What daemons log is a tenth of it; who writes
// more wants to fill memory.
const defaultMaxLine = 64 << 10

// A splitter cuts blocks into lines. Its state is what must be known of the bytes before the block;
// zero at the start of a line.
type splitter struct {
	max  int  // the longest line, in bytes, without its newline
	skip bool // in a line that was too long: its beginning is delivered, the rest is dropped
}

// split appends the lines of data to b until b is Full and returns how many bytes it has used up. What it
// leaves, if b is not Full, is the beginning of a line: at most max+1 bytes. How a text is cut into
// blocks makes no difference to the lines.
//
// "\r\n" ends a line like "\n" (RFC 5424 leaves both open; Windows and some appliances send it). NULs
// before a line are dropped: a writer without O_APPEND leaves a hole of them when its file is truncated.
func (s *splitter) split(b *pipeline.Batch, data []byte, at time.Time) int {
	n := 0
	for n < len(data) && !b.Full() {
		rest := data[n:]
		if rest[0] == 0 && !s.skip {
			n += leadingNULs(rest)
			continue
		}
		i := bytes.IndexByte(rest, '\n')
		switch {
		case s.skip && i < 0:
			return len(data)
		case s.skip:
			s.skip = false
		case i >= 0:
			appendLine(b, rest[:i], s.max, at)
		case len(rest) > s.max+1: // not one byte less: that could still be a line of max bytes and "\r"
			appendLine(b, rest, s.max, at)
			s.skip = true
			return len(data)
		default:
			return n
		}
		n += i + 1
	}
	return n
}

func appendLine(b *pipeline.Batch, line []byte, limit int, at time.Time) {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) <= limit {
		b.Append(line, at)
		return
	}
	b.Append(line[:limit], at).Cut = true
}

func leadingNULs(p []byte) int {
	for i, c := range p {
		if c != 0 {
			return i
		}
	}
	return len(p)
}

// utf8BOM is what some Windows programs put before the first line of a file.
var utf8BOM = []byte("\xef\xbb\xbf")
