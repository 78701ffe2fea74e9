package sinks

import (
	"cmp"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// A change is what shall become of one element.
type change struct {
	scope
	addr    netip.Addr
	out     bool             // the element goes
	timeout uint64           // in milliseconds; 0 means for ever
	action  *pipeline.Action // what asked for it; nil: Sync
}

const (
	// The changes in one batch. Giant transactions get dearer, and above 1,260 IPv6 elements the length of
	// a list overflows.
	maxChanges = 1000

	// The most bytes that a change takes, and that go around those of one set: four messages with
	// headers, their attributes and the table's name; the set's name comes on top.
	changeSize = 28 + 28 + 52
	setSize    = 4 * (headerLen + 16 + 64)

	// Longer bans are cut to this: Linux takes 213,503 days on 64 bits, and less where jiffies are
	// shorter. Sync moves the end out again at every start.
	maxTimeout = 365 * 24 * time.Hour
)

// changesOf says what an action asks of the kernel at the time now; it does not set change.action.
func changesOf(a *pipeline.Action, now time.Time) ([]change, error) {
	switch a.Op {
	case pipeline.Pause, pipeline.Resume:
		var both []change
		for _, addr := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			c := timing(a, now)
			c.scope, c.addr = scope{v6: addr.Is6(), pass: true}, addr
			both = append(both, c)
		}
		return both, nil
	}
	s, addr, err := scopeOf(a)
	if err != nil {
		return nil, err
	}
	if a.Op == pipeline.Allow || a.Op == pipeline.Disallow {
		if !s.isHost() {
			return nil, errors.New("the kernel's list of who is let through holds single addresses only")
		}
		s.pass, s.ports = true, ""
	}
	c := timing(a, now)
	c.scope, c.addr = s, addr
	return []change{c}, nil
}

// timing says whether an element goes, or when it ends.
func timing(a *pipeline.Action, now time.Time) (c change) {
	left := a.Until.Sub(now)
	switch {
	case a.Op.Ends() || !a.Until.IsZero() && left <= 0:
		c.out = true
	case !a.Until.IsZero():
		c.timeout = timeoutFor(left)
	}
	return c
}

// timeoutFor rounds up: a timeout below 1 ms would be sent as 0, which is for ever.
func timeoutFor(left time.Duration) uint64 {
	return uint64((min(max(left, 1), maxTimeout) + time.Millisecond - 1) / time.Millisecond)
}

// single leaves the last of those changes that are about the same element: two in one batch would fail it.
func single(changes []change) []change {
	if len(changes) < 2 {
		return changes
	}
	type key struct {
		scope
		addr netip.Addr
	}
	at := make(map[key]int, len(changes))
	kept := changes[:0]
	for _, c := range changes {
		k := key{c.scope, c.addr}
		if i, twice := at[k]; twice {
			kept[i] = c
			continue
		}
		at[k] = len(kept)
		kept = append(kept, c)
	}
	return kept
}

// order sorts changes into runs of one set each, and those by kind.
func order(changes []change) {
	slices.SortStableFunc(changes, func(a, b change) int {
		if a.scope == b.scope {
			return cmp.Compare(a.kind(), b.kind())
		}
		return compareScopes(a.scope, b.scope)
	})
}

// The kinds of a change, in the order in which a batch has them. In one list all elements have one size, so that
// the place of an error tells which it was.
const (
	timed = iota
	forEver
	goes
)

func (c *change) kind() int {
	switch {
	case c.out:
		return goes
	case c.timeout == 0:
		return forEver
	}
	return timed
}

// part is as many of the ordered changes as go into one batch.
func part(changes []change) []change {
	size := 0
	for i := range changes {
		if i == 0 || changes[i].scope != changes[i-1].scope {
			size += setSize + 4*(len(changes[i].name())+4)
		}
		size += changeSize
		if i == maxChanges || size > maxBatch {
			return changes[:i]
		}
	}
	return changes
}

// addElements writes a part of the ordered changes.
//
// Where the kernel updates elements (see learn), those that shall be there are added, whether they are
// there or not. An older one leaves the timeout of an element that exists alone, and says that all is
// well: there they are added, deleted and added again, in one transaction. The new end counts, and no packet
// slips through; but it costs three times as much.
//
// Those that go are added first, too: a delete of an element that does not exist fails the whole batch.
// (NFT_MSG_DESTROYSETELEM, Linux 6.3, would do without; 6.1 answers EINVAL.)
func (b *batch) addElements(table string, changes []change, updates bool) {
	for at := 0; at < len(changes); {
		s, set := changes[at].scope, changes[at].name()
		var end [3]int // behind the last of each kind in this run
		for n, kind := at, timed; kind <= goes; kind++ {
			for n < len(changes) && changes[n].scope == s && changes[n].kind() == kind {
				n++
			}
			end[kind] = n
		}
		absent := at // from here on none may be there
		if updates {
			absent = end[forEver]
		}
		b.addList(unix.NFT_MSG_NEWSETELEM, table, set, changes, absent, end[goes], false)
		b.addList(unix.NFT_MSG_DELSETELEM, table, set, changes, absent, end[goes], false)
		b.addList(unix.NFT_MSG_NEWSETELEM, table, set, changes, at, end[timed], true)
		b.addList(unix.NFT_MSG_NEWSETELEM, table, set, changes, end[timed], end[forEver], true)
		at = end[goes]
	}
}

// addList writes one message with the changes from the one place to before the other.
func (b *batch) addList(typ uint16, table, set string, changes []change, from, to int, timeouts bool) {
	if from == to {
		return
	}
	flags := uint16(0)
	if typ == unix.NFT_MSG_NEWSETELEM {
		flags = unix.NLM_F_CREATE
	}
	b.add(typ, flags, "set "+set)
	b.attrString(unix.NFTA_SET_ELEM_LIST_TABLE, table)
	b.attrString(unix.NFTA_SET_ELEM_LIST_SET, set)
	list := b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS | unix.NLA_F_NESTED)
	start := len(b.buf)
	for i := from; i < to; i++ {
		b.addElement(&changes[i], timeouts)
	}
	m := &b.marks[len(b.marks)-1]
	m.from, m.elems, m.size = from, start-b.open, (len(b.buf)-start)/(to-from)
	b.unnest(list)
}

// addElement writes one element in one go; it is the only part that a flood of bans spends time in.
func (b *batch) addElement(c *change, timeout bool) {
	n := 12 + c.addrLen()
	size := n
	if timeout {
		size += 12
	}
	if timeout && c.timeout != 0 {
		size += 12
	}
	order := binary.NativeEndian
	b.buf = order.AppendUint16(b.buf, uint16(size))
	b.buf = order.AppendUint16(b.buf, unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED)
	b.buf = order.AppendUint16(b.buf, uint16(n-4))
	b.buf = order.AppendUint16(b.buf, unix.NFTA_SET_ELEM_KEY|unix.NLA_F_NESTED)
	b.buf = order.AppendUint16(b.buf, uint16(n-8))
	b.buf = order.AppendUint16(b.buf, unix.NFTA_DATA_VALUE)
	if c.v6 {
		addr := c.addr.As16()
		b.buf = append(b.buf, addr[:]...)
	} else {
		addr := c.addr.As4()
		b.buf = append(b.buf, addr[:]...)
	}
	if timeout {
		b.attrUint64(unix.NFTA_SET_ELEM_TIMEOUT, c.timeout)
	}
	if timeout && c.timeout != 0 {
		// Otherwise an update with the timeout that the element has already would leave its end.
		b.attrUint64(unix.NFTA_SET_ELEM_EXPIRATION, c.timeout)
	}
}

// blamed is the change that a fail is about; ok is false if the kernel did not say.
func (b *batch) blamed(f fail) (i int, ok bool) {
	if f.index < 0 || f.index >= len(b.marks) || f.at == 0 {
		return 0, false
	}
	m := b.marks[f.index]
	if m.elems == 0 || f.at < m.elems {
		return 0, false
	}
	return m.from + (f.at-m.elems)/m.size, true
}

// An element is what a set holds.
type element struct {
	addr netip.Addr
	left time.Duration // until it ends; 0 means never
}

// askElements writes the question for all elements of a set.
func (b *batch) askElements(table, set string) {
	b.add(unix.NFT_MSG_GETSETELEM, 0, "set "+set)
	b.attrString(unix.NFTA_SET_ELEM_LIST_TABLE, table)
	b.attrString(unix.NFTA_SET_ELEM_LIST_SET, set)
}

// readElements reads a piece of the answer.
func readElements(attrs []byte, each func(element)) {
	for _, elem := range attributes(attribute(attrs, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
		var e element
		for typ, data := range attributes(elem) {
			switch typ {
			case unix.NFTA_SET_ELEM_KEY:
				e.addr, _ = netip.AddrFromSlice(attribute(data, unix.NFTA_DATA_VALUE))
			case unix.NFTA_SET_ELEM_EXPIRATION:
				// One that is just ending has 0 left, which would read as for ever.
				e.left = time.Duration(max(1, min(number64(data), 1<<43))) * time.Millisecond
			}
		}
		if e.addr.IsValid() {
			each(e)
		}
	}
}
