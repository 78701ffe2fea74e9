package matchers

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

// A connection is what is known from the lines that had one id.
type connection struct {
	since   time.Time // of its first line
	addr    netip.Addr
	users   []string // those that were tried, each once
	noFail  bool     // the last line was no failure, or not yet
	gained  bool     // the last line told of a login that won
	pending bool     // a failure waits for the line that names the address
	counted bool     // a line of it was a hit
	lines   int      // that tell of failures
	quiet   int      // that would, if it comes to that
}

// connections are those of one jail.
type connections struct {
	byID  map[string]*connection
	order []aged          // by age; those that are forgotten stay until their turn comes
	dirty map[string]bool // ids that have changed since the last Save
}

type aged struct {
	id string
	c  *connection
}

// merge adds what a line says to what is known about its connection. hit says that a failure is to be
// counted, against the connection's address. The steps are fail2ban's.
func (cs *connections) merge(e event, at time.Time) (c *connection, hit bool) {
	id := string(e.id)
	c = cs.get(id, at)
	if c == nil {
		c = &connection{since: at}
		if !e.forget {
			c.addUser(e.user)
			cs.put(id, c)
		}
	} else {
		c.addUser(e.user)
		if e.gained {
			c.pending = false
		}
		if !c.noFail && !c.gained && !c.pending {
			c.lines = 0 // they have been told
		}
		if e.forget {
			delete(cs.byID, id)
		}
	}
	cs.dirty[id] = true
	if e.addr.IsValid() {
		c.addr = e.addr
	}
	c.noFail, c.gained = e.noFail || e.gained, e.gained
	if c.pending || len(c.users) > 1 {
		// A failure is waiting, or several users were tried: a login that won excuses neither.
		c.pending, c.noFail, c.gained = false, false, false
	}
	c.countLine(e.forget)
	switch {
	case c.noFail:
		return c, false
	case !c.addr.IsValid():
		c.pending = true
		return c, false
	case e.once && c.counted:
		return c, false
	}
	c.counted = true
	return c, true
}

func (c *connection) countLine(forget bool) {
	if !c.noFail {
		c.lines, c.quiet = c.lines+c.quiet+1, 0
	} else if !forget {
		c.quiet++
	}
}

func (c *connection) addUser(user []byte) {
	if len(user) == 0 || len(c.users) == maxUsers || slices.Contains(c.users, string(user)) {
		return
	}
	c.users = append(c.users, string(user))
}

func (cs *connections) get(id string, at time.Time) *connection {
	c := cs.byID[id]
	if c != nil && at.Sub(c.since) > sessionTime {
		delete(cs.byID, id)
		cs.dirty[id] = true
		return nil
	}
	return c
}

// put adds a connection; where there are too many the oldest goes.
func (cs *connections) put(id string, c *connection) {
	for len(cs.byID) >= maxSessions || len(cs.order) >= 2*maxSessions {
		if oldest := cs.order[0]; cs.byID[oldest.id] == oldest.c {
			delete(cs.byID, oldest.id)
			cs.dirty[oldest.id] = true
		}
		cs.order = cs.order[1:]
	}
	cs.byID[id] = c
	cs.order = append(cs.order, aged{id, c})
}

// sort puts the ids in order after a Load.
func (cs *connections) sort() {
	cs.order = cs.order[:0]
	for id, c := range cs.byID {
		cs.order = append(cs.order, aged{id, c})
	}
	slices.SortFunc(cs.order, func(a, b aged) int {
		return cmp.Or(a.c.since.Compare(b.c.since), cmp.Compare(a.id, b.id))
	})
}

// append writes c as it is saved: version, flags, since in Unix nanoseconds, the two counts, the address,
// the users.
func (c *connection) append(b []byte) []byte {
	var flags byte
	for i, set := range [...]bool{c.noFail, c.gained, c.pending, c.counted} {
		if set {
			flags |= 1 << i
		}
	}
	b = append(b, 1, flags)
	b = binary.AppendVarint(b, c.since.UnixNano())
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(c.lines)), uint64(c.quiet))
	addr, _ := c.addr.MarshalBinary()
	b = appendBytes(b, addr)
	for _, u := range c.users {
		b = appendBytes(b, []byte(u))
	}
	return b
}

func readConnection(b []byte) (*connection, error) {
	if len(b) < 2 || b[0] != 1 {
		return nil, errDamaged
	}
	c := &connection{noFail: b[1]&1 != 0, gained: b[1]&2 != 0, pending: b[1]&4 != 0, counted: b[1]&8 != 0}
	b = b[2:]
	since, n := binary.Varint(b)
	if n <= 0 {
		return nil, errDamaged
	}
	c.since, b = time.Unix(0, since), b[n:]
	for _, count := range []*int{&c.lines, &c.quiet} {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errDamaged
		}
		*count, b = int(v), b[n:]
	}
	addr, b, err := cutBytes(b)
	if err != nil || c.addr.UnmarshalBinary(addr) != nil {
		return nil, errDamaged
	}
	for len(b) > 0 && len(c.users) < maxUsers {
		var user []byte
		if user, b, err = cutBytes(b); err != nil {
			return nil, errDamaged
		}
		c.users = append(c.users, string(user))
	}
	return c, nil
}
