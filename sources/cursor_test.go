package sources

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

func someFollower() *follower {
	h := head{at: 4096, bytes: bytes.Repeat([]byte("head "), 60)[:headLen]}
	cur := &generation{id: fileID{1, 1 << 40}, off: 1 << 33, tail: []byte("the last line\n"), head: h, skip: true}
	return &follower{
		gens: []*generation{{id: fileID{1, 2}, atEnd: true}, cur},
		cur:  cur,
		past: []known{{fileID{1, 3}, h.fingerprint()}},
	}
}

func TestCursorComesBack(t *testing.T) {
	fl := someFollower()
	fl.asOf = time.Unix(1_800_000_000, 42)
	c, err := parseCursor(fl.appendCursor(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := cursor{at: fl.asOf, past: fl.past}
	for _, g := range fl.gens {
		s := g.saved()
		s.cur = g == fl.cur
		want.gens = append(want.gens, s)
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v, want %+v", c, want)
	}
}

func TestCursorAllocatesNothing(t *testing.T) {
	fl := someFollower()
	p := fl.appendCursor(nil)
	if n := testing.AllocsPerRun(100, func() { p = fl.appendCursor(p[:0]) }); n > 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

// A cursor from a disk may hold anything.
func FuzzCursor(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{cursorVersion})
	f.Add([]byte{cursorVersion + 1, 0})
	f.Add(someFollower().appendCursor(nil))
	f.Fuzz(func(t *testing.T, p []byte) {
		c, err := parseCursor(p)
		if err != nil {
			return
		}
		fl := &follower{past: c.past, asOf: c.at}
		for _, s := range c.gens {
			if int64(len(s.tail)) > s.off || s.head.n > headLen {
				t.Fatalf("got a cursor that cannot be: %+v", s)
			}
			g := &generation{id: s.id, off: s.off, tail: s.tail, skip: s.skip, atEnd: s.atEnd}
			g.head = head{at: s.head.at, bytes: make([]byte, s.head.n), mark: s.head}
			fl.gens = append(fl.gens, g)
			if s.cur {
				fl.cur = g
			}
		}
		again, err := parseCursor(fl.appendCursor(nil))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if len(again.gens) != len(c.gens) || len(again.past) != len(c.past) {
			t.Fatalf("got %+v, want %+v", again, c)
		}
	})
}
