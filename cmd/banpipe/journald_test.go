package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// inJournald runs the test again in network and mount namespaces with a journald of its own, and reports whether this
// is that run. See systemd-journald(8) for the files.
func inJournald(t *testing.T, flags ...string) bool {
	t.Helper()
	if os.Getenv(testInside) != "" {
		ip(t, "link set lo up")
		return true
	}
	for _, need := range []string{"/lib/systemd/systemd-journald", "/usr/bin/journalctl", "/usr/bin/unshare"} {
		if _, err := os.Stat(need); err != nil {
			t.Skipf("no %s", need)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("no right to run a journald: not root")
	}
	const script = `set -e
mkdir -p "$W/journal" /var/log/journal /run/systemd /run/log
mount -t tmpfs none /run/systemd; mkdir -p /run/systemd/journal /run/systemd/journald.conf.d; touch /run/systemd/journal/flushed
mount -t tmpfs none /run/log; mount --bind "$W/journal" /var/log/journal
printf '%s\n' '[Journal]' Storage=persistent RateLimitIntervalSec=0 RateLimitBurst=0 ReadKMsg=no Audit=no SystemMaxFileSize=1M SystemMaxUse=2G > /run/systemd/journald.conf.d/t.conf
/lib/systemd/systemd-journald 2>"$W/journald.err" & JP=$!
trap 'kill $JP; wait $JP || true' EXIT
for i in $(seq 100); do [ -S /run/systemd/journal/socket ] && break; sleep .1; done
"$@"
`
	args := append([]string{"--mount", "--net", "--propagation", "private", "sh", "-c", script, "sh", os.Args[0], "-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=60m"}, flags...)
	cmd := exec.Command("/usr/bin/unshare", args...)
	cmd.Env = append(os.Environ(), testInside+"=1", "W="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}

func journalctl(t *testing.T, arg string) string {
	out, err := exec.Command("journalctl", arg).CombinedOutput()
	if err != nil {
		t.Errorf("journalctl %s: %v: %s", arg, err, out)
	}
	return string(out)
}

// A journalWriter writes what sshd says, and something long by somebody else beside it, so that journald has to change files
// (systemd.io/JOURNAL_NATIVE_PROTOCOL).
type journalWriter struct{ conn *net.UnixConn }

func dialJournal(t *testing.T) journalWriter {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: "/run/systemd/journal/socket", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return journalWriter{conn}
}

var noise = strings.Repeat("noise ", 400)

func (w journalWriter) write(message string) error {
	for _, e := range [][2]string{{"noise", noise}, {"sshd", message}} {
		var p bytes.Buffer
		fmt.Fprintf(&p, "SYSLOG_IDENTIFIER=%s\nMESSAGE\n", e[0])
		binary.Write(&p, binary.LittleEndian, uint64(len(e[1])))
		fmt.Fprintf(&p, "%s\n", e[1])
		if _, err := w.conn.Write(p.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
