package sinks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A socket speaks to nf_tables: batches, dumps and single questions. It belongs to one goroutine at a
// time. After an error of isTransport it is out of step with the kernel: close it.
type socket struct {
	fd   int
	port uint32 // our address; the kernel puts it into the notices of what we change
	seq  uint32 // of the last message sent
	buf  []byte // what is received
}

// The kernel answers before sendto returns, unless somebody else's huge transaction is in the way.
const answerTimeout = 10 * time.Second

// 32 KiB is what the kernel fills at most for one piece of a dump; less makes dumps of large sets
// slower by the square, since the kernel walks the set anew for every piece.
const receiveBuffer = 32 << 10

const sendBuffer = 4 << 20

var (
	errNoAnswer  = errors.New("netlink: no answer from the kernel")
	errOutOfStep = errors.New("netlink: not an answer to what was asked")
)

// isTransport reports whether an error is the socket's: over a new one the same may go well.
func isTransport(err error) bool {
	return errors.Is(err, errNoAnswer) || errors.Is(err, errOutOfStep) || errors.As(err, new(*os.SyscallError))
}

// dial opens a socket in the network namespace of the calling thread.
func dial() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, os.NewSyscallError("netlink: socket", err)
	}
	s := &socket{fd: fd, buf: make([]byte, receiveBuffer)}
	if err := s.prepare(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) prepare() error {
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("netlink: bind", err)
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return os.NewSyscallError("netlink: getsockname", err)
	}
	if own, ok := name.(*unix.SockaddrNetlink); ok {
		s.port = own.Pid
	}
	// The structure of a table with many sets needs more than the default. Beyond the system's limit only
	// the real root may go; without it 416 KiB have to do.
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	}
	limit := unix.NsecToTimeval(int64(answerTimeout))
	return os.NewSyscallError("netlink: setsockopt", errors.Join(
		// Errors say where in the message the trouble was, and do not repeat the message.
		unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1),
		unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1),
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
	))
}

func (s *socket) close() { _ = unix.Close(s.fd) }

// A kernelError is what the kernel says to messages of ours.
type kernelError struct {
	fails []fail // in the order of the messages; at least one
}

// A fail is one message that was refused.
type fail struct {
	errno unix.Errno
	index int    // of the message in the batch; -1: the batch as a whole
	at    int    // where in the message, in bytes; 0 if the kernel did not say
	what  string // mark.what
	text  string // the kernel's own words, often ""
}

func (e *kernelError) Error() string {
	f := e.fails[0]
	msg := f.errno.Error()
	if f.what != "" {
		msg = f.what + ": " + msg
	}
	if f.text != "" {
		msg += fmt.Sprintf(" (%q)", f.text)
	}
	if n := len(e.fails); n > 1 {
		msg += fmt.Sprintf(", and %d more", n-1)
	}
	return msg
}

// Is makes errors.Is find the errno of any message.
func (e *kernelError) Is(target error) bool {
	for _, f := range e.fails {
		if errors.Is(f.errno, target) {
			return true
		}
	}
	return false
}

// commit sends the batch and waits for the kernel's word. An error that is a *kernelError means that
// nothing was changed.
func (s *socket) commit(b *batch, rehearsal bool) error {
	last := b.end(rehearsal)
	s.seq = last + 1
	if err := s.send(b.buf); err != nil {
		return err
	}
	var refused kernelError
	for done := false; !done; {
		msgs, err := s.receive(0)
		if err != nil {
			return err
		}
		for m := range messages(msgs) {
			index := int(int32(m.seq - b.first))
			if m.typ != unix.NLMSG_ERROR || index < 0 || m.seq > last {
				return fmt.Errorf("%w: message %d of type %#x, want %d to %d", errOutOfStep, m.seq, m.typ, b.first, last)
			}
			f := m.fail()
			f.index = index - 1
			if index > 0 {
				f.what = b.marks[index-1].what
			}
			if f.errno != 0 {
				refused.fails = append(refused.fails, f)
			}
			// What concerns the whole batch comes alone, or with the others behind it.
			done = done || m.seq == last || index == 0 && f.errno != 0
		}
	}
	if len(refused.fails) > 0 {
		s.drain()
		return &refused
	}
	return nil
}

// ask sends the one message in b and goes over its answers, with NLM_F_DUMP all of them. each gets a
// message's attributes, which are good only during the call. The dump is interrupted if the
// rules changed meanwhile: it may lack or repeat things.
func (s *socket) ask(b *batch, flags uint16, each func(attrs []byte)) (interrupted bool, err error) {
	b.flags(b.open, flags, 0)
	last := b.first + uint32(len(b.marks))
	s.seq = last
	begin := headerLen // BATCH_BEGIN, which questions do without
	if err := s.send(b.buf[begin:]); err != nil {
		return false, err
	}
	for {
		msgs, err := s.receive(0)
		if err != nil {
			return false, err
		}
		for m := range messages(msgs) {
			if m.seq != last {
				return false, fmt.Errorf("%w: message %d, want %d", errOutOfStep, m.seq, last)
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case m.typ == unix.NLMSG_DONE:
				return interrupted, nil
			case m.typ == unix.NLMSG_ERROR:
				f := m.fail()
				f.what = b.marks[0].what
				if f.errno == 0 {
					return interrupted, nil
				}
				return false, &kernelError{fails: []fail{f}}
			case len(m.data) < 4:
				return false, fmt.Errorf("%w: message of type %#x is too short", errOutOfStep, m.typ)
			}
			each(m.data[4:])
			if flags&unix.NLM_F_DUMP == 0 {
				return false, nil
			}
		}
	}
}

func (s *socket) send(msg []byte) error {
	err := unix.Sendto(s.fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if errors.Is(err, unix.EAGAIN) {
		return errNoAnswer
	}
	return os.NewSyscallError("netlink: send", err)
}

// receive reads one datagram; it is good until the next one.
func (s *socket) receive(flags int) ([]byte, error) {
	for {
		n, _, rflags, from, err := unix.Recvmsg(s.fd, s.buf, nil, flags)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil, errNoAnswer
		case err != nil:
			return nil, os.NewSyscallError("netlink: receive", err)
		case rflags&unix.MSG_TRUNC != 0:
			return nil, fmt.Errorf("%w: a datagram of more than %d bytes", errOutOfStep, len(s.buf))
		}
		if own, ok := from.(*unix.SockaddrNetlink); ok && own.Pid == 0 { // others may send to us, too
			return s.buf[:n], nil
		}
	}
}

// drain throws away what is left of an answer.
func (s *socket) drain() {
	for {
		if _, err := s.receive(unix.MSG_DONTWAIT); err != nil {
			return
		}
	}
}

// A message is one netlink message without its header.
type message struct {
	typ, flags uint16
	seq, port  uint32
	data       []byte // from nfgenmsg on, or nlmsgerr
}

// messages goes over a datagram; what is cut short ends it.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			n := int(binary.NativeEndian.Uint32(b))
			if n < unix.SizeofNlMsghdr || n > len(b) {
				return
			}
			m := message{
				typ:   binary.NativeEndian.Uint16(b[4:]),
				flags: binary.NativeEndian.Uint16(b[6:]),
				seq:   binary.NativeEndian.Uint32(b[8:]),
				port:  binary.NativeEndian.Uint32(b[12:]),
				data:  b[unix.SizeofNlMsghdr:n],
			}
			if !yield(m) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// fail reads an NLMSG_ERROR: struct nlmsgerr (an errno and the header of our message), then what
// NETLINK_EXT_ACK adds.
func (m message) fail() fail {
	if len(m.data) < 4+unix.SizeofNlMsghdr {
		return fail{errno: unix.EBADMSG}
	}
	f := fail{errno: unix.Errno(-int32(binary.NativeEndian.Uint32(m.data)))}
	if m.flags&unix.NLM_F_ACK_TLVS == 0 {
		return f
	}
	for typ, data := range attributes(m.data[4+unix.SizeofNlMsghdr:]) {
		switch {
		case typ == unix.NLMSGERR_ATTR_MSG:
			f.text = text(data)
		case typ == unix.NLMSGERR_ATTR_OFFS && len(data) >= 4:
			f.at = int(binary.NativeEndian.Uint32(data))
		}
	}
	return f
}
