package sources

import (
	"bytes"
	"slices"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A log that is truncated in place loses what nobody has read by then. So the watching goroutine reads one
// that was truncated lately at every event, in its writer's footsteps, and keeps what Read has not come to yet.
const (
	aheadLen = 256 << 10        // how many bytes of a file are kept
	aheadFor = 10 * time.Second // after a truncation; who truncates more seldom destroys less than 0.1 % of the lines
)

// hasten has the file read ahead, and reports whether it is; else it was not truncated lately.
func (fl *follower) hasten(buf []byte, now time.Time) bool {
	if !now.Before(fl.hasty) {
		return false
	}
	for _, g := range fl.gens {
		g.readAhead(buf)
	}
	return true
}

// readAhead adds to g.ahead what is behind it in the file. Where the file no longer holds what was read,
// nothing is added: read will see that, too.
func (g *generation) readAhead(buf []byte) {
	room := aheadLen - len(g.ahead)
	if room <= 0 || g.copy {
		return
	}
	if same, err := g.beginsAsRead(buf); err != nil || !same {
		return
	}
	before := lastBytes(g.tail, g.ahead)
	n, err := pread(g.file, buf[:min(len(buf), len(before)+room)], g.off+int64(len(g.ahead)-len(before)))
	if err != nil || n <= len(before) || !bytes.Equal(buf[:len(before)], before) {
		return
	}
	g.ahead = append(g.ahead, buf[len(before):n]...)
}

// lastBytes are the last tailLen bytes of p and q.
func lastBytes(p, q []byte) []byte {
	if len(q) >= tailLen {
		return q[len(q)-tailLen:]
	}
	both := slices.Concat(p, q)
	return both[max(0, len(both)-tailLen):]
}

// holdsAhead reports whether data, read at g.off, is what was read ahead there; whole tells that the file has
// no more than data.
func (g *generation) holdsAhead(data []byte, whole bool) bool {
	n := min(len(data), len(g.ahead))
	return bytes.Equal(data[:n], g.ahead[:n]) && (n == len(g.ahead) || !whole)
}

// begin is the fingerprint of what is known of the file's first bytes, read or read ahead.
func (g *generation) begin() fingerprint {
	if len(g.ahead) == 0 || len(g.head.bytes) == headLen {
		return g.head.fingerprint()
	}
	h := head{at: g.head.at, bytes: slices.Clone(g.head.bytes)}
	h.extend(g.off, g.ahead)
	return h.fingerprint()
}

// rescue appends to b the lines that were read ahead of a file that has been truncated since, and reports
// whether these were all.
func (g *generation) rescue(b *pipeline.Batch, limit int, now time.Time) bool {
	if g.off == 0 && bytes.HasPrefix(g.ahead, utf8BOM) {
		g.advance(utf8BOM, len(utf8BOM))
	}
	lines := splitter{max: limit, skip: g.skip}
	used := lines.split(b, g.ahead, now)
	g.skip = lines.skip
	g.advance(slices.Concat(g.tail, g.ahead[:used]), used)
	return !b.Full()
}
