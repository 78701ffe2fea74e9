package configs

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A syslog is what listens at /dev/log and writes auth.log as rsyslog does by default.
type syslog struct {
	mu   sync.Mutex // guards file
	file *os.File
}

// newSyslog makes a /dev of the test's own, since sshd's libc knows only that path.
func newSyslog(t *testing.T, dir string) {
	t.Helper()
	dev := filepath.Join(dir, "dev")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Skipf("needs a /dev of its own: %v", err)
		}
	}
	must(os.Mkdir(dev, 0o755))
	must(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
	must(syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755")) // where sshd wants a folder
	must(os.Mkdir("/run/sshd", 0o755))
	must(syscall.Mount("tmpfs", dev, "tmpfs", 0, "mode=755"))
	for _, name := range []string{"null", "zero", "urandom", "random", "tty"} {
		must(os.WriteFile(filepath.Join(dev, name), nil, 0o666))
		must(syscall.Mount("/dev/"+name, filepath.Join(dev, name), "", syscall.MS_BIND, ""))
	}
	must(syscall.Mount(dev, "/dev", "", syscall.MS_MOVE, ""))
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/dev/log", Net: "unixgram"})
	must(err)
	must(os.Chmod("/dev/log", 0o666))
	file, err := os.Create(filepath.Join(dir, "auth.log"))
	must(err)
	s := &syslog{file: file}
	go s.read(conn)
	t.Cleanup(func() { conn.Close(); file.Close() })
}

// read writes what comes: "<38>Nov 22 07:23:11 sshd[811]: …" with a host behind the date.
func (s *syslog) read(conn *net.UnixConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		_, text, ok := bytes.Cut(bytes.TrimRight(buf[:n], "\n\x00"), []byte(">"))
		if !ok || len(text) < 16 {
			continue
		}
		s.mu.Lock()
		fmt.Fprintf(s.file, "%s web1 %s\n", text[:15], text[16:])
		s.mu.Unlock()
	}
}

// login tries a name with OpenSSH's client, which is asked for the password as often as it likes.
func login(t *testing.T, dir, addr, user string, prompts int) {
	t.Helper()
	cmd := exec.Command("ssh", "-F", "none", "-b", addr, "-l", user, "-p", "22", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
		"-o", "PubkeyAuthentication=no", "-o", fmt.Sprintf("NumberOfPasswordPrompts=%d", prompts), "-o", "ConnectTimeout=10", "192.0.2.250", "true")
	cmd.Env = append(os.Environ(), "SSH_ASKPASS="+filepath.Join(dir, "askpass"), "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:0", "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("%s got in as %q: %s", addr, user, out)
	} else if !strings.Contains(string(out), "Permission denied") && !strings.Contains(string(out), "Disconnected") && !strings.Contains(string(out), "closed") {
		t.Fatalf("%s as %q: %v: %s", addr, user, err, out)
	}
}

// waitFor reads a log until it holds a text n times, 10 s at most.
func waitFor(t *testing.T, path, text string, n int) []byte {
	t.Helper()
	for range 1000 {
		log, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(log, []byte(text)) >= n {
			return log
		}
		time.Sleep(10 * time.Millisecond) // a real process writes it
	}
	t.Fatalf("%s: no %q", path, text)
	return nil
}

// TestSSHD: real logins to a real sshd lead to the right bans.
func TestSSHD(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	sshd := "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Skip("needs the program sshd (openssh-server)")
	}
	needProgram(t, "ssh")
	if m, err := os.ReadFile("/proc/self/uid_map"); err != nil || len(strings.Fields(string(m))) < 3 || strings.Fields(string(m))[2] == "1" {
		t.Skip("needs root: sshd gives up its rights for another user's")
	}
	network(t)
	dir := t.TempDir()
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, "key")).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "askpass"), []byte("#!/bin/sh\necho wrong\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	newSyslog(t, dir)
	serve(t, "192.0.2.250:22", sshd, "-D", "-f", "/dev/null", "-h", filepath.Join(dir, "key"), "-o", "ListenAddress=192.0.2.250:22", "-o", "PidFile=none",
		"-o", "UsePAM=no", "-o", "PasswordAuthentication=yes", "-o", "KbdInteractiveAuthentication=no", "-o", "PermitRootLogin=yes", "-o", "MaxStartups=100")
	for range 2 {
		login(t, dir, "192.0.2.1", "root", 3) // six guesses at a user that exists, or two connections where root is locked
	}
	for i := range 6 {
		login(t, dir, "192.0.2.2", fmt.Sprintf("user%d", i), 1)
		login(t, dir, "192.0.2.3", "x from "+victim+" port 1 ssh2", 1) // forged
		login(t, dir, "192.0.2.3", "x "+victim+" port 1 [preauth]", 1)
	}
	for range 2 {
		login(t, dir, "192.0.2.20", "bob", 1) // mistypes a name twice
	}
	log := waitFor(t, filepath.Join(dir, "auth.log"), "by invalid user bob 192.0.2.20", 2)
	want := []string{"192.0.2.2", "192.0.2.3"}
	if bytes.Count(log, []byte("Failed password for root from 192.0.2.1 ")) >= 5 {
		want = append([]string{"192.0.2.1"}, want...)
	}
	expect(t, dir, map[string][]string{"sshd": want})
}
