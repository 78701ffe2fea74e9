package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// All tests of this package run in a network and a mount namespace of their own, so none of them can touch the
// machine's rules, nor ufw's files: TestMain starts the test binary once more in new ones, as root directly, otherwise
// inside a new user namespace.

const inNamespace = "BANPIPE_TEST_NETNS"

func TestMain(m *testing.M) {
	if os.Getenv(inNamespace) == "" {
		if code, err := again(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err == nil {
			os.Exit(code)
		}
		code, err := again(unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUSER)
		if err == nil {
			os.Exit(code)
		}
		os.Setenv(inNamespace, "no: "+err.Error())
	} else if err := loopbackUp(); err != nil {
		fmt.Fprintf(os.Stderr, "loopback: %v\n", err)
		os.Exit(1)
	} else if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		fmt.Fprintf(os.Stderr, "mounts: %v\n", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// loopbackUp sets lo up, which a new namespace has down. The net package looks at it once to see whether
// it can serve IPv4 and IPv6 on one socket.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// again runs this program in new namespaces; err means that it could not be started there.
func again(namespaces uintptr) (code int, err error) {
	runtime.LockOSThread() // Pdeathsig goes by the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespace+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	if namespaces&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if exit := new(exec.ExitError); errors.As(cmd.Wait(), &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, nil
}

// needKernel skips a test that needs nf_tables where it cannot have a namespace.
func needKernel(t testing.TB) {
	t.Helper()
	if why := os.Getenv(inNamespace); why != "yes" {
		t.Skipf("needs root or unprivileged user namespaces: %s", why)
	}
}

// needProgram skips a test that needs a program which is not installed.
func needProgram(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs the program %s: %v", name, err)
	}
}

// run runs a command line in the namespace of the calling thread and returns what it printed.
func run(t testing.TB, line string) string {
	t.Helper()
	words := strings.Fields(line)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// nft runs commands of the nft program, one to a line.
func nft(t testing.TB, commands string) string {
	t.Helper()
	needProgram(t, "nft")
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(commands)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %s: %v: %s", commands, err, out)
	}
	return string(out)
}

// A peer is another host on a wire to this one: some threads in a network namespace of their own.
type peer struct{ work chan func() }

// newPeer lays the wire, with the addresses here and there. Its two ends go with the test.
func newPeer(t *testing.T, here, there []string) *peer {
	needKernel(t)
	needProgram(t, "ip")
	p := &peer{work: make(chan func())}
	namespace := p.thread(t, func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	for range 7 {
		p.thread(t, func() error {
			fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", namespace), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Setns(fd, unix.CLONE_NEWNET)
		})
	}
	run(t, "ip link add here type veth peer name there netns "+strconv.Itoa(namespace))
	t.Cleanup(func() {
		run(t, "ip link del here")
		close(p.work)
	})
	for _, addr := range here {
		run(t, "ip addr add "+addr+" dev here nodad")
	}
	run(t, "ip link set here up")
	p.do(func() {
		for _, addr := range there {
			run(t, "ip addr add "+addr+" dev there nodad")
		}
		run(t, "ip link set there up")
	})
	return p
}

// thread starts a thread of the peer's and returns its id. It is never unlocked, so it ends with its goroutine,
// and the namespace with the last of them.
func (p *peer) thread(t *testing.T, enter func() error) int {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		if err := enter(); err != nil {
			t.Errorf("namespace: %v", err)
		}
		tid <- unix.Gettid()
		for f := range p.work {
			f()
		}
	}()
	return <-tid
}

// do runs f in the peer's namespace and waits for it.
func (p *peer) do(f func()) {
	done := make(chan struct{})
	p.work <- func() { defer close(done); f() }
	<-done
}

// echo answers on a TCP and a UDP port of all addresses here, until the test ends.
func echo(t *testing.T, port int) {
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{Port: port})
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{Port: port})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		tcp.Close()
		udp.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { c.Close() })
			all.Go(func() { io.Copy(c, c) })
		}
	})
	all.Go(func() {
		buf := make([]byte, 16)
		for {
			n, from, err := udp.ReadFromUDP(buf)
			if err != nil {
				return
			}
			udp.WriteToUDP(buf[:n], from)
		}
	})
}

// ask sends a word from the peer's address to the echo and waits for the answer.
func (p *peer) ask(network, from, to string, port int, patience time.Duration) (err error) {
	p.do(func() {
		dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		if network == "udp" {
			dialer.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
		}
		var c net.Conn
		if c, err = dialer.Dial(network, net.JoinHostPort(to, strconv.Itoa(port))); err != nil {
			return
		}
		defer c.Close()
		err = word(c, patience)
	})
	return err
}

// word sends a word over c and waits for it to come back.
func word(c net.Conn, patience time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	buf := make([]byte, 16)
	n, err := c.Read(buf)
	if err == nil && string(buf[:n]) != "hello" {
		return fmt.Errorf("got %q, want hello", buf[:n])
	}
	return err
}
