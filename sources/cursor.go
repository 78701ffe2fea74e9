package sources

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// cursorVersion is the first byte of a saved cursor. A program that finds another one starts as without.
const cursorVersion = 1

// maxPast is how many of the files that a follower is done with it remembers.
const maxPast = 16

// A cursor is how far a follower has come, as it is saved with a checkpoint.
type cursor struct {
	at   time.Time // what was rotated before is in it, or was read, or need not be
	gens []saved   // as follower.gens
	past []known   // as follower.past
}

// A saved is a generation in a cursor.
type saved struct {
	known
	off   int64
	tail  []byte // the bytes before off, 64 at most
	cur   bool   // it was the one at the path
	skip  bool
	atEnd bool
	copy  bool
}

// A known is a file that was read. Its first bytes tell a copy of it, or itself on another day, when the
// kernel has given its number to another file.
type known struct {
	id   fileID
	head fingerprint
}

// appendCursor appends how far the follower has come: numbers as varints, bytes behind their length. It
// allocates nothing where p has room.
func (fl *follower) appendCursor(p []byte) []byte {
	p = append(p, cursorVersion)
	p = binary.AppendVarint(p, fl.asOf.UnixNano())
	p = binary.AppendUvarint(p, uint64(len(fl.gens)))
	for _, g := range fl.gens {
		k := g.known()
		p = k.appendTo(p)
		p = binary.AppendUvarint(p, uint64(g.off))
		p = binary.AppendUvarint(p, uint64(len(g.tail)))
		p = append(p, g.tail...)
		p = append(p, bits(g == fl.cur, g.skip, g.atEnd, g.copy))
	}
	p = binary.AppendUvarint(p, uint64(len(fl.past)))
	for i := range fl.past {
		p = fl.past[i].appendTo(p)
	}
	return p
}

func (k *known) appendTo(p []byte) []byte {
	p = binary.AppendUvarint(p, k.id.dev)
	p = binary.AppendUvarint(p, k.id.ino)
	p = binary.AppendUvarint(p, uint64(k.head.at))
	p = binary.AppendUvarint(p, uint64(k.head.n))
	return append(p, k.head.sum[:]...)
}

func bits(cur, skip, atEnd, copied bool) (b byte) {
	for i, set := range [...]bool{cur, skip, atEnd, copied} {
		if set {
			b |= 1 << i
		}
	}
	return b
}

// errCursor is returned for bytes that no version of this program has written.
var errCursor = errors.New("cursor is damaged")

// parseCursor reads what appendCursor has written; p is not kept.
func parseCursor(p []byte) (cursor, error) {
	if len(p) == 0 || p[0] != cursorVersion {
		return cursor{}, fmt.Errorf("cursor is not of version %d", cursorVersion)
	}
	d := cursorReader{p: p[1:]}
	at, n := binary.Varint(d.p)
	d.drop(n)
	c := cursor{at: time.Unix(0, at)}
	for range d.count() {
		g := saved{known: d.known(), off: int64(d.number())}
		g.tail = append(g.tail, d.bytes(d.count())...)
		flags := d.bytes(1)
		if d.bad || g.off < 0 || len(g.tail) > tailLen || int64(len(g.tail)) > g.off || g.head.n > 0 && g.head.at > g.off-int64(g.head.n) {
			return cursor{}, errCursor
		}
		g.cur, g.skip, g.atEnd, g.copy = flags[0]&1 != 0, flags[0]&2 != 0, flags[0]&4 != 0, flags[0]&8 != 0
		c.gens = append(c.gens, g)
	}
	for range d.count() {
		c.past = append(c.past, d.known())
	}
	if d.bad || len(d.p) > 0 {
		return cursor{}, errCursor
	}
	return c, nil
}

// A cursorReader takes values off the front of p; bad stays set once one was missing.
type cursorReader struct {
	p   []byte
	bad bool
}

func (d *cursorReader) drop(n int) {
	if n <= 0 || n > len(d.p) {
		d.bad, d.p = true, nil
		return
	}
	d.p = d.p[n:]
}

func (d *cursorReader) number() uint64 {
	v, n := binary.Uvarint(d.p)
	d.drop(n)
	return v
}

// count is a number of things that are still to come, so that a damaged cursor cannot ask for more
// than it has bytes.
func (d *cursorReader) count() int {
	v := d.number()
	if v > uint64(len(d.p)) {
		d.bad, d.p = true, nil
		return 0
	}
	return int(v)
}

func (d *cursorReader) bytes(n int) []byte {
	if n == 0 {
		return nil
	}
	p := d.p
	d.drop(n)
	if d.bad {
		return make([]byte, n)
	}
	return p[:n]
}

func (d *cursorReader) known() known {
	k := known{id: fileID{dev: d.number(), ino: d.number()}}
	k.head.at = int64(d.number())
	k.head.n = int(min(d.number(), headLen+1))
	copy(k.head.sum[:], d.bytes(len(k.head.sum)))
	if k.head.n > headLen || k.head.at < 0 {
		d.bad = true
	}
	return k
}
