package dfa

import "regexp/syntax"

// A step is regexp's simulation of one rune, on registers instead of positions: each thread of a state, the
// most wanted first, goes on through splits, assertions and captures to the instructions that accept a rune;
// those that accept this one are the threads of the next state. Where two arrive at one instruction the
// first stays. The first that comes to the match leaves it as a thread that waits, and cuts off all behind it.
//
//	(\w+)(?:=(\d+))?$  at "=":   thread \w ─┬─► accept \w                     not "="
//	                                         └─► set tag 3 ─┬─► accept "="     the next state's thread, tag 3 is here
//	                                                        └─► $ ─► match     an assertion that does not hold here
//
// Only what lies before the rune is gone through, so an assertion knows both its neighbours, and no tag is
// set before it is known that the rune behind it fits.
type step struct {
	of    *Captures
	next  threads
	now   []register // tags of the thread that is being followed
	stack []pending
	seen  []uint32 // by instruction: the last step that went through it
	taken []uint32 // by instruction: the last step that has a thread for it
	steps uint32
	work  int

	symbol        int  // of the rune
	before, after kind // of what stands beside the place before it
}

// threads are those of a state that is being made.
type threads struct {
	threads []uint32
	tags    []register
	before  kind
}

func (t *threads) add(thread uint32, tags []register) {
	t.threads = append(t.threads, thread)
	t.tags = append(t.tags, tags...)
}

// pending is a way that is still to be gone or, with a tag, what it was set to before the way just gone.
type pending struct {
	to  uint32
	tag int32 // -1 for a way
	old register
}

// A register is the index of a position that was remembered, or one of:
type register int32

const (
	unset register = -1 // the group was not met
	here  register = -2 // where the text is now; never in a state
)

func (c *Captures) tags() int { return 2 * len(c.tagged) }

func (s *step) init(c *Captures) {
	s.of = c
	s.now = make([]register, c.tags())
	s.seen, s.taken = make([]uint32, len(c.program)), make([]uint32, len(c.program))
}

// begin leaves the threads of the first state.
func (s *step) begin() {
	s.next = threads{s.next.threads[:0], s.next.tags[:0], kindNone}
	s.clear()
	s.next.add(restart, s.now)
}

func (s *step) clear() {
	for i := range s.now {
		s.now[i] = unset
	}
}

// follow leaves in s.next what the threads of a state become by a symbol.
func (s *step) follow(from *captureState, symbol uint32) {
	s.symbol, s.before, s.after = int(symbol), from.before, s.of.alphabet.kinds[symbol]
	s.next = threads{s.next.threads[:0], s.next.tags[:0], s.after & s.of.asks}
	if s.steps++; s.steps == 0 { // the numbers begin anew
		clear(s.seen)
		clear(s.taken)
		s.steps = 1
	}
	found := false
	for i, t := range from.threads {
		copy(s.now, from.tags[i*len(s.now):])
		switch t {
		case matched:
			s.next.add(matched, s.now)
			found = true
		case restart:
			if s.of.whole {
				s.now[0] = here
			}
			found = s.walk(s.of.start)
		default:
			found = s.walk(t)
		}
		if found {
			break
		}
	}
	if !found && !s.of.anchored && s.symbol != s.of.alphabet.end {
		s.clear()
		s.next.add(restart, s.now)
	}
	if len(s.next.threads) == 0 || s.next.threads[0] == matched {
		s.next.before = 0 // nothing will look at it
	}
}

// walk follows one thread to all instructions that accept a rune. It returns true if it comes to the match.
func (s *step) walk(at uint32) bool {
	s.stack = append(s.stack[:0], pending{at, -1, 0})
	for len(s.stack) > 0 {
		p := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		if p.tag >= 0 {
			s.now[p.tag] = p.old
			continue
		}
		in := &s.of.program[p.to]
		if in.dead || s.seen[p.to] == s.steps {
			continue
		}
		s.seen[p.to] = s.steps
		s.work++
		switch in.op {
		case split:
			s.stack = append(s.stack, pending{in.arg, -1, 0}, pending{in.out, -1, 0})
		case look:
			if holds(syntax.EmptyOp(in.arg), s.before, s.after) {
				s.stack = append(s.stack, pending{in.out, -1, 0})
			}
		case capture:
			s.stack = append(s.stack, pending{0, int32(in.arg), s.now[in.arg]}, pending{in.out, -1, 0})
			s.now[in.arg] = here
		case accept:
			s.arrive(in)
		case match:
			if s.of.whole {
				s.now[1] = here
			}
			s.next.add(matched, s.now)
			return true
		}
	}
	return false
}

// arrive adds the thread behind an instruction if that accepts the rune, and if no thread is there yet.
func (s *step) arrive(in *instruction) {
	if s.of.sets[in.arg].has(s.symbol) && s.taken[in.out] != s.steps && !s.of.program[in.out].dead {
		s.taken[in.out] = s.steps
		s.next.add(in.out, s.now)
	}
}
