package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "s")
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("got mode %v, %v, want a socket, 0660", info.Mode(), err)
	}
	if _, err := listenControl(path); err == nil || !strings.Contains(err.Error(), "another banpipe answers") {
		t.Errorf("a second service: got %v", err)
	}
	l.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("got %v, want no socket after Close", err)
	}

	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path}) // of a service that was killed
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if l, err = listenControl(path); err != nil {
		t.Fatalf("a stale socket: got %v, want it replaced", err)
	}
	l.Close()

	for name, put := range map[string]func(string) error{
		"a file":    func(p string) error { return os.WriteFile(p, []byte("precious"), 0o600) },
		"a folder":  func(p string) error { return os.Mkdir(p, 0o700) },
		"a symlink": func(p string) error { return os.Symlink("/etc/passwd", p) },
	} {
		path := filepath.Join(dir, name)
		if err := put(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(path)
		if _, err := listenControl(path); err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s has been touched: %v", name, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.*")); len(left) != 0 {
		t.Errorf("got %q left behind", left)
	}
}

// No more than maxConns callers are served at once; the next one waits his turn, and gets it.
func TestCallersWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := listenControl(path)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	var uid string
	server := controlServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, f := range who(r) {
			if f.Key == "uid" {
				uid = strconv.FormatInt(f.Integer, 10)
			}
		}
	}), zap.New(core))
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	defer func() { server.Close(); <-done }()
	var idle []net.Conn
	for range maxConns {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	late, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	fmt.Fprint(late, "GET / HTTP/1.0\r\n\r\n")
	late.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := late.Read(make([]byte, 1)); n != 0 || !os.IsTimeout(err) {
		t.Errorf("got %d bytes, %v, want the caller to wait", n, err)
	}
	idle[0].Close()
	late.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer, err := io.ReadAll(late)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.0 200")) {
		t.Errorf("got %q, %v, want an answer", answer, err)
	}
	if uid != strconv.Itoa(os.Geteuid()) {
		t.Errorf("got uid %q, want our own", uid)
	}
	for _, c := range idle {
		c.Close()
	}
	if logs.Len() > 0 {
		t.Errorf("got %v in the log", logs.All())
	}
}

// What comes in over the socket does not disturb banning: garbage, endless bodies, callers by the hundred who never
// finish a request, and one without the right.
func TestHostileCallers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startService(t, "")
	path := s.dir + "/run/banpipe.sock"
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
			if err != nil {
				return
			}
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			switch i % 4 {
			case 0: // nothing at all
			case 1:
				fmt.Fprint(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n") // and never reads
			case 2:
				fmt.Fprint(c, "POST /v1/ban HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{\"addrs\":[\"")
				for ctx.Err() == nil {
					if _, err := c.Write(bytes.Repeat([]byte("9"), 1<<16)); err != nil {
						break
					}
				}
			case 3:
				fmt.Fprintf(c, "\x16\x03\x01\x00%s\r\n\r\n", strings.Repeat("\xff", 5000))
			}
			<-ctx.Done()
		})
	}
	s.offend("192.0.2.7", 5)
	s.holds("ban4", "192.0.2.7", true)
	rss := s.memory()
	t.Logf("%d MiB of memory", rss)
	if rss > 350 { // the race detector takes several times as much
		t.Errorf("got %d MiB of memory", rss)
	}
	// Those who say nothing lose their seats in seconds.
	if !within(30*time.Second, func() bool { _, code := s.verb("ban", "192.0.2.8"); return code == 0 }) {
		t.Error("nobody else is let in")
	}
	s.holds("ban4", "192.0.2.8", true)
	cancel()
	wg.Wait()

	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody without the right")
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "status", "--socket", path)
	cmd.Args[0] = "banpipe"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no right to talk to the service") {
		t.Errorf("without the right: got %v, %s", err, out)
	}
}

// memory is what the service has in memory, in MiB.
func (s *testService) memory() (mib int) {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rss, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rss)[0])
			return kib >> 10
		}
	}
	s.t.Fatal("no VmRSS")
	return 0
}

// A thousand requests at once, some malformed and some endless, beside readers of events who do not read: each is answered or
// refused, a ban from the log gets through, and the memory stays.
func TestThousandCallers(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	s := startService(t, "")
	s.offend("192.0.2.6", 5)
	s.holds("ban4", "192.0.2.6", true)
	path := s.dir + "/run/banpipe.sock"
	for range 8 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	before := s.memory()
	banned := callAtOnce(t, s, path, 18)
	first := s.memory()
	callAtOnce(t, s, path, 19)
	second := s.memory()
	t.Logf("memory: %d MiB before, %d and %d MiB after a thousand callers; a ban from the log took %v meanwhile", before, first, second, banned)
	if second > first+first/4+16 {
		t.Errorf("got %d MiB of memory after the second thousand, %d after the first", second, first)
	}
}

// callAtOnce has a thousand callers ban 198.net.0.0 to 198.net.3.249, all at once, and says how long a ban from the log took.
func callAtOnce(t *testing.T, s *testService, path string, net byte) (banned time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range 1000 {
		body, want := io.Reader(strings.NewReader(fmt.Sprintf(`{"addrs":["198.%d.%d.%d"],"for_seconds":600}`, net, i/250, i%250))), http.StatusOK
		switch i % 10 {
		case 3:
			body, want = strings.NewReader(`{"addrs":["`+strings.Repeat("\xff", i)), http.StatusBadRequest
		case 7:
			body, want = io.MultiReader(strings.NewReader(`{"addrs":["`), endless{}), http.StatusBadRequest
		}
		wg.Go(func() {
			<-start
			switch code, err := postOnce(path, body); {
			case err != nil && i%10 == 7: // hung up on, while it was still writing
			case err != nil || code != want:
				t.Errorf("request %d: got %d, %v, want %d", i, code, err, want)
			}
		})
	}
	begun, offender := time.Now(), fmt.Sprintf("192.0.2.%d", net)
	close(start)
	s.offend(offender, 5)
	s.holds("ban4", offender, true)
	banned = time.Since(begun)
	wg.Wait()
	s.holds("ban4", fmt.Sprintf("198.%d.3.249", net), true)
	if n := strings.Count(s.done("list"), fmt.Sprintf("198.%d.", net)); n != 800 {
		t.Errorf("got %d bans by hand, want 800", n)
	}
	return banned
}

// postOnce bans over a connection of its own.
func postOnce(path string, body io.Reader) (code int, err error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	resp, err := client.Post("http://x/v1/ban", "application/json", body)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '9'
	}
	return len(p), nil
}
