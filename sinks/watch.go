package sinks

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// flushSeq is the sequence number of the message with which Flush removes the table. It comes back in the
// notice of it: a service that runs can tell the word of its operator from an accident.
const flushSeq = 0x62616e70 // "banp"

// notices is a socket in the multicast group NFTABLES: the kernel tells it every change of the rules, here
// within some 20 µs. It has no news of our own changes, nor of elements that end by themselves.
type notices struct {
	file *os.File
	conn syscall.RawConn
	buf  []byte
	gone atomic.Bool // the table was found missing by someone else than Watch
}

func listen() (*notices, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, os.NewSyscallError("netlink: socket", err)
	}
	file := os.NewFile(uintptr(fd), "netlink") // non-blocking, so it waits in the runtime's poller
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES)
	}
	if err != nil {
		_ = file.Close()
		return nil, os.NewSyscallError("netlink: join group", err)
	}
	conn, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &notices{file: file, conn: conn, buf: make([]byte, 64<<10)}, nil
}

func (w *notices) close() { _ = w.file.Close() }

// overlook has the kernel leave out what the socket at port does: otherwise a bulk load of ours would overrun
// the buffer, and look like somebody else's change. All messages of one datagram have one sender, so
// its first header tells.
func (w *notices) overlook(port uint32) error {
	// A classic BPF program loads in network byte order, netlink's headers are in the host's.
	word := binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, port))
	const portOffset = 12 // nlmsghdr.nlmsg_pid
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: portOffset},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: word, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff}, // keep
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},          // leave out
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: unsafe.SliceData(program)}
	var err error
	if e := w.conn.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
	}); e != nil {
		return e
	}
	return os.NewSyscallError("netlink: filter", err)
}

// note has Watch return nil, now or when it is called.
func (w *notices) note() {
	w.gone.Store(true)
	w.wake()
}

func (w *notices) wake() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) }

// read waits for the next datagram until the deadline.
func (w *notices) read() (b []byte, err error) {
	n := 0
	if e := w.conn.Read(func(fd uintptr) bool {
		n, err = unix.Read(int(fd), w.buf)
		return !errors.Is(err, unix.EAGAIN)
	}); e != nil {
		return nil, e
	}
	return w.buf[:max(n, 0)], os.NewSyscallError("netlink: receive", err)
}

// drain throws away the notices that are there.
func (w *notices) drain() {
	_ = w.conn.Control(func(fd uintptr) {
		for {
			if _, err := unix.Read(int(fd), w.buf); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return
			}
		}
	})
}

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
		return n.explain(err)
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
				return n.explain(err)
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

// changedBy reads who made a change from the notice of the new generation.
func changedBy(datagram []byte) string {
	for m := range messages(datagram) {
		if m.typ == nfTables|unix.NFT_MSG_NEWGEN && len(m.data) >= 4 {
			return text(attribute(m.data[4:], unix.NFTA_GEN_PROC_NAME))
		}
	}
	return ""
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
	var kernel *kernelError
	if err != nil && !errors.As(err, &kernel) {
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
