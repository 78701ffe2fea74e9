package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// socketGroup may use the socket, beside root.
const socketGroup = "banpipe"

// maxConns is how many callers are served at once; others wait to be let in.
const maxConns = 128

// listenControl makes the control socket: 0660, of the group banpipe where there is one. A socket that nobody
// answers on any more is replaced; anything else at the path is left alone.
func listenControl(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there and is no socket: it is left alone", path)
	default:
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s: another banpipe answers there", path)
		}
	}
	// Under another name first, so that nobody gets in before the rights are right, or finds it missing.
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	os.Remove(fresh)
	l, err := net.Listen("unix", fresh)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := secure(fresh); err == nil {
		err = os.Rename(fresh, path)
		if err == nil {
			return &controlListener{Listener: l, path: path, seats: make(chan struct{}, maxConns), closed: make(chan struct{})}, nil
		}
	}
	l.Close()
	os.Remove(fresh)
	return nil, fmt.Errorf("%s: %w", path, err)
}

func secure(path string) error {
	if g, err := user.LookupGroup(socketGroup); err == nil {
		if gid, err := strconv.Atoi(g.Gid); err == nil {
			if err := os.Lchown(path, -1, gid); err != nil && os.Geteuid() == 0 {
				return err
			}
		}
	}
	return os.Chmod(path, 0o660)
}

// A controlListener lets in as many callers as there are seats.
type controlListener struct {
	net.Listener
	path   string
	seats  chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *controlListener) Accept() (net.Conn, error) {
	select {
	case l.seats <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.seats
		return nil, err
	}
	return &controlConn{Conn: c, leave: sync.OnceFunc(func() { <-l.seats })}, nil
}

// Close removes the socket, too, unless another one is at its path by now.
func (l *controlListener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closed)
		os.Remove(l.path)
		err = l.Listener.Close()
	})
	return err
}

type controlConn struct {
	net.Conn
	leave func()
}

func (c *controlConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// A callerKey finds who is at the other end, in the context of a request.
type callerKey struct{}

// caller asks the kernel who has connected (SO_PEERCRED, unix(7)).
func caller(c net.Conn) *unix.Ucred {
	if cc, ok := c.(*controlConn); ok {
		c = cc.Conn
	}
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return nil
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil
	}
	var cred *unix.Ucred
	_ = raw.Control(func(fd uintptr) { cred, _ = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred
}

// who is the caller of a request, for the log.
func who(r *http.Request) []zap.Field {
	cred, _ := r.Context().Value(callerKey{}).(*unix.Ucred)
	if cred == nil {
		return nil
	}
	fields := []zap.Field{zap.Uint32("uid", cred.Uid), zap.Int32("pid", cred.Pid)}
	if u, err := user.LookupId(strconv.FormatUint(uint64(cred.Uid), 10)); err == nil {
		fields = append(fields, zap.String("user", u.Username))
	}
	return fields
}

// controlServer serves h with limits on everything that a caller could draw out.
func controlServer(h http.Handler, log *zap.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(log),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, callerKey{}, caller(c))
		},
	}
}

// noService reports whether an error of a call means that nobody listens.
func noService(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) // it was just ending
}
