package configs

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// notices is a socket on which the kernel tells that an address or a route of this machine has changed. What it
// tells is not read, only that it does. The socket is closed when nobody has the notices any more.
type notices struct {
	socket *os.File
	conn   syscall.RawConn // the socket's
}

// openNotices returns nil if the kernel cannot be asked.
func openNotices() *notices {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil
	}
	socket := os.NewFile(uintptr(fd), "rtnetlink") // closes itself when it is no longer reachable
	const groups = unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		socket.Close()
		return nil
	}
	conn, err := socket.SyscallConn()
	if err != nil {
		socket.Close()
		return nil
	}
	return &notices{socket, conn}
}

// any reports whether something has changed since it was last called, without waiting. More than the socket has
// room for (ENOBUFS) is something, too.
func (n *notices) any() (changed bool) {
	if n == nil {
		return false
	}
	var buf [1]byte
	_ = n.conn.Control(func(fd uintptr) {
		for {
			_, _, err := unix.Recvfrom(int(fd), buf[:], unix.MSG_DONTWAIT|unix.MSG_TRUNC)
			switch err {
			case nil, unix.ENOBUFS:
				changed = true
			case unix.EINTR:
			default:
				return
			}
		}
	})
	return changed
}
