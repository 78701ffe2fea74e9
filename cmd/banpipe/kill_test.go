package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

var kills = flag.Int("kills", 50, "how often TestKilledAtRandom kills the service")

// The service is killed at random moments while its log grows and is rotated. In the end every line has been counted
// exactly once: an address with maxretry offences is banned, which one lost line would prevent, and one with maxretry-1
// is not, whom one doubled line would ban.
func TestKilledAtRandom(t *testing.T) {
	if testing.Short() {
		*kills = min(*kills, 10)
	}
	if !inNamespace(t, "-kills="+fmt.Sprint(*kills)) {
		return
	}
	const maxretry = 4
	dir := t.TempDir()
	log := filepath.Join(dir, "auth.log")
	config := filepath.Join(dir, "banpipe.toml")
	write(t, log, "")
	write(t, config, fmt.Sprintf("state_dir = %q\nsocket = \"\"\n[log]\nlevel = \"error\"\n[jails.sshd]\nenabled = true\nlogpath = %q\n"+
		"maxretry = %d\nfindtime = \"1w\"\nbantime = -1\n", dir+"/state", log, maxretry))
	addrs, lines := offenders(8**kills, maxretry)
	stop, written := make(chan struct{}), make(chan error, 1)
	go func() { written <- writeAndRotate(log, lines, time.Duration(*kills)*350*time.Millisecond, stop) }()
	t.Cleanup(func() { close(stop); <-written })

	for i := range *kills {
		service := banpipe(t, "run", "--config", config)
		life := 1500 * time.Millisecond // the first one lives to save where reading began
		if i > 0 {
			life = 20*time.Millisecond + rand.N([]time.Duration{150 * time.Millisecond, 1200 * time.Millisecond}[i%2])
		}
		time.Sleep(life)
		service.Process.Kill()
		service.Wait()
	}
	banpipe(t, "run", "--config", config)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	written <- nil // for Cleanup
	missing := func() (missing, extra []string) {
		out, _ := exec.Command("nft", "list", "table", "inet", "banpipe").Output()
		held := make(map[string]bool)
		for _, addr := range regexp.MustCompile(`192\.0\.[0-9.]+`).FindAllString(string(out), -1) {
			held[addr] = true
		}
		for addr, offences := range addrs {
			if banned := held[addr]; banned != (offences >= maxretry) {
				if banned {
					extra = append(extra, addr)
				} else {
					missing = append(missing, addr)
				}
			}
		}
		return missing, extra
	}
	within(30*time.Second, func() bool { m, _ := missing(); return len(m) == 0 })
	if m, e := missing(); len(m)+len(e) > 0 {
		t.Errorf("after %d kills, of %d addresses: %d not banned, some line was lost; %d banned that should not be, some line counted twice", *kills, len(addrs), len(m), len(e))
	}
}

// offenders are n addresses, half of which offend maxretry times and half once less, and all their lines in
// random order.
func offenders(n, maxretry int) (map[string]int, []string) {
	addrs := make(map[string]int, n)
	var lines []string
	for i := range n {
		addr := fmt.Sprintf("192.0.%d.%d", 2+i/250, 1+i%250)
		addrs[addr] = maxretry - i%2
		for range addrs[addr] {
			lines = append(lines, fmt.Sprintf("web1 sshd[%d]: Failed password for root from %s port %d ssh2\n", len(lines)+1, addr, 1024+len(lines)%60000))
		}
	}
	rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return addrs, lines
}

// writeAndRotate appends the lines, spread over a while, and rotates the log by renaming now and then.
func writeAndRotate(log string, lines []string, over time.Duration, stop <-chan struct{}) error {
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	pause := time.NewTicker(max(over/time.Duration(len(lines)), time.Microsecond))
	defer pause.Stop()
	for i, l := range lines {
		select {
		case <-pause.C:
		case <-stop:
			return nil
		}
		if _, err := fmt.Fprint(f, time.Now().Format("2006-01-02T15:04:05.000000-07:00 "), l); err != nil {
			return err
		}
		if i%97 == 96 {
			f.Close()
			if err := os.Rename(log, fmt.Sprintf("%s.%d", log, i)); err != nil {
				return err
			}
			if f, err = os.OpenFile(log, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
