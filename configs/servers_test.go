package configs

import (
	"bytes"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Tests with real servers run in a network of their own, where lo has the addresses of the clients.

const testInside = "BANPIPE_TEST_INSIDE"

// victim is whom the forgers want to see banned.
const victim = "192.0.2.66"

// inNamespace runs the test again in namespaces of its own, as root there, and reports whether this is that run.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(testInside) != "" {
		return true
	}
	needProgram(t, "ip")
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), testInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Skipf("needs namespaces: %v", err)
	}
	if err != nil {
		t.Fatalf("in the namespaces: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("in the namespaces: %s", out)
	}
	return false
}

func needProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs the program %s", name)
	}
	return path
}

// network gives lo its addresses.
func network(t *testing.T) {
	t.Helper()
	for _, args := range []string{"link set lo up", "addr add 192.0.2.0/24 dev lo", "-6 route add local 2001:db8::/64 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	if out, err := exec.Command("ip", "route", "add", "local", "192.0.2.0/24", "dev", "lo").CombinedOutput(); err != nil && !strings.Contains(string(out), "exists") {
		t.Fatalf("ip route: %v: %s", err, out)
	}
	if out, err := exec.Command("ip", "-6", "addr", "add", "2001:db8::10/64", "dev", "lo", "nodad").CombinedOutput(); err != nil {
		t.Fatalf("ip addr: %v: %s", err, out)
	}
}

// serve runs a server until the end of the test, and waits until it answers at addr.
func serve(t *testing.T, addr string, path string, args ...string) {
	t.Helper()
	cmd := exec.Command(path, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 500 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond) // a real process: it says by nothing else that it is ready
	}
	_ = cmd.Process.Kill()
	t.Fatalf("%s does not answer: %s", path, out.String())
}

// from makes connections from an address of its own.
func from(addr string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}, Timeout: 5 * time.Second}
}

// expect runs each jail alone over the logs in dir and compares whom it bans.
func expect(t *testing.T, dir string, want map[string][]string) {
	t.Helper()
	const text = "[paths]\nnginx_access_log = ['D/access.log']\nnginx_error_log = ['D/error.log']\nsshd_log = ['D/auth.log']\n[defaults]\nfindtime = '1d'\nbantime = '1d'\n"
	cfg, err := Parse(filepath.Join(dir, "b.toml"), []byte(strings.ReplaceAll(text, "D/", dir+"/")))
	if err != nil {
		t.Fatal(err)
	}
	for jail, addrs := range want {
		var out bytes.Buffer
		built, err := Build(cfg, BuildOptions{Jails: []string{jail}, Strict: true, Once: true, DryRun: true, JSON: true, Out: &out, Own: none})
		if err != nil {
			t.Fatal(err)
		}
		if err := built.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(bansBy(t, &out))); !slices.Equal(got, slices.Sorted(slices.Values(addrs))) {
			t.Errorf("%s: got %q, want %q", jail, got, addrs)
		}
	}
	if t.Failed() {
		for name := range map[string]bool{"access.log": true, "error.log": true, "auth.log": true} {
			if log, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				t.Logf("%s:\n%s", name, log)
			}
		}
	}
}
