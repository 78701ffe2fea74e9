package pipeline

// blockLen is how many arrays a block of the arena holds: the arena grows by blocks and never moves what
// it holds, since copying a million windows would hold up the stream.
const blockLen = 1024

// An arena keeps arrays of stamps in size classes (1, 4, 16 … stamps), without a pointer per array. Classes that
// double would leave as much behind in the smaller ones as they hold.
type arena struct{ classes []class }

// room is how many stamps an array of class c holds.
func room(c uint8) uint32 { return 1 << (2 * c) }

type class struct {
	blocks [][]stamp
	free   []uint32
	next   uint32 // the first slot never used
}

// at returns the stamps of e, with room for a full class behind them.
func (a *arena) at(e *entry) []stamp {
	size := room(e.class)
	b := a.classes[e.class].blocks[e.slot/blockLen]
	start := e.slot % blockLen * size
	return b[start : start+uint32(e.n) : start+size]
}

func (a *arena) get(c uint8) uint32 {
	for int(c) >= len(a.classes) {
		a.classes = append(a.classes, class{})
	}
	cl := &a.classes[c]
	if n := len(cl.free); n > 0 {
		slot := cl.free[n-1]
		cl.free = cl.free[:n-1]
		return slot
	}
	if cl.next%blockLen == 0 {
		cl.blocks = append(cl.blocks, make([]stamp, blockLen*room(c)))
	}
	cl.next++
	return cl.next - 1
}

func (a *arena) put(c uint8, slot uint32) {
	a.classes[c].free = append(a.classes[c].free, slot)
}

// grow moves the stamps of e into the next class.
func (a *arena) grow(e *entry) {
	old := a.at(e)
	class, slot := e.class, e.slot
	e.class++
	e.slot = a.get(e.class)
	copy(a.at(e), old)
	a.put(class, slot)
}
