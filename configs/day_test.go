package configs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var dayDir = flag.String("day", "", "where TestDay leaves its logs; a folder of its own that goes, by default")

// A day is the logs of one server, made up: attackers, and innocents who look like them.
type day struct {
	*rand.Rand
	lines     map[string][]dated  // by log
	attackers map[string][]string // by jail: those whom it must ban
	innocents []string            // who are named in a log and must not be banned
}

type dated struct {
	at   time.Time
	line string
}

var dayStart = time.Date(2026, time.November, 22, 0, 0, 0, 0, time.UTC)

// log adds a line; format is the log's own form of a date.
func (d *day) log(name string, at time.Time, format, before, after string) {
	d.lines[name] = append(d.lines[name], dated{at, before + at.Format(format) + after})
}

func (d *day) access(at time.Time, addr, user, request string, status int, agent string) {
	d.log("access.log", at, "02/Jan/2006:15:04:05 -0700", addr+" - "+user+" [", fmt.Sprintf(`] "%s" %d %d "-" "%s"`, request, status, d.IntN(9000), agent))
}

func (d *day) error(at time.Time, level, text string) {
	d.log("error.log", at, "2006/01/02 15:04:05", "", fmt.Sprintf(" [%s] 811#811: *%d %s", level, d.IntN(1e6), text))
}

func (d *day) sshd(at time.Time, pid int, text string) {
	d.log("auth.log", at, "2006-01-02T15:04:05.000000-07:00", "", fmt.Sprintf(" web1 sshd[%d]: %s", pid, text))
}

func (d *day) app(at time.Time, addr, request, status string) {
	d.log("app.log", at, "2006-01-02 15:04:05,000", "", fmt.Sprintf(` INFO:     %s:%d - "%s HTTP/1.1" %s`, addr, 1024+d.IntN(60000), request, status))
}

// packet is a line of UFW's about a packet from addr; what says its protocol, ports and flags.
func (d *day) packet(at time.Time, action, addr, to, what string) {
	d.log("ufw.log", at, "2006-01-02T15:04:05.000000-07:00", "", fmt.Sprintf(" web1 kernel: [%d.%06d] [UFW %s] IN=eth0 OUT= MAC=2e:e6:53:9d:23:72:0a:d0:2a:63:68:14:08:00 SRC=%s DST=%s LEN=60 TOS=0x00 PREC=0x00 TTL=54 ID=%d DF %s ",
		30+at.Unix()%1e6, d.IntN(1e6), action, addr, to, d.IntN(65536), what))
}

const self = "203.0.113.5"

func syn(from, to int) string {
	return fmt.Sprintf("PROTO=TCP SPT=%d DPT=%d WINDOW=64240 RES=0x00 SYN URGP=0", from, to)
}

func udp(from, to int) string { return fmt.Sprintf("PROTO=UDP SPT=%d DPT=%d LEN=40", from, to) }

// attacker does n things, gap apart, beginning somewhere in the day, from an address of its own.
func (d *day) attacker(jail, addr string, n int, gap time.Duration, do func(i int, at time.Time)) {
	d.attackers[jail] = append(d.attackers[jail], addr)
	d.times(n, gap, do)
}

// innocent is the same for somebody whom nobody may ban.
func (d *day) innocent(addr string, n int, gap time.Duration, do func(i int, at time.Time)) {
	d.innocents = append(d.innocents, addr)
	d.times(n, gap, do)
}

func (d *day) times(n int, gap time.Duration, do func(i int, at time.Time)) {
	start := dayStart.Add(time.Hour + time.Duration(d.Int64N(int64(23*time.Hour-time.Duration(n)*gap))))
	for i := range n {
		do(i, start.Add(time.Duration(i)*gap))
	}
}

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	google  = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)

// attackOnWeb are those who come for the web server.
func (d *day) attackOnWeb() {
	d.attacker("nginx-4xx", "198.18.1.1", 25, 30*time.Minute, func(i int, at time.Time) {
		d.access(at, "198.18.1.1", "-", fmt.Sprintf("GET /old/%d.html HTTP/1.1", i), 410, firefox)
	})
	d.attacker("nginx-404", "2001:db8:bad:1::1", 25, time.Second, func(i int, at time.Time) {
		d.access(at, "2001:db8:bad:1::1", "-", fmt.Sprintf("GET /dir%d/ HTTP/1.1", i), 404, firefox)
	})
	d.attacker("nginx-botsearch", "198.18.1.2", 3, time.Second, func(i int, at time.Time) {
		d.access(at, "198.18.1.2", "-", []string{"GET /.env HTTP/1.1", "GET /wp-login.php HTTP/1.1", "GET /.git/config HTTP/1.1"}[i], 404, "-")
	})
	d.attacker("nginx-badbots", "198.18.1.3", 2, time.Minute, func(_ int, at time.Time) {
		d.access(at, "198.18.1.3", "-", "GET /?id=1 HTTP/1.1", 200, "sqlmap/1.8.2#stable (https://sqlmap.org)")
	})
	d.attacker("nginx-noscript", "198.18.1.4", 7, time.Second, func(i int, at time.Time) {
		d.access(at, "198.18.1.4", "-", fmt.Sprintf("POST /up%d.php HTTP/1.1", i), 404, firefox)
	})
	d.attacker("nginx-forbidden", "198.18.1.5", 11, time.Minute, func(i int, at time.Time) {
		d.access(at, "198.18.1.5", "-", fmt.Sprintf("GET /private/%d HTTP/1.1", i), 403, firefox)
	})
	d.attacker("nginx-http-auth", "198.18.1.6", 6, time.Hour, func(_ int, at time.Time) {
		d.access(at, "198.18.1.6", "admin", "GET /admin HTTP/1.1", 401, "curl/8.5.0")
		d.error(at, "error", `user "admin": password mismatch, client: 198.18.1.6, server: example.com, request: "GET /admin HTTP/1.1", host: "example.com"`)
	})
	d.attacker("nginx-limit-req", "198.18.1.7", 12, time.Second, func(_ int, at time.Time) {
		d.access(at, "198.18.1.7", "-", "POST /search HTTP/1.1", 503, firefox)
		d.error(at, "error", `limiting requests, excess: 5.230 by zone "one", client: 198.18.1.7, server: example.com, request: "POST /search HTTP/1.1", host: "example.com"`)
	})
	d.attacker("nginx-sslerror", "198.18.1.8", 6, time.Second, func(_ int, at time.Time) {
		d.error(at, "info", `SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while SSL handshaking, client: 198.18.1.8, server: 0.0.0.0:443`)
	})
	for _, addr := range []string{"198.18.2.1", "2001:db8:bad:2::2"} {
		d.attacker("fastapi", addr, 8, time.Minute, func(_ int, at time.Time) { d.app(at, addr, "POST /api/v1/login", "401 Unauthorized") })
	}
}

// attackOnHost are those who come for sshd and for whatever port is open.
func (d *day) attackOnHost() {
	d.attacker("sshd", "198.18.3.1", 8, 3*time.Second, func(_ int, at time.Time) {
		d.sshd(at, 2001, "Failed password for root from 198.18.3.1 port 40000 ssh2")
	})
	d.attacker("sshd", "198.18.3.2", 6, 3*time.Hour, func(i int, at time.Time) { // slow, under many names
		d.sshd(at, 2100+i, fmt.Sprintf("Invalid user user%d from 198.18.3.2 port 40000", i))
		d.sshd(at.Add(time.Second), 2100+i, fmt.Sprintf("Failed password for invalid user user%d from 198.18.3.2 port 40000 ssh2", i))
		d.sshd(at.Add(2*time.Second), 2100+i, fmt.Sprintf("Connection closed by invalid user user%d 198.18.3.2 port 40000 [preauth]", i))
	})
	d.attacker("sshd", "2001:db8:bad:3::3", 6, time.Second, func(i int, at time.Time) {
		d.sshd(at, 2200+i, "Invalid user x from 192.0.2.200 port 1 from 2001:db8:bad:3::3 port 40000") // blames somebody else
	})
	d.attacker("ufw", "198.18.4.1", 12, 10*time.Second, func(i int, at time.Time) { d.packet(at, "BLOCK", "198.18.4.1", self, syn(40000, 1000+i)) })
	d.attacker("ufw", "2001:0db8:0bad:0004:0000:0000:0000:0004", 12, 10*time.Second, func(i int, at time.Time) {
		d.packet(at, "BLOCK", "2001:0db8:0bad:0004:0000:0000:0000:0004", "2001:0db8:0000:0000:0000:0000:0000:0001", udp(40000, 5060+i))
	})
}

// innocentOnWeb are those who look like attackers of the web server.
func (d *day) innocentOnWeb() {
	d.innocent("192.0.2.1", 40, 20*time.Minute, func(_ int, at time.Time) { // a browser: the first challenge, then the name
		d.access(at, "192.0.2.1", "-", "GET /admin HTTP/2.0", 401, firefox)
		d.access(at.Add(time.Second), "192.0.2.1", "bob", "GET /admin HTTP/2.0", 200, firefox)
	})
	d.innocent("192.0.2.2", 2, time.Minute, func(_ int, at time.Time) { // mistypes twice
		d.access(at, "192.0.2.2", "bob", "GET /admin HTTP/2.0", 401, firefox)
		d.error(at, "error", `user "bob": password mismatch, client: 192.0.2.2, server: example.com, request: "GET /admin HTTP/2.0", host: "example.com"`)
	})
	d.innocent("192.0.2.3", 300, time.Minute, func(i int, at time.Time) { // a client of the API that is to slow down, whose token expires
		d.access(at, "192.0.2.3", "-", "GET /api/items HTTP/1.1", 429, "python-requests/2.32.3")
		if i%10 == 0 {
			d.app(at, "192.0.2.3", "GET /api/items", "401 Unauthorized")
			d.access(at, "192.0.2.3", "-", "GET /api/items HTTP/1.1", 401, "python-requests/2.32.3")
		}
	})
	d.innocent("192.0.2.4", 12, time.Hour, func(i int, at time.Time) { // a crawler: dead links
		d.access(at, "192.0.2.4", "-", fmt.Sprintf("GET /news/%d.html HTTP/1.1", i), 404, google)
		d.access(at, "192.0.2.4", "-", "GET /robots.txt HTTP/1.1", 404, google)
	})
	d.innocent("192.0.2.5", 200, time.Minute, func(i int, at time.Time) { // a phone without an icon, and an impatient owner
		d.access(at, "192.0.2.5", "-", []string{"GET /apple-touch-icon-precomposed.png HTTP/1.1", "GET /favicon.ico HTTP/1.1"}[i%2], 404, firefox)
		d.access(at, "192.0.2.5", "-", "GET /slow HTTP/1.1", 499, firefox)
	})
	d.innocent("192.0.2.6", 3, time.Second, func(_ int, at time.Time) { // clicks three times
		d.error(at, "error", `limiting requests, excess: 1.000 by zone "one", client: 192.0.2.6, server: example.com, request: "GET / HTTP/1.1", host: "example.com"`)
	})
	d.innocent("192.0.2.7", 2, time.Minute, func(_ int, at time.Time) { d.app(at, "192.0.2.7", "POST /api/v1/login", "401 Unauthorized") })
	d.innocent("192.0.2.8", 50, time.Minute, func(_ int, at time.Time) { // does not trust the certificate
		d.error(at, "info", `SSL_do_handshake() failed (SSL: error:0A000416:SSL routines::sslv3 alert certificate unknown:SSL alert number 46) while SSL handshaking, client: 192.0.2.8, server: 0.0.0.0:443`)
	})
	d.innocent("192.0.2.9", 100, 10*time.Minute, func(_ int, at time.Time) { d.access(at, "192.0.2.9", "-", "GET /feed HTTP/1.1", 304, "curl/8.5.0") })
	// Whom others name in their requests, agents and names.
	d.innocents = append(d.innocents, "192.0.2.200")
	d.attacker("nginx-badbots", "198.18.1.9", 30, time.Minute, func(_ int, at time.Time) {
		d.access(at, "198.18.1.9", "192.0.2.200 - -", `GET /192.0.2.200\x22 404 1 HTTP/1.1`, 404, `192.0.2.200 - - [] \x22GET /.env HTTP/1.1\x22 404 sqlmap`)
		d.error(at, "error", `open() "/var/www/x", client: 192.0.2.200, server: x" failed (2: No such file or directory), client: 198.18.1.9, server: example.com, request: "GET /, client: 192.0.2.200, server: HTTP/1.1", host: "192.0.2.200"`)
	})
	visits := 20_000
	if testing.Short() {
		visits = 2_000
	}
	for i := range visits {
		addr := fmt.Sprintf("10.%d.%d.%d", i%7, i%200, i%250)
		d.access(dayStart.Add(time.Duration(d.Int64N(int64(24*time.Hour)))), addr, "-", fmt.Sprintf("GET /page/%d HTTP/2.0", i%500), 200, firefox)
	}
}

// innocentOnHost are those who look like attackers of sshd, or whose packets UFW logs every day.
func (d *day) innocentOnHost() {
	d.innocent("192.0.2.21", 1, time.Minute, func(_ int, at time.Time) { // mistypes twice
		d.sshd(at, 3001, "Failed password for bob from 192.0.2.21 port 40000 ssh2")
		d.sshd(at.Add(3*time.Second), 3001, "Failed password for bob from 192.0.2.21 port 40000 ssh2")
		d.sshd(at.Add(6*time.Second), 3001, "Accepted password for bob from 192.0.2.21 port 40000 ssh2")
	})
	d.innocent("192.0.2.22", 30, 20*time.Minute, func(i int, at time.Time) { // an agent with many keys
		for range 4 {
			d.sshd(at, 3100+i, "Failed publickey for bob from 192.0.2.22 port 40000 ssh2: RSA SHA256:uWm2d7fUDPSvnTjk2Wz2Lf4n4VnVCG2iGqJdTzZfXmk")
		}
		d.sshd(at, 3100+i, "Accepted publickey for bob from 192.0.2.22 port 40000 ssh2: ED25519 SHA256:uWm2d7fUDPSvnTjk2Wz2Lf4n4VnVCG2iGqJdTzZfXmk")
	})
	for i, port := range []int{53, 123, 443} { // late replies of a resolver, a clock, a CDN
		addr := fmt.Sprintf("192.0.2.%d", 31+i)
		d.innocent(addr, 100, 10*time.Second, func(i int, at time.Time) { d.packet(at, "BLOCK", addr, self, udp(port, 40000+i)) })
	}
	d.innocent("192.0.2.34", 100, 10*time.Second, func(i int, at time.Time) { // a web server that this machine had called
		d.packet(at, "BLOCK", "192.0.2.34", self, fmt.Sprintf("PROTO=TCP SPT=443 DPT=%d WINDOW=0 RES=0x00 ACK RST URGP=0", 40000+i))
	})
	d.innocent("192.0.2.35", 60, 10*time.Second, func(_ int, at time.Time) { d.packet(at, "BLOCK", "192.0.2.35", self, syn(40000, 25)) }) // one closed port, again and again
	d.innocent("192.0.2.36", 60, 10*time.Second, func(i int, at time.Time) { d.packet(at, "BLOCK", "192.0.2.36", "239.255.255.250", udp(40000, 1900+i)) })
	d.innocent("192.0.2.37", 60, 10*time.Second, func(i int, at time.Time) { d.packet(at, "AUDIT", "192.0.2.37", self, syn(40000, 1000+i)) })
	d.innocent("192.0.2.38", 9, time.Minute, func(i int, at time.Time) { d.packet(at, "BLOCK", "192.0.2.38", self, syn(40000, 8000+i)) }) // nine ports are not ten
	d.innocent("192.0.2.39", 20, 10*time.Minute, func(i int, at time.Time) { d.packet(at, "BLOCK", "192.0.2.39", self, syn(40000, 9000+i)) })
}

func newDay() *day {
	d := &day{Rand: rand.New(rand.NewPCG(22, 11)), lines: map[string][]dated{}, attackers: map[string][]string{}}
	d.attackOnWeb()
	d.attackOnHost()
	d.innocentOnWeb()
	d.innocentOnHost()
	return d
}

// write leaves the logs in dir, their lines in the order of time.
func (d *day) write(t *testing.T, dir string) {
	t.Helper()
	for name, lines := range d.lines {
		slices.SortStableFunc(lines, func(a, b dated) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
		var text strings.Builder
		for _, l := range lines {
			text.WriteString(l.line + "\n")
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDay runs the setup that guides end with over a day: every attacker is banned by the jail that should, and
// nobody else by any.
func TestDay(t *testing.T) {
	dir := *dayDir
	if dir == "" {
		dir = t.TempDir()
	}
	d := newDay()
	d.write(t, dir)
	text, err := os.ReadFile("testdata/day/custom.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse(filepath.Join(dir, "custom.toml"), []byte(strings.ReplaceAll(string(text), "D/", dir+"/")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build(cfg, BuildOptions{Strict: true, DryRun: true, Own: none}); err != nil {
		t.Errorf("check: %v", err)
	}
	for _, j := range cfg.Jails {
		j.BanTime = Duration(48 * time.Hour) // or the morning's bans would be over in the evening, and not printed
	}
	var out bytes.Buffer
	now := dayStart.Add(24 * time.Hour)
	built, err := Build(cfg, BuildOptions{Once: true, DryRun: true, JSON: true, Out: &out, Own: none, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := built.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	banned := bansBy(t, &out)
	for jail, addrs := range d.attackers {
		for _, addr := range addrs {
			if !slices.Contains(banned[short(addr)], jail) {
				t.Errorf("%s, whom %s should ban: got %q", addr, jail, banned[short(addr)])
			}
		}
	}
	attackers := map[string]bool{}
	for _, addrs := range d.attackers {
		for _, addr := range addrs {
			attackers[short(addr)] = true
		}
	}
	for addr, jails := range banned {
		if !attackers[addr] {
			t.Errorf("%s, who has done nothing: banned by %q", addr, jails)
		}
	}
	if len(d.innocents) < 15 || len(attackers) < 15 {
		t.Errorf("got %d innocents and %d attackers, want some of each kind", len(d.innocents), len(attackers))
	}
	t.Logf("%d attackers banned, %d who look like them not: %v", len(attackers), len(d.innocents), slices.Sorted(maps.Keys(banned)))
}

// short is an address as actions have it: those of IPv6 with their network.
func short(addr string) string {
	p, _, err := parseIgnore(addr)
	if err != nil {
		return addr
	}
	if p.Addr().Is6() {
		return netip.PrefixFrom(p.Addr(), 64).Masked().String()
	}
	return p.Addr().String()
}

// bansBy reads the actions that were printed: the jails that banned, by address or network.
func bansBy(t *testing.T, out *bytes.Buffer) map[string][]string {
	t.Helper()
	banned := map[string][]string{}
	for dec := json.NewDecoder(out); dec.More(); {
		var a struct{ Op, Prefix, Jail string }
		if err := dec.Decode(&a); err != nil {
			t.Fatal(err)
		}
		if a.Op == "ban" {
			addr := strings.TrimSuffix(strings.TrimSuffix(a.Prefix, "/32"), "/128")
			banned[addr] = append(banned[addr], a.Jail)
		}
	}
	return banned
}
