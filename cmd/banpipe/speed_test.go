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

// speedJails are a web server's, all on one log, so that each line is judged by all of them.
var speedJails = []string{
	"nginx-404", "nginx-4xx", "nginx-bad-request", "nginx-badbots", "nginx-botsearch", "nginx-forbidden",
	"nginx-http-auth", "nginx-limit-req", "nginx-noscript", "recidive", "sshd", "ufw",
}

// BenchmarkRun is the whole program, from a log of a million mixed lines to what would be banned, in lines per
// second of its CPU time, and as a ratio to grep and wc on the same file. BANPIPE_CPUPROFILE names a file for a
// profile of it.
func BenchmarkRun(b *testing.B) {
	const lines = 1_000_000
	dir := b.TempDir()
	bin := filepath.Join(dir, "banpipe")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	for _, attack := range []float64{0.02, 1} {
		b.Run(fmt.Sprintf("attack=%v%%", 100*attack), func(b *testing.B) {
			log := filepath.Join(b.TempDir(), "mixed.log")
			writeSpeedLog(b, log, lines, attack)
			config := filepath.Join(b.TempDir(), "banpipe.toml")
			if err := os.WriteFile(config, []byte(speedConfig(log)), 0o600); err != nil {
				b.Fatal(err)
			}
			var run, grep, wc time.Duration
			for b.Loop() {
				run += cpuOf(b, exec.Command(bin, "run", "--once", "--dry-run", "--config", config))
				grep += cpuOf(b, exec.Command("grep", "-cE", `" (404|403) |Failed password|\[UFW BLOCK\]`, log))
				wc += cpuOf(b, exec.Command("wc", "-l", log))
			}
			b.ReportMetric(lines*float64(b.N)/run.Seconds(), "lines/CPU-s")
			b.ReportMetric(run.Seconds()/grep.Seconds(), "×grep")
			b.ReportMetric(run.Seconds()/wc.Seconds(), "×wc")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func writeSpeedLog(b *testing.B, path string, lines int, attack float64) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w, log, line := bufio.NewWriterSize(f, 1<<20), logtest.New(logtest.Mixed, logtest.Options{Attack: attack}), []byte{}
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

func speedConfig(log string) string {
	var c strings.Builder
	for _, jail := range speedJails {
		fmt.Fprintf(&c, "[jails.%s]\nenabled = true\nlogpath = [%q]\njournalmatch = []\n", jail, log)
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
