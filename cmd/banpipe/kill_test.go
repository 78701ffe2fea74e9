package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var kills = flag.Int("kills", 50, "how often the tests that kill the service do so")

// maxretry is what the jails of these tests want.
const maxretry = 4

// The service is killed at random moments while its log grows and is rotated. In the end every line has been counted
// exactly once: an address with maxretry offences is banned, which one lost line would prevent, and one with maxretry-1
// is not, whom one doubled line would ban; but one more offence is enough.
func TestKilledAtRandom(t *testing.T) {
	limitKills()
	if !inNamespace(t, "-kills="+fmt.Sprint(*kills)) {
		return
	}
	dir := t.TempDir()
	log := &rotatedLog{path: filepath.Join(dir, "auth.log")}
	write(t, log.path, "")
	config := killConfig(t, dir, fmt.Sprintf("logpath = %q\n", log.path))
	killAtRandom(t, config, log.write, func(int) {})
}

// The same for the journal, whose files journald changes, and of which what has been read is thrown away now and then.
func TestKilledAtRandomOnTheJournal(t *testing.T) {
	limitKills()
	if !inJournald(t, "-kills="+fmt.Sprint(*kills)) {
		return
	}
	dir := t.TempDir()
	config := killConfig(t, dir, "journalmatch = \"SYSLOG_IDENTIFIER=sshd\"\n")
	journal := dialJournal(t)
	vacuumed := 0
	killAtRandom(t, config, journal.write, func(kill int) {
		if kill%10 != 9 {
			return
		}
		journalctl(t, "--rotate")
		marker := fmt.Sprintf("192.0.%d.%d", 200+kill/10/250, 1+kill/10%250)
		for range maxretry {
			if err := journal.write(failure(marker, kill)); err != nil {
				t.Error(err)
			}
		}
		// Behind it all that stands in the older files has been read, and saved with the next checkpoint.
		if !within(time.Minute, func() bool { return inSet()[marker] }) {
			t.Fatalf("kill %d: no ban of the marker within a minute", kill)
		}
		read := time.Now()
		if err := journal.write(failure("192.0.250.1", kill)); err != nil { // something to be saved
			t.Error(err)
		}
		if !within(time.Minute, func() bool { return savedAt(config).After(read) }) {
			t.Fatalf("kill %d: no checkpoint within a minute", kill)
		}
		vacuumed += strings.Count(journalctl(t, "--vacuum-files=1"), "Deleted archived journal")
	})
	if *kills >= 10 && vacuumed == 0 {
		t.Error("nothing was vacuumed, the test shows less than it says")
	}
	t.Logf("%d files of the journal were vacuumed", vacuumed)
}

func limitKills() {
	if testing.Short() {
		*kills = min(*kills, 10)
	}
}

func killConfig(t *testing.T, dir, reads string) string {
	config := filepath.Join(dir, "banpipe.toml")
	write(t, config, fmt.Sprintf("state_dir = %q\nsocket = %q\n[log]\nlevel = \"error\"\n[jails.sshd]\nenabled = true\n%s"+
		"maxretry = %d\nfindtime = \"1w\"\nbantime = -1\nmax_bans_per_minute = 0\n", dir+"/state", dir+"/sock", reads, maxretry))
	return config
}

// killAtRandom runs the service on a log that grows by line, and kills it, each time behind a call of before.
func killAtRandom(t *testing.T, config string, line func(string) error, before func(kill int)) {
	addrs, lines := offenders(8**kills, maxretry)
	service := banpipe(t, "run", "--config", config)
	if !within(time.Minute, func() bool { return !savedAt(config).IsZero() }) { // where reading began
		t.Fatal("the service does not save its state")
	}
	stop, written := make(chan struct{}), make(chan error, 1)
	go func() { written <- spread(line, lines, time.Duration(*kills)*350*time.Millisecond, stop) }()
	t.Cleanup(func() { close(stop); <-written })
	for i := range *kills {
		time.Sleep(20*time.Millisecond + rand.N([]time.Duration{150 * time.Millisecond, 1200 * time.Millisecond}[i%2])) // the moment of death
		before(i)
		service.Process.Kill()
		service.Wait()
		service = banpipe(t, "run", "--config", config)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	written <- nil // for Cleanup
	lacking := func() (all []string) {
		held := inSet()
		for addr, offences := range addrs {
			if offences >= maxretry && !held[addr] {
				all = append(all, addr)
			}
		}
		return all
	}
	settle(lacking)
	if n := len(lacking()); n > 0 {
		t.Errorf("after %d kills, of %d addresses %d are not banned: some line was lost", *kills, len(addrs), n)
	}
	held, extra := inSet(), 0
	for addr, offences := range addrs {
		if offences >= maxretry {
			continue
		}
		if held[addr] {
			extra++
		}
		addrs[addr] = maxretry
		if err := line(failure(addr, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if extra > 0 {
		t.Errorf("after %d kills %d addresses are banned that should not be: some line counted twice", *kills, extra)
	}
	settle(lacking)
	if n := len(lacking()); n > 0 {
		t.Errorf("after %d kills, one offence more is not enough for %d addresses: some line of theirs was lost", *kills, n)
	}
}

// settle waits until nobody is lacking, and asks seldom: a listing of thousands keeps the service from the set.
func settle(lacking func() []string) {
	for end := time.Now().Add(3 * time.Minute); len(lacking()) > 0 && time.Now().Before(end); {
		time.Sleep(300 * time.Millisecond)
	}
}

// inSet are the addresses that the kernel keeps out.
func inSet() map[string]bool {
	out, _ := exec.Command("nft", "list", "table", "inet", "banpipe").Output()
	held := make(map[string]bool)
	for _, addr := range regexp.MustCompile(`192\.0\.[0-9.]+`).FindAllString(string(out), -1) {
		held[addr] = true
	}
	return held
}

// savedAt is when the service last saved its state; zero if it does not say.
func savedAt(config string) time.Time {
	cmd := exec.Command("/proc/self/exe", "status", "--json", "--config", config)
	cmd.Args[0] = "banpipe"
	out, _ := cmd.Output()
	var status struct {
		State struct{ Saved time.Time }
	}
	json.Unmarshal(out, &status)
	return status.State.Saved
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
			lines = append(lines, failure(addr, len(lines)))
		}
	}
	rand.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	return addrs, lines
}

// failure is what sshd says.
func failure(addr string, n int) string {
	return fmt.Sprintf("Failed password for root from %s port %d ssh2", addr, 1024+n%60000)
}

// spread writes the lines over a while.
func spread(line func(string) error, lines []string, over time.Duration, stop <-chan struct{}) error {
	pause := time.NewTicker(max(over/time.Duration(len(lines)), time.Microsecond))
	defer pause.Stop()
	for _, l := range lines {
		select {
		case <-pause.C:
		case <-stop:
			return nil
		}
		if err := line(l); err != nil {
			return err
		}
	}
	return nil
}

// A rotatedLog is a log that is renamed every hundred lines or so.
type rotatedLog struct {
	path string
	n    int
}

func (l *rotatedLog) write(message string) error {
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	l.n++
	if _, err := fmt.Fprintf(f, "%s web1 sshd[%d]: %s\n", time.Now().Format("2006-01-02T15:04:05.000000-07:00"), l.n, message); err != nil {
		return err
	}
	if l.n%97 == 0 {
		return os.Rename(l.path, fmt.Sprintf("%s.%d", l.path, l.n))
	}
	return nil
}
