package dfa

import "encoding/binary"

// A move copies a register, or the place that has been reached, into another one.
type move struct{ to, from register }

// A renaming makes one state of all that differ only in how their registers are called. Registers are
// numbered as they are met in the tags, and states with the same threads and numbers are one:
//
//	tags of the threads     r3 r5 | r3 here      numbers  1 2 | 1 3
//	a known state           r1 r2 | r1 r4        numbers  1 2 | 1 3    moves: r1=r3 r2=r5 r4=here
//
// The first state of its kind keeps the names that it comes with, so that what leads there moves nothing but
// new positions; and so, mostly, does what comes round in a loop.
type renaming struct {
	bytes   []byte     // of the last key
	sources []register // what was met, in order
	number  []int32    // by slot: its number; 0 if it was not met
	read    []bool     // by slot: a move is to be made that reads it
	writer  []int32    // by slot: the number of what is to be written there; 0 for nothing
}

// spare is the register that a circle of moves goes through.
const spare register = 0

// slot is where a register stands in the tables; here has a place too.
func slot(r register) int { return int(r) - int(here) }

// key numbers the registers of t and returns what tells it from others, good until the next call.
func (n *renaming) key(t *threads) []byte {
	for _, r := range n.sources {
		n.number[slot(r)] = 0
	}
	n.sources = n.sources[:0]
	b := append(n.bytes[:0], byte(t.before))
	b = binary.AppendUvarint(b, uint64(len(t.threads)))
	for _, thread := range t.threads {
		b = binary.LittleEndian.AppendUint32(b, thread)
	}
	for _, r := range t.tags {
		if r == unset {
			b = append(b, 0)
			continue
		}
		n.grow(r)
		if n.number[slot(r)] == 0 {
			n.sources = append(n.sources, r)
			n.number[slot(r)] = int32(len(n.sources))
		}
		b = binary.AppendUvarint(b, uint64(n.number[slot(r)]))
	}
	n.bytes = b
	return b
}

// grow makes room for a register in the tables.
func (n *renaming) grow(r register) {
	for slot(r) >= len(n.number) {
		n.number, n.read, n.writer = append(n.number, 0), append(n.read, false), append(n.writer, 0)
	}
}

// named returns the tags of t, whose key was the last one, for a new state, and the names in them by number.
// All keep their names; a new position gets the lowest that is free.
func (n *renaming) named(t *threads) (tags, names []register) {
	free := spare + 1
	for n.has(free) {
		free++
	}
	name := func(r register) register {
		if r == here {
			return free
		}
		return r
	}
	for _, r := range t.tags {
		tags = append(tags, name(r))
	}
	for _, r := range n.sources {
		names = append(names, name(r))
	}
	return tags, names
}

func (n *renaming) has(r register) bool { return slot(r) < len(n.number) && n.number[slot(r)] > 0 }

// moves appends what brings the registers of the last key under the names of a state, in an order in which
// none is overwritten before it was read.
func (n *renaming) moves(into []move, names []register) []move {
	for i, to := range names {
		n.grow(to)
		if from := n.sources[i]; from != to {
			n.read[slot(from)], n.writer[slot(to)] = true, int32(i)+1
		}
	}
	for _, to := range names {
		if !n.read[slot(to)] {
			into = n.chain(into, to, spare)
		}
	}
	for _, to := range names { // what is left goes in circles
		if n.writer[slot(to)] > 0 {
			into = append(into, move{spare, to})
			into = n.chain(into, to, to)
		}
	}
	return into
}

// chain writes a register that nobody has to read any more, then the one that it was read from, and so on.
// What was in saved is in the spare one.
func (n *renaming) chain(into []move, to, saved register) []move {
	for n.writer[slot(to)] > 0 {
		from := n.sources[n.writer[slot(to)]-1]
		n.writer[slot(to)], n.read[slot(from)] = 0, false
		if from == saved {
			return append(into, move{to, spare})
		}
		into = append(into, move{to, from})
		to = from
	}
	return into
}
