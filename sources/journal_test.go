package sources

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

func TestEntryBecomesALine(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"_HOSTNAME=web1\nSYSLOG_IDENTIFIER=sshd\nSYSLOG_PID=42\n_PID=43\nMESSAGE=hello\n", "web1 sshd[42]: hello"},
		{"_HOSTNAME=web1\nSYSLOG_IDENTIFIER=sshd\n_PID=43\nMESSAGE=hello\n", "web1 sshd[43]: hello"},
		{"_HOSTNAME=web1\n_COMM=cron\nMESSAGE=hello\n", "web1 cron: hello"},
		{"MESSAGE=hello\n", "hello"},
		{"_HOSTNAME=web1\nSYSLOG_IDENTIFIER=a\n", "web1 a: "},
		{"_HOSTNAME=web1\nSYSLOG_IDENTIFIER=kernel\n__MONOTONIC_TIMESTAMP=12345678\nMESSAGE=[UFW BLOCK]\n", "web1 kernel: [   12.345678] [UFW BLOCK]"},
		{"SYSLOG_IDENTIFIER=kernel\n__MONOTONIC_TIMESTAMP=5\nMESSAGE=a\n", "kernel: [    0.000005] a"},
		{"SYSLOG_IDENTIFIER=kernel\n__MONOTONIC_TIMESTAMP=123456100000\nMESSAGE=a\n", "kernel: [123456.100000] a"},
		{"_HOSTNAME=web1\nSYSLOG_IDENTIFIER=a\n" + binaryField("MESSAGE", "one\n\ntwo\x1b\n"), "web1 a: one\\n\\ntwo\x1b\\n"},
		{"_HOSTNAME=web1\n" + binaryField("SYSLOG_IDENTIFIER", "a\nb") + "MESSAGE=x\nMESSAGE=y\n", "web1 a\\nb: x y"},
	} {
		t.Run(c.want, func(t *testing.T) {
			var x exportParser
			if _, done := x.next([]byte(c.text + "\n")); !done {
				t.Fatal("the entry did not end")
			}
			if got := string(x.entry.appendLine(nil)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A bareJournal is a Journal that delivers the messages without what stands before them.
type bareJournal struct{ *Journal }

func (j bareJournal) Read(ctx context.Context, b *pipeline.Batch) error {
	err := j.Journal.Read(ctx, b)
	for i := range b.Records {
		_, b.Records[i].Line, _ = bytes.Cut(b.Records[i].Line, []byte(": "))
	}
	return err
}

func TestJournalKeepsTheContract(t *testing.T) {
	if !inJournald(t) {
		return
	}
	n := 0
	pipelinetest.TestSource(t, func(t *testing.T) pipelinetest.SourceLog {
		n++
		ident, since, w := fmt.Sprintf("log%d", n), time.Now(), newJournalWriter(t)
		return pipelinetest.SourceLog{
			New: func() pipeline.Source {
				return bareJournal{NewJournal(JournalOptions{Matches: []string{"SYSLOG_IDENTIFIER=" + ident}, Since: since})}
			},
			Write: func(lines ...string) error {
				for _, line := range lines {
					w.write(ident, line)
				}
				return nil
			},
		}
	})
}

// inJournald runs the test again in a mount namespace with a journald of its own, and reports whether this
// is that run.
func inJournald(t testing.TB, conf ...string) bool {
	t.Helper()
	const env = "BANPIPE_TEST_JOURNALD"
	if os.Getenv(env) != "" {
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
	dir := t.TempDir()
	script := `set -e
mkdir -p "$W/vlj" /var/log/journal
mkdir -p /run/systemd /run/log; mount -t tmpfs none /run/systemd; mkdir -p /run/systemd/journal /run/systemd/journald.conf.d
touch /run/systemd/journal/flushed
mount -t tmpfs none /run/log; mount --bind "$W/vlj" /var/log/journal
printf '%s\n' '[Journal]' Storage=persistent RateLimitIntervalSec=0 RateLimitBurst=0 ReadKMsg=no Audit=no ` + strings.Join(conf, " ") + ` > /run/systemd/journald.conf.d/t.conf
/lib/systemd/systemd-journald 2>"$W/journald.err" & JP=$!
trap 'kill $JP; wait $JP || true' EXIT
for i in $(seq 100); do [ -S /run/systemd/journal/socket ] && break; sleep .1; done
"$@"
`
	args := []string{"--mount", "--propagation", "private", "sh", "-c", script, "sh", os.Args[0], "-test.v", "-test.timeout=8m"}
	if _, ok := t.(*testing.B); ok {
		args = append(args, "-test.run=^$", "-test.bench=^"+t.Name()+"$", "-test.benchtime=1x")
	} else {
		args = append(args, "-test.run=^"+t.Name()+"$")
	}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	if *full {
		args = append(args, "-full")
	}
	cmd := exec.Command("/usr/bin/unshare", args...)
	cmd.Env = append(os.Environ(), env+"=1", "W="+dir)
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, ".go:") || strings.Contains(line, "cpu-us/entry") || err != nil {
			t.Log(strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return false
}

// A journalWriter sends entries as daemons do that speak journald's own protocol
// (systemd.io/JOURNAL_NATIVE_PROTOCOL).
type journalWriter struct{ conn *net.UnixConn }

func newJournalWriter(t testing.TB) *journalWriter {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: "/run/systemd/journal/socket", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &journalWriter{conn}
}

func (w *journalWriter) write(ident, message string) {
	size := binary.LittleEndian.AppendUint64(nil, uint64(len(message)))
	_, err := fmt.Fprintf(w.conn, "SYSLOG_IDENTIFIER=%s\nMESSAGE\n%s%s\n", ident, size, message)
	check(err)
}

// readJournalSource reads until n lines have come, or d has passed.
func readJournalSource(t *testing.T, j *Journal, n int, d time.Duration) (records []pipeline.Record, cursor []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	for len(records) < n {
		var b pipeline.Batch
		if err := j.Read(ctx, &b); err != nil {
			if ctx.Err() == nil {
				t.Fatal(err)
			}
			break
		}
		records, cursor = append(records, b.Records...), b.Cursor
	}
	return records, cursor
}

func TestJournalEntries(t *testing.T) {
	if !inJournald(t) {
		return
	}
	j := NewJournal(JournalOptions{Matches: []string{"SYSLOG_IDENTIFIER=one", "+", "SYSLOG_IDENTIFIER=two"}})
	if _, cursor := readJournalSource(t, j, 1, 100*time.Millisecond); cursor == nil {
		t.Fatal("got no cursor before the first entry")
	}
	w := newJournalWriter(t)
	began := time.Now()
	w.write("one", "hello")
	w.write("three", "not asked for")
	w.write("two", "three lines\nof which \x1b[31m one\n\tis odd \xff\x00")
	w.write("one", strings.Repeat("x", 200_000))
	records, _ := readJournalSource(t, j, 3, 5*time.Second)
	if len(records) != 3 {
		t.Fatalf("got %d records, want 3", len(records))
	}
	host, _ := os.Hostname()
	prefix := fmt.Sprintf("%s one[%d]: ", host, os.Getpid())
	for i, want := range []string{
		prefix + "hello",
		strings.Replace(prefix, "one", "two", 1) + `three lines\nof which ` + "\x1b" + `[31m one\n` + "\tis odd \xff\x00",
		prefix + strings.Repeat("x", defaultMaxLine-len(prefix)),
	} {
		r := &records[i]
		if string(r.Line) != want {
			t.Errorf("got %.200q, want %.200q", r.Line, want)
		}
		if r.Cut != (i == 2) {
			t.Errorf("record %d: got Cut %v", i, r.Cut)
		}
		if !r.Dated || r.Time.Before(began.Add(-time.Second)) || r.Time.After(time.Now()) {
			t.Errorf("record %d: got time %v, Dated %v", i, r.Time, r.Dated)
		}
		if r.Fields["_UID"] != "0" || r.Fields["_TRANSPORT"] != "journal" || r.Fields["_COMM"] == "" {
			t.Errorf("record %d: got fields %v", i, r.Fields)
		}
	}
}

// startLogger runs logger(1), which writes what it reads as syslog(3) does. end waits for it.
func startLogger(t *testing.T, ident string) (lines io.Writer, end func() error) {
	t.Helper()
	cmd := exec.Command("logger", "--socket", "/run/systemd/journal/dev-log", "--tag", ident)
	in, err := cmd.StdinPipe()
	check(err)
	cmd.Stderr = os.Stderr
	check(cmd.Start())
	return in, func() error { in.Close(); return cmd.Wait() }
}

// The journal is read by a source that is started anew again and again, while entries come, by its own protocol and by logger,
// and journald changes files: each comes once.
func TestJournalIsReadOnceOverRestarts(t *testing.T) {
	if !inJournald(t, "SystemMaxFileSize=2M", "SystemMaxUse=1G") {
		return
	}
	entries, restarts := 10_000, 10
	switch {
	case *full:
		entries, restarts = 50_000, 60
	case testing.Short():
		entries, restarts = 4_000, 4
	}
	w := newJournalWriter(t)
	j := NewJournal(JournalOptions{Matches: []string{"SYSLOG_IDENTIFIER=numbered"}, Since: time.Now().Add(-time.Second)})
	logger, end := startLogger(t, "numbered")
	written := make(chan struct{})
	go func() {
		defer close(written)
		var line []byte
		for n := range entries {
			line = numberedLine(line, n)
			if n%2 == 0 {
				w.write("numbered", string(line[:lineLen-1]))
			} else {
				_, err := logger.Write(line)
				check(err)
			}
			if n%20 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		check(end())
	}()
	var seen tally
	cursors := map[string][]byte{}
	rnd := rand.New(rand.NewPCG(3, 4))
	read := func(ctx context.Context) {
		for {
			var b pipeline.Batch
			if err := j.Read(ctx, &b); err != nil {
				return
			}
			cursors["journal"] = b.Cursor
			for _, r := range b.Records {
				_, message, _ := strings.Cut(string(r.Line), ": ")
				seen.line([]byte(message))
			}
		}
	}
	for range restarts {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+rnd.IntN(300))*time.Millisecond)
		read(ctx)
		cancel()
		j = NewJournal(j.opt)
		j.Resume(cursors)
	}
	<-written
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	read(ctx)
	lost, again, torn := seen.judge(entries)
	t.Logf("%d entries, %d restarts: %d lost, %d again, %d torn", entries, restarts, lost, again, torn)
	if lost+again+torn > 0 {
		t.Errorf("got %d lost, %d doubled, %d torn, want none", lost, again, torn)
	}
	if files, _ := filepath.Glob("/var/log/journal/*/*"); len(files) < 2 {
		t.Errorf("got %d files, want that journald has changed them", len(files))
	}
}

// What was vacuumed away before it was read is lost, and that is said.
func TestJournalSaysWhatItMissed(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it has to fill a journal")
	}
	if !inJournald(t, "SystemMaxFileSize=1M", "SystemMaxUse=8M") {
		return
	}
	w := newJournalWriter(t)
	j := NewJournal(JournalOptions{Matches: []string{"SYSLOG_IDENTIFIER=numbered"}})
	readJournalSource(t, j, 1, 50*time.Millisecond)
	w.write("numbered", "the last that is read")
	records, cursor := readJournalSource(t, j, 1, 5*time.Second)
	if len(records) != 1 {
		t.Fatal("the first entry did not come")
	}
	for n := range 30_000 {
		w.write("numbered", fmt.Sprintf("%d %s", n, strings.Repeat("y", 500)))
	}
	j = NewJournal(j.opt)
	j.Resume(map[string][]byte{"journal": cursor})
	records, _ = readJournalSource(t, j, 1_000_000, 4*time.Second)
	if len(records) == 0 || !strings.Contains(string(records[len(records)-1].Line), ": 29999 ") {
		t.Fatalf("got %d entries, want those up to 29999", len(records))
	}
	if strings.Contains(string(records[0].Line), ": 0 ") {
		t.Fatal("nothing was vacuumed, the test shows nothing")
	}
	if got := j.Stats()[0].Lost; got != 1 {
		t.Errorf("got %d losses counted, want 1", got)
	}
}

// journalctl is killed under the source: the next Read goes on where it stopped.
func TestJournalOutlivesItsChild(t *testing.T) {
	if !inJournald(t) {
		return
	}
	w := newJournalWriter(t)
	j := NewJournal(JournalOptions{Matches: []string{"SYSLOG_IDENTIFIER=numbered"}, Since: time.Now().Add(-time.Second)})
	var got []string
	for n := range 6 {
		w.write("numbered", fmt.Sprint(n))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		for len(got) <= n && ctx.Err() == nil {
			var b pipeline.Batch
			err := j.Read(ctx, &b)
			for _, r := range b.Records {
				_, message, _ := strings.Cut(string(r.Line), ": ")
				got = append(got, message)
			}
			if len(got) > n && j.child != nil {
				killChildren()
			} else if err != nil {
				t.Logf("Read: %v", err)
			}
		}
		cancel()
	}
	if want := []string{"0", "1", "2", "3", "4", "5"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func killChildren() {
	p, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		q, _ := os.ReadFile(task)
		p = append(p, q...)
	}
	for _, word := range strings.Fields(string(p)) {
		var pid int
		fmt.Sscan(word, &pid)
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestJournalWithoutJournalctl(t *testing.T) {
	j := NewJournal(JournalOptions{Command: []string{"/nonexistent/journalctl"}})
	var b pipeline.Batch
	check(j.Read(t.Context(), &b)) // where it starts
	if err := j.Read(t.Context(), &b); err == nil || !strings.Contains(err.Error(), "/nonexistent/journalctl") {
		t.Errorf("got %v, want that there is no journalctl", err)
	}
	j = NewJournal(JournalOptions{Command: []string{"sh", "-c", "echo something is wrong >&2; exit 3"}})
	check(j.Read(t.Context(), &b))
	if err := j.Read(t.Context(), &b); err == nil || err.Error() != "journalctl: exit status 3: something is wrong" {
		t.Errorf("got %v, want what journalctl said", err)
	}
}

// The journal is behind while it reads old entries, and no longer once journalctl has nothing more to say.
func TestJournalSaysHowFarBehind(t *testing.T) {
	const entries = "__CURSOR=a\n__REALTIME_TIMESTAMP=1000000000\nMESSAGE=x\n\n"
	now := time.Unix(1000, 0).Add(time.Hour)
	j := NewJournal(JournalOptions{Command: []string{"sh", "-c", "printf '" + strings.ReplaceAll(entries, "\n", "\\n") + "'; exec sleep 60"}, Now: func() time.Time { return now }})
	var b pipeline.Batch
	check(j.Read(t.Context(), &b))
	check(j.Read(t.Context(), &b))
	behind := func(want time.Duration) {
		t.Helper()
		if got := j.Stats()[0].Behind; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	behind(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- j.Read(ctx, &b) }()
	for waits := false; !waits; {
		j.mu.Lock()
		waits = !j.idling.IsZero()
		j.mu.Unlock()
	}
	behind(time.Hour) // it may just be slow
	j.mu.Lock()
	j.idling = now.Add(-time.Second)
	j.mu.Unlock()
	behind(0)
	cancel()
	<-done
}

// What an entry costs, all in: journalctl, its pipe, the parser and the record.
func BenchmarkJournal(b *testing.B) {
	if !inJournald(b) {
		b.ReportMetric(0, "ns/op")
		return
	}
	const entries = 50_000
	w := newJournalWriter(b)
	for n := range entries {
		w.write("sshd", fmt.Sprintf("Failed password for invalid user admin from 192.0.2.%d port %d ssh2", n%256, n))
	}
	time.Sleep(time.Second)
	var batch pipeline.Batch
	b.ReportAllocs()
	began := cpuTime() + childTime()
	for b.Loop() {
		j := NewJournal(JournalOptions{Matches: []string{"SYSLOG_IDENTIFIER=sshd"}, Since: time.Unix(1, 0), Once: true})
		n := 0
		for j.Read(b.Context(), &batch) == nil {
			n += len(batch.Records)
			batch.Reset()
		}
		if n != entries {
			b.Fatalf("got %d entries, want %d", n, entries)
		}
	}
	b.ReportMetric(float64(cpuTime()+childTime()-began)/float64(b.N*entries)/1e3, "cpu-us/entry")
	b.ReportMetric(0, "ns/op")
}

// childTime is what the children that have ended have used.
func childTime() time.Duration {
	var u unix.Rusage
	check(unix.Getrusage(unix.RUSAGE_CHILDREN, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
