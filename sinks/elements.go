package sinks

import (
	"encoding/binary"
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
	timeout uint64           // in milliseconds; 0 means for ever
	out     bool             // the element goes
	action  *pipeline.Action // what asked for it; nil: Sync
}

const (
	// The changes in one batch. Giant transactions get dearer, and above 1,638 IPv6 elements the length of
	// a list overflows.
	maxChanges = 1000

	// The most bytes that a change takes, and that go around those of one set: three messages with
	// headers, their attributes and the table's name; the set's name comes on top.
	changeSize = 28 + 28 + 40
	setSize    = 3 * (headerLen + 16 + 64)

	// Longer bans are cut to this: Linux takes 213,503 days on 64 bits, and less where jiffies are
	// shorter. Sync moves the end out again at every start.
	maxTimeout = 365 * 24 * time.Hour
)

// changeOf says what an action asks of the kernel at the time now; it does not set change.action.
func changeOf(a *pipeline.Action, now time.Time) (change, error) {
	s, addr, err := scopeOf(a)
	if err != nil {
		return change{}, err
	}
	c := change{scope: s, addr: addr, out: a.Op == pipeline.Unban}
	if !c.out && !a.Until.IsZero() {
		left := a.Until.Sub(now)
		c.out = left <= 0
		c.timeout = timeoutFor(left)
	}
	return c, nil
}

// timeoutFor rounds up: a timeout below 1 ms would be sent as 0, which is for ever.
func timeoutFor(left time.Duration) uint64 {
	return uint64((min(max(left, 1), maxTimeout) + time.Millisecond - 1) / time.Millisecond)
}

// order sorts changes into runs of one set each, in which those that put come before those that take out.
func order(changes []change) {
	slices.SortStableFunc(changes, func(a, b change) int {
		if a.scope == b.scope {
			return boolCompare(a.out, b.out)
		}
		return compareScopes(a.scope, b.scope)
	})
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// part is as many of the ordered changes as go into one batch.
func part(changes []change) []change {
	size := 0
	for i := range changes {
		if i == 0 || changes[i].scope != changes[i-1].scope {
			size += setSize + 3*(len(changes[i].name())+4)
		}
		size += changeSize
		if i == maxChanges || size > maxBatch {
			return changes[:i]
		}
	}
	return changes
}

// addElements writes a part of the ordered changes. Each element is added, deleted and, if it
// shall be there, added again with its timeout, all in one transaction:
//
//   - an add of an element that exists leaves its timeout alone before Linux 6.12, and says that all is
//     well; with the delete in between the new end counts on every kernel, and no packet slips through;
//   - a delete of an element that does not exist fails the whole batch; with the add before it never does.
//     (NFT_MSG_DESTROYSETELEM, Linux 6.3, would do without; 6.1 answers EINVAL.)
func (b *batch) addElements(table string, changes []change) {
	for at := 0; at < len(changes); {
		s := changes[at].scope
		n, puts := 0, 0
		for _, c := range changes[at:] {
			if c.scope != s {
				break
			}
			n++
			if !c.out {
				puts++
			}
		}
		set := s.name()
		b.addList(unix.NFT_MSG_NEWSETELEM, table, set, changes[at:at+n], at, false)
		b.addList(unix.NFT_MSG_DELSETELEM, table, set, changes[at:at+n], at, false)
		if puts > 0 {
			b.addList(unix.NFT_MSG_NEWSETELEM, table, set, changes[at:at+puts], at, true)
		}
		at += n
	}
}

func (b *batch) addList(typ uint16, table, set string, changes []change, from int, timeouts bool) {
	flags := uint16(0)
	if typ == unix.NFT_MSG_NEWSETELEM {
		flags = unix.NLM_F_CREATE
	}
	b.add(typ, flags, "set "+set)
	b.attrString(unix.NFTA_SET_ELEM_LIST_TABLE, table)
	b.attrString(unix.NFTA_SET_ELEM_LIST_SET, set)
	list := b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS | unix.NLA_F_NESTED)
	start := len(b.buf)
	for i := range changes {
		b.addElement(&changes[i], timeouts)
	}
	m := &b.marks[len(b.marks)-1]
	m.from, m.elems, m.size = from, start-b.open, (len(b.buf)-start)/len(changes)
	b.unnest(list)
}

// addElement writes one element in one go; it is the only part that a flood of bans spends time in.
func (b *batch) addElement(c *change, timeout bool) {
	n := 12 + c.addrLen()
	size := n
	if timeout {
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
