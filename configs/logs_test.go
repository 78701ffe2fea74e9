package configs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A named pipe is read like a log, beside one; neither check nor anything else waits for its writer.
func TestLogThatIsAFIFO(t *testing.T) {
	dir := t.TempDir()
	pipe, log := filepath.Join(dir, "pipe"), filepath.Join(dir, "log")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log, []byte("by 192.0.2.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := "[jails.j]\nenabled = true\nlogpath = '" + pipe + " " + log + "'\nfailregex = '^by <HOST>$'\nmaxretry = 1\n"
	cfg, err := Parse(filepath.Join(dir, "b.toml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build(cfg, BuildOptions{Strict: true, Own: none}); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0) // who waits until there is a reader
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.WriteString("by 192.0.2.1\n"); err != nil {
		t.Fatal(err)
	}
	out := &actionsOf{after: "192.0.2.1", do: func() { writer.Close() }}
	built, err := Build(cfg, BuildOptions{Once: true, DryRun: true, Out: out, Own: none})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := built.Run(ctx); err != nil || ctx.Err() != nil {
		t.Fatalf("got %v, %v", err, ctx.Err())
	}
	for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
		if !strings.Contains(out.String(), addr) {
			t.Errorf("got %q, want a ban of %s", out.String(), addr)
		}
	}
}

// An actionsOf keeps what is printed, and does something when a text has been.
type actionsOf struct {
	bytes.Buffer
	after string
	do    func()
}

func (a *actionsOf) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(a.after)) {
		a.do()
	}
	return a.Buffer.Write(p)
}

// What a logpath leads to and cannot be read is named; the jail waits for better.
func TestLogsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "nginx"), 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ logpath, says string }{
		{"D/nginx", `D/b.toml:2: jail "j": logpath: D/nginx is a folder: nothing is read from it`},
		{"/dev/null", `D/b.toml:2: jail "j": logpath: /dev/null is a device: nothing is read from it`},
		{"D/socket", `D/b.toml:2: jail "j": logpath: D/socket is a socket: nothing is read from it`},
	} {
		t.Run(tt.logpath, func(t *testing.T) {
			text := "[jails.j]\nlogpath = '" + tt.logpath + "'\nenabled = true\nfilter = 'sshd'\n"
			cfg, err := Parse(filepath.Join(dir, "b.toml"), []byte(strings.ReplaceAll(text, "D/", dir+"/")))
			if err != nil {
				t.Fatal(err)
			}
			built, err := Build(cfg, BuildOptions{Strict: true, Own: none})
			if err != nil {
				t.Fatal(err)
			}
			checkErrors(t, built.Warnings.err(), dir, tt.says)
		})
	}
}
