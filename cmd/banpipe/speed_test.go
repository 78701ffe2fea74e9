package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/matchers/logtest"
)

// speedJails are a web server's, with the log that each reads where these are apart.
var speedJails = map[string]logtest.Kind{
	"nginx-404": logtest.Access, "nginx-4xx": logtest.Access, "nginx-bad-request": logtest.Access, "nginx-badbots": logtest.Access,
	"nginx-noscript": logtest.Access, "nginx-botsearch": logtest.Error, "nginx-forbidden": logtest.Error, "nginx-http-auth": logtest.Error,
	"nginx-limit-req": logtest.Error, "recidive": logtest.Auth, "sshd": logtest.Auth, "ufw": logtest.UFW,
}

// speedLines is how many lines of each kind there are, the share that the mixed log has of them.
var speedLines = map[logtest.Kind]int{logtest.Access: 600_000, logtest.Error: 50_000, logtest.Auth: 200_000, logtest.UFW: 150_000}

// BenchmarkRun is the whole program, from a million lines to what would be banned, in lines per second of its CPU
// time, and as a ratio to grep and wc on the same lines. The lines are one mixed log for all twelve jails, so that
// each is judged by all of them, or four logs as servers have them.
func BenchmarkRun(b *testing.B) {
	bin := filepath.Join(b.TempDir(), "banpipe")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for _, attack := range []float64{0.02, 1} {
		for _, mixed := range []bool{true, false} {
			b.Run(fmt.Sprintf("attack=%v%%/mixed=%v", 100*attack, mixed), func(b *testing.B) { benchRun(b, bin, attack, mixed) })
		}
	}
}

func benchRun(b *testing.B, bin string, attack float64, mixed bool) {
	dir, lines := b.TempDir(), speedLines
	if mixed {
		lines = map[logtest.Kind]int{logtest.Mixed: 1_000_000}
	}
	var logs []string
	total := 0
	for kind, n := range lines {
		logs = append(logs, filepath.Join(dir, kind.String()+".log"))
		writeSpeedLog(b, logs[len(logs)-1], kind, n, attack)
		total += n
	}
	config := filepath.Join(dir, "banpipe.toml")
	if err := os.WriteFile(config, []byte(speedConfig(dir, mixed)), 0o600); err != nil {
		b.Fatal(err)
	}
	var run, grep, wc time.Duration
	for b.Loop() {
		run += cpuOf(b, exec.Command(bin, "run", "--once", "--dry-run", "--config", config))
		grep += cpuOf(b, exec.Command("grep", append([]string{"-cE", `" (404|403) |Failed password|\[UFW BLOCK\]`}, logs...)...))
		wc += cpuOf(b, exec.Command("wc", append([]string{"-l"}, logs...)...))
	}
	b.ReportMetric(float64(total*b.N)/run.Seconds(), "lines/CPU-s")
	b.ReportMetric(run.Seconds()/grep.Seconds(), "×grep")
	b.ReportMetric(run.Seconds()/wc.Seconds(), "×wc")
	b.ReportMetric(0, "ns/op")
}

func writeSpeedLog(b *testing.B, path string, kind logtest.Kind, lines int, attack float64) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w, log, line := bufio.NewWriterSize(f, 1<<20), logtest.New(kind, logtest.Options{Attack: attack}), []byte{}
	for range lines {
		line = append(log.Append(line[:0]), '\n')
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
}

func speedConfig(dir string, mixed bool) string {
	var c strings.Builder
	for jail, kind := range speedJails {
		if mixed {
			kind = logtest.Mixed
		}
		fmt.Fprintf(&c, "[jails.%s]\nenabled = true\nlogpath = [%q]\njournalmatch = []\n", jail, filepath.Join(dir, kind.String()+".log"))
	}
	return c.String()
}

// cpuOf is the CPU time, of user and system, that a program takes.
func cpuOf(b *testing.B, cmd *exec.Cmd) time.Duration {
	b.Helper()
	if out, err := cmd.CombinedOutput(); err != nil { // not to /dev/null: grep would stop at the first line
		b.Fatalf("%v: %v: %s", cmd.Args, err, out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
