package configs

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/sinks"
)

// A town is a configuration's stages, fed line by line with a clock that a test moves. Whoever is banned writes no more lines,
// as behind a kernel that drops his packets.
type town struct {
	t      *testing.T
	stages []pipeline.Stage
	now    time.Time
	lines  int
	bans   []pipeline.Action
	others []pipeline.Action
}

func newTown(t *testing.T, config string) *town {
	t.Helper()
	cfg, err := Parse("banpipe.toml", []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	c := &town{t: t, now: dayStart}
	built, err := Build(cfg, BuildOptions{Stdin: strings.NewReader(""), DryRun: true, Own: none, Workers: 1, Now: func() time.Time { return c.now }})
	if err != nil {
		t.Fatal(err)
	}
	c.stages = built.Stages
	return c
}

// says puts a line of a log through, unless its author is kept out.
func (c *town) says(addr netip.Addr, format string, args ...any) {
	c.t.Helper()
	for _, a := range c.bans {
		if a.Prefix.Contains(addr) {
			return
		}
	}
	c.lines++
	b := &pipeline.Batch{Source: stdin, Live: true}
	b.Append([]byte(c.now.Format("2006-01-02T15:04:05.000000-07:00 ")+fmt.Sprintf(format, args...)), c.now)
	for _, s := range c.stages {
		if err := s.Process(context.Background(), b); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, a := range b.Actions {
		if a.Op == pipeline.Ban {
			c.bans = append(c.bans, a)
		} else {
			c.others = append(c.others, a)
		}
	}
}

// elements is how many the kernel's sets have when the bans are in them.
func (c *town) elements(table string) int {
	c.t.Helper()
	n := &sinks.NFTables{Table: table, Now: func() time.Time { return c.now }}
	if err := n.Apply(c.t.Context(), c.bans); err != nil {
		c.t.Fatal(err)
	}
	held, err := n.Held(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return len(held)
}

// A botnet of 5,000 addresses in 40 networks guesses user names at one sshd, at the rate that this can serve; each unknown
// user weighs 2, and 5 is the limit. And one attacker changes his IPv6 address with every guess.
func TestBotnet(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	const nets, each = 40, 125
	jail := "[jails.sshd]\nenabled = true\nfindtime = \"1d\"\nbantime = \"1d\"\n"
	for _, c := range []struct {
		name, more            string
		lines, bans, elements int
	}{
		{"each by himself", "", 3 * nets * each, nets * each, nets * each},
		// The third guess bans: seven of a network alone, with the eighth all of it.
		{"with aggregate", "aggregate = { v4 = 24, after = 8 }\n", 2*nets*each + 8*nets, 8 * nets, 8 * nets},
	} {
		t.Run(c.name, func(t *testing.T) {
			town := newTown(t, jail+c.more)
			for round := range 5 {
				for host := range each {
					for network := range nets {
						town.now = town.now.Add(time.Second / 31)
						a := netip.AddrFrom4([4]byte{203, 0, byte(network), byte(host + 1)})
						town.says(a, "web1 sshd[%d]: Invalid user u%d from %v port 40000", round*10000+host*nets+network, round, a)
					}
				}
			}
			elements := town.elements(fmt.Sprintf("crowd%d", c.bans))
			t.Logf("%d guesses, %d bans, %d elements in the kernel", town.lines, len(town.bans), elements)
			if town.lines != c.lines || len(town.bans) != c.bans || elements != c.elements || len(town.others) > 0 {
				t.Errorf("got %d guesses, %d bans, %d elements and %v, want %d, %d and %d", town.lines, len(town.bans), elements, town.others, c.lines, c.bans, c.elements)
			}
		})
	}
	t.Run("a /64", func(t *testing.T) {
		town := newTown(t, jail)
		for i := range 1000 {
			town.now = town.now.Add(time.Second)
			a := netip.MustParseAddr(fmt.Sprintf("2001:db8:bad:1:%x::%x", i, i+1))
			town.says(a, "web1 sshd[%d]: Invalid user u%d from %v port 40000", i, i, a)
		}
		elements := town.elements("rotating")
		t.Logf("%d guesses, %d bans, %d elements in the kernel", town.lines, len(town.bans), elements)
		if town.lines != 3 || elements != 1 || town.bans[0].Prefix.String() != "2001:db8:bad:1::/64" {
			t.Errorf("got %d guesses, %v, %d elements, want 3, the /64 and 1", town.lines, town.bans, elements)
		}
	})
}

// A filter that has gone mad matches every line of a busy web server: 30,000 visitors in three minutes.
func TestMadFilter(t *testing.T) {
	town := newTown(t, `
[jails.mad]
enabled = true
failregex = '^\s*<ADDR> '
maxretry = 1
[jails.sshd]
enabled = true
maxretry = 3
`)
	start := town.now
	guesses := 0
	for i := range 30_000 {
		town.now = town.now.Add(6 * time.Millisecond)
		a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		town.says(a, "%v GET /", a)
		if i%1000 == 999 { // somebody guesses at root; the mad filter reads the web's log alone
			guesses++
			b := netip.MustParseAddr("198.51.100.7")
			town.says(b, "web1 sshd[%d]: Failed password for root from %v port 40000 ssh2", i, b)
		}
	}
	by := map[string]int{}
	for _, a := range town.bans {
		by[a.Jail]++
	}
	if by["mad"] != maxBansPerMinute || by["sshd"] != 1 {
		t.Errorf("got %v, want %d bans of the mad one and one of the other", by, maxBansPerMinute)
	}
	if len(town.others) != 1 || town.others[0].Op != pipeline.Hold || town.others[0].Jail != "mad" || town.others[0].Since.Sub(start) > time.Minute {
		t.Errorf("got %v, want one hold within a minute", town.others)
	}
	t.Logf("it stopped after %v", town.others[0].Since.Sub(start))
}

const floodEnv = "BANPIPE_TEST_FLOOD"

// A million spoofed sources in ufw.log, within a minute: memory stays bounded, a scanner among them is banned, and so is
// somebody of whom the sshd jail knew before. It runs in a process of its own, whose memory is measured.
func TestSpoofedSources(t *testing.T) {
	if os.Getenv(floodEnv) != "" {
		flood(t)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSpoofedSources$", "-test.v")
	cmd.Env = append(os.Environ(), floodEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, said, _ := strings.Cut(string(out), "flood: ")
	said, _, _ = strings.Cut(said, "\n")
	t.Log(said)
}

func flood(t *testing.T) {
	const sources = 1_000_000
	cfg, err := Parse("banpipe.toml", []byte("[jails.sshd]\nenabled = true\n[jails.ufw]\nenabled = true\n"))
	if err != nil {
		t.Fatal(err)
	}
	in, out := io.Pipe()
	begun := time.Now().Add(-2 * time.Minute)
	go func() {
		w := bufio.NewWriterSize(out, 1<<16)
		line := func(i int, text string) {
			at := begun.Add(time.Duration(i) * time.Minute / sources)
			fmt.Fprintf(w, "%s web1 %s\n", at.Format("2006-01-02T15:04:05.000000-07:00"), text)
		}
		packet := func(i int, a netip.Addr, port int) {
			line(i, fmt.Sprintf("kernel: [UFW BLOCK] IN=eth0 OUT= MAC= SRC=%v DST=198.51.100.10 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=40000 DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0 ", a, port))
		}
		guess := func(i int) {
			line(i, fmt.Sprintf("sshd[%d]: Failed password for root from 192.0.2.9 port 40000 ssh2", i))
		}
		for i := range 4 {
			guess(i)
		}
		for i := range sources {
			n := uint32(i) * 2654435761
			packet(i, netip.AddrFrom4([4]byte{byte(11 + n>>24%100), byte(n >> 16), byte(n >> 8), byte(n)}), 1+i%60000)
			if i%10_000 == 0 && i < 100_000 {
				packet(i, netip.MustParseAddr("192.0.2.50"), 1000+i/10_000)
			}
		}
		guess(sources)
		w.Flush()
		out.Close()
	}()
	var printed strings.Builder
	built, err := Build(cfg, BuildOptions{Stdin: in, Once: true, DryRun: true, Out: &printed, Own: none})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := built.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	tracked := built.Stages[3].(*pipeline.Window).Tracked("ufw")
	peak := peakRSS(t)
	fmt.Printf("flood: %d sources in %v: peak RSS %d MiB, %d addresses tracked\n", sources, time.Since(start).Round(time.Millisecond), peak>>20, tracked)
	for _, want := range []string{"192.0.2.50 jail ufw", "192.0.2.9 ports 22 jail sshd"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("got %q, want a ban of %s", printed.String(), want)
		}
	}
	if n := strings.Count(printed.String(), "\n"); n != 2 {
		t.Errorf("got %d bans, want those two", n)
	}
	if peak > 150<<20 || tracked > 100_000 {
		t.Errorf("got a peak of %d MiB and %d addresses", peak>>20, tracked)
	}
}

// peakRSS is VmHWM, in bytes.
func peakRSS(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
