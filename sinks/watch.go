package sinks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// flushSeq is the sequence number of the message with which Flush removes the table. It comes back in the
// notice of it: a service that runs can tell the word of its operator from an accident.
const flushSeq = 0x62616e70 // "banp"

// Watch returns nil when somebody else has removed or changed something of ours: the table, a chain, a rule, a
// set, or elements of one. It hears so from the kernel, and looks at the rules every AuditEvery
// besides. It overlooks Flush. Where it would return again and again, since another program undoes what
// Sync does, it waits longer each time, up to a minute.
func (n *NFTables) Watch(ctx context.Context) error {
	n.mu.Lock()
	err := n.connect()
	w := n.notices
	n.mu.Unlock()
	if err != nil {
		return explain(err)
	}
	defer context.AfterFunc(ctx, w.wake)()
	every := n.AuditEvery
	if every <= 0 {
		every = 10 * time.Second
	}
	for audit := time.Now().Add(every); ; {
		what, by, err := n.notice(ctx, w, audit)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			if what, err = n.audit(); err != nil {
				return explain(err)
			}
			audit = time.Now().Add(every)
		case err != nil:
			return err
		}
		if what != "" {
			n.log().Warn("changed by somebody else", zap.String("what", what), zap.String("by", fmt.Sprintf("%q", by)))
			return n.fight.wait(ctx)
		}
	}
}

// notice waits until the deadline for one datagram of notices. what is "" if nothing of ours is in it; by is
// the program that made the change, if the kernel said so.
func (n *NFTables) notice(ctx context.Context, w *notices, deadline time.Time) (what, by string, err error) {
	if err := w.file.SetReadDeadline(deadline); err != nil {
		return "", "", err
	}
	// Only now: whoever wakes us before the deadline is set would be overlooked.
	if ctx.Err() != nil {
		return "", "", ctx.Err()
	}
	if w.gone.Swap(false) {
		return "table", "", nil
	}
	b, err := w.read()
	if errors.Is(err, os.ErrDeadlineExceeded) && w.gone.Swap(false) {
		return "table", "", nil
	}
	if errors.Is(err, unix.ENOBUFS) {
		w.drain()
		return "too much to tell", "", nil
	}
	if err != nil {
		return "", "", err
	}
	what, flushed := n.concerns(b)
	if flushed {
		n.log().Warn("table was removed by hand; the bans in it are lifted", zap.String("table", n.table()))
		n.mu.Lock()
		n.sets = nil
		n.mu.Unlock()
		return "", "", nil
	}
	if what == "" {
		return "", "", nil
	}
	// The notice of the new generation comes last, perhaps some datagrams on, and has the name. What else is there
	// already will be covered by the Sync that follows.
	if err := w.file.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err == nil {
		for by == "" {
			b, err := w.read()
			if err != nil {
				break
			}
			by = changedBy(b)
		}
	}
	w.drain()
	return what, by, nil
}

// concerns says what of ours the notices in a datagram are about, and whether that is a Flush.
func (n *NFTables) concerns(datagram []byte) (what string, flushed bool) {
	for m := range messages(datagram) {
		if m.typ&0xff00 != nfTables || len(m.data) < 4 || m.data[0] != unix.NFPROTO_INET {
			continue
		}
		// The first attribute of all of these is the table's name.
		if text(attribute(m.data[4:], unix.NFTA_TABLE_NAME)) != n.table() {
			continue
		}
		switch m.typ & 0xff {
		case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWTABLE: // new: it may have been made dormant
			what = "table"
		case unix.NFT_MSG_DELCHAIN:
			what = "chain"
		case unix.NFT_MSG_DELRULE:
			what = "rule"
		case unix.NFT_MSG_DELSET:
			what = "set"
		case unix.NFT_MSG_DELSETELEM:
			what = "element"
		default:
			continue
		}
		if m.seq == flushSeq {
			return "", true
		}
	}
	return what, false
}

// audit says what is not as we left it, "" if all is well: notices can be lost, and "nft flush table" leaves
// sets in which elements go on living while nothing is dropped.
func (n *NFTables) audit() (what string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sets == nil {
		return "", nil
	}
	if err := n.connect(); err != nil {
		return "", err
	}
	what, err = n.examine()
	if isTransport(err) {
		n.hangUp()
	}
	if what != "" {
		n.sets = nil
	}
	return what, err
}

func (n *NFTables) examine() (what string, err error) {
	l, err := inspectTable(n.sock, &n.batch, n.table())
	if err != nil {
		return "", err
	}
	if !l.exists || l.dormant {
		return "table", nil
	}
	h, err := n.options()
	if err != nil {
		return "", err
	}
	c, err := inspectChain(n.sock, &n.batch, n.table(), banChain)
	switch {
	case err != nil:
		return "", err
	case !c.exists || c.hook != h:
		return "chain", nil
	case c.rules < n.rules: // somebody's additional ones are let be
		return "rule", nil
	}
	return "", nil
}

// A fight is a row of changes by somebody else, each soon after the one before.
type fight struct {
	last time.Time
	held time.Duration
}

// wait holds a fight down: at once for the first change in a minute, then 100 ms, doubling up to a minute.
func (f *fight) wait(ctx context.Context) error {
	if time.Since(f.last) > 2*time.Minute {
		f.held = 0
	} else {
		f.held = min(max(2*f.held, 100*time.Millisecond), time.Minute)
	}
	select {
	case <-time.After(f.held):
		f.last = time.Now()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
