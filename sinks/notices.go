package sinks

import (
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// changedBy reads who made a change from the notice of the new generation.
func changedBy(datagram []byte) string {
	for m := range messages(datagram) {
		if m.typ == nfTables|unix.NFT_MSG_NEWGEN && len(m.data) >= 4 {
			return text(attribute(m.data[4:], unix.NFTA_GEN_PROC_NAME))
		}
	}
	return ""
}
