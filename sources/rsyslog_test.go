package sources

import (
	"context"
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

	"github.com/banpipe/banpipe/pipeline"
)

// The real thing: rsyslogd writes, logrotate rotates, both as Debian has them.
func TestFilesWithRsyslogAndLogrotate(t *testing.T) {
	for _, need := range []string{"/usr/sbin/rsyslogd", "/usr/sbin/logrotate"} {
		if _, err := os.Stat(need); err != nil {
			t.Skipf("no %s", need)
		}
	}
	if testing.Short() {
		t.Skip("-short: logrotate takes its time")
	}
	d := 2 * time.Second
	if *full {
		d = 10 * time.Second
	}
	for style, c := range map[string]struct {
		conf  string
		limit int // lines that may be lost, in a thousand
	}{
		"create":       {"create\npostrotate\nkill -HUP $(cat PID)\nendscript", 0},
		"nocreate":     {"nocreate\npostrotate\nkill -HUP $(cat PID)\nendscript", 0},
		"copytruncate": {"copytruncate", 20},
	} {
		t.Run(style, func(t *testing.T) {
			dir := t.TempDir()
			log, pid := filepath.Join(dir, "auth.log"), filepath.Join(dir, "pid")
			socket := startRsyslog(t, dir, log, pid)
			conf := filepath.Join(dir, "logrotate.conf")
			text := log + " {\nsu root root\nrotate 100\nmissingok\n" + strings.ReplaceAll(c.conf, "PID", pid) + "\n}\n"
			if os.Getuid() != 0 {
				text = strings.Replace(text, "su root root\n", "", 1)
			}
			write(t, conf, text)
			check(os.Chmod(conf, 0o644))

			ctx, cancel := context.WithCancel(t.Context())
			f := NewFiles(FilesOptions{Paths: []string{log}, From: fromStart})
			var seen tally
			batches := make(chan struct{}, 1)
			var reading sync.WaitGroup
			reading.Go(func() {
				var b pipeline.Batch
				for f.Read(ctx, &b) == nil {
					for _, r := range b.Records {
						if _, message, ok := strings.Cut(string(r.Line), ": "); ok && message[0] == 'S' {
							seen.line([]byte(message))
						}
					}
					b.Reset()
					select {
					case batches <- struct{}{}:
					default:
					}
				}
			})
			written, rotated := 0, 0
			var line []byte
			last := time.Now()
			for began := last; time.Since(began) < d; {
				for until := int(time.Since(began).Seconds() * 5000); written < until; written++ {
					line = numberedLine(line, written)
					_, err := fmt.Fprintf(socket, "<38>%s test: %s", time.Now().Format(time.Stamp), line[:lineLen-1])
					check(err)
				}
				if time.Since(last) > 500*time.Millisecond {
					last = time.Now()
					rotated++
					cmd := exec.Command("/usr/sbin/logrotate", "-f", "-s", filepath.Join(dir, "state"), conf)
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("logrotate: %v\n%s", err, out)
					}
				}
				time.Sleep(time.Millisecond)
			}
			quiet(batches, 2*time.Second)
			cancel()
			reading.Wait()
			lost, again, torn := seen.judge(written)
			t.Logf("%d lines, %d rotations: %d lost, %d again, %d torn; counted as uncertain: %d",
				written, rotated, lost, again, torn, f.Stats()[0].Lost)
			if again+torn > 0 || lost*1000 > written*c.limit {
				t.Errorf("got %d lost, %d doubled, %d torn of %d lines", lost, again, torn, written)
			}
		})
	}
}

// startRsyslog runs rsyslogd on a socket of its own and returns a connection to it.
func startRsyslog(t *testing.T, dir, log, pid string) *net.UnixConn {
	t.Helper()
	socket, conf := filepath.Join(dir, "dev-log"), filepath.Join(dir, "rsyslog.conf")
	write(t, conf, fmt.Sprintf(`global(workDirectory=%q)
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket=%q RateLimit.Interval="0" CreatePath="off")
action(type="omfile" file=%q)
`, dir, socket, log))
	cmd := exec.Command("/usr/sbin/rsyslogd", "-n", "-f", conf, "-i", pid)
	check(cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		if time.Now().After(deadline) {
			t.Fatalf("rsyslogd: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
