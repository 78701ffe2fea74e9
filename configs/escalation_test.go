package configs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

const (
	fail2banPython = "/usr/bin/python3"
	fail2banServer = "/usr/lib/python3/dist-packages/fail2ban/server/observer.py"
)

// fail2banBans has fail2ban's own jail, observer and database ban one address again and again, each time as soon as the
// last ban is over, by one jail after the other, and prints how long each ban is. The random part is half of rndtime. After every
// third ban it starts anew, with nothing but the database.
const fail2banBans = `
import json, logging, os, random, sys, tempfile
logging.disable(logging.CRITICAL)
random.random = lambda: 0.5
from fail2ban.server.banmanager import BanManager
from fail2ban.server.database import Fail2BanDb
from fail2ban.server.jail import Jail
from fail2ban.server.mytime import MyTime
from fail2ban.server.observer import ObserverThread
from fail2ban.server.ticket import BanTicket

def start(path, case):
    db = Fail2BanDb(path)
    jails = []
    for c in case['jails']:
        j = Jail(c['name'], backend='polling', db=db)
        j.isAlive = lambda: True
        j.actions.setBanTime(c['bantime'])
        for opt, value in c['options'].items():
            j.setBanTimeExtra(opt, value)
        db.addJail(j)
        jails.append((j, BanManager()))
    o = ObserverThread()
    o.add_timer = lambda *args: None
    return jails, o

out = []
for case in json.load(sys.stdin):
    path = tempfile.mktemp('.sqlite3')
    row, now = [], 1124013600
    for n in range(case['bans']):
        if n % 3 == 0:
            jails, observer = start(path, case)
        jail, manager = jails[n % len(jails)]
        MyTime.setTime(now)
        manager.setBanTime(jail.actions.getBanTime())
        ticket = BanTicket(case['addr'], now)
        manager.unBanList(now)
        if not manager.addBanTicket(ticket):
            raise Exception('still banned')
        observer.banFound(ticket, jail, jail.actions.getBanTime())
        t = ticket.getBanTime(jail.actions.getBanTime())
        row.append(t)
        now = int(now + max(t, 3600)) + 60 # its manager does not look before the end that a ban had at first
    os.unlink(path)
    out.append(row)
json.dump(out, sys.stdout)
`

// A banCase is a history of one address.
type banCase struct {
	name  string
	toml  string         // the jails, in the order in which they ban
	Addr  string         `json:"addr"`
	Bans  int            `json:"bans"`
	Jails []fail2banJail `json:"jails"`
}

type fail2banJail struct {
	Name    string            `json:"name"`
	BanTime int               `json:"bantime"`
	Options map[string]string `json:"options"`
}

// Repeat offenders are banned as long as fail2ban bans them, over restarts, too.
func TestBanTimesAsFail2ban(t *testing.T) {
	if _, err := os.Stat(fail2banServer); err != nil {
		t.Skip("needs Debian's fail2ban")
	}
	cases := []*banCase{
		{name: "defaults", toml: `[jails.a]
			bantime_increment = true`},
		{name: "off", toml: `[jails.a]
			bantime_increment = false
			bantime_factor = 4`},
		{name: "an IPv6 address", Addr: "2001:db8::7", toml: `[jails.a]
			bantime_increment = true`},
		{name: "factor", toml: `[jails.a]
			bantime_increment = true
			bantime_factor = 3`},
		{name: "a factor that makes them shorter", toml: `[jails.a]
			bantime_increment = true
			bantime_factor = 0.3`},
		{name: "maxtime", toml: `[jails.a]
			bantime_increment = true
			bantime_maxtime = "5w"`},
		{name: "maxtime below bantime", toml: `[jails.a]
			bantime_increment = true
			bantime_maxtime = "5m"`},
		{name: "multipliers", toml: `[jails.a]
			bantime_increment = true
			bantime_multipliers = "1 5 30 60 300 720 1440 2880"`},
		{name: "multipliers, factor, maxtime, rndtime", toml: `[jails.a]
			bantime_increment = true
			bantime_multipliers = [1, 2, 4, 8, 16, 32, 64]
			bantime_factor = 2
			bantime_maxtime = "6h"
			bantime_rndtime = "8m"`},
		{name: "fail2ban's own formula", toml: `[jails.a]
			bantime_increment = true
			bantime_formula = "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor"`},
		{name: "its other one", toml: `[jails.a]
			bantime_increment = true
			bantime_factor = 0.7
			bantime_formula = "ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)"`},
		{name: "all of Python's arithmetic", toml: `[jails.a]
			bantime_increment = true
			bantime_formula = "ban.Time + 2**-1 * -3 + 7//2 - 7%4 + (ban.Count >= 2) * max(1, 5.5, abs(-9)) + (100 << 2 >> 1 if ban.Count != 3 else int(3.9) + pow(2, 3)) - 6/4 + 2 ** 3 ** 2"`},
		{name: "two jails", toml: `[jails.a]
			bantime_increment = true
			[jails.b]
			bantime_increment = true
			bantime = "1h"`},
		{name: "two jails, overall", Bans: 9, toml: `[jails.a]
			bantime_increment = true
			bantime_overalljails = true
			bantime_maxtime = "30w"
			[jails.b]
			bantime_increment = true
			bantime_overalljails = true
			bantime_maxtime = "30w"
			bantime = "1h"`},
		{name: "overall in one of three", Bans: 12, toml: `[jails.a]
			bantime_increment = true
			bantime_overalljails = true
			[jails.b]
			bantime = "1h"
			[jails.c]
			bantime_increment = true`},
	}
	for _, c := range cases {
		if c.Addr == "" {
			c.Addr = "192.0.2.7"
		}
		if c.Bans == 0 {
			c.Bans = 8
		}
		c.fail2ban(t)
	}
	want := fail2banTimes(t, cases)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := c.times(t)
			for n := range want[i] {
				if math.Abs(got[n]-want[i][n]) > 1e-5*want[i][n] {
					t.Fatalf("got %.6g s, want fail2ban's %.6g", got, want[i])
				}
			}
		})
	}
}

// config is the case's, with jails that have a failregex of their own.
func (c *banCase) config(t *testing.T) *Config {
	t.Helper()
	var text strings.Builder
	for line := range strings.Lines(c.toml) {
		text.WriteString(strings.TrimSpace(line) + "\n")
		if strings.Contains(line, "[jails.") {
			text.WriteString("enabled = true\nfailregex = '''^<HOST>$'''\nlogpath = \"/var/log/x\"\nmaxretry = 1\n")
		}
	}
	cfg, err := Parse("banpipe.toml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// fail2ban fills in what its jails are called and set to there.
func (c *banCase) fail2ban(t *testing.T) {
	for line := range strings.Lines(c.toml) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "[jails."); ok {
			c.Jails = append(c.Jails, fail2banJail{Name: strings.TrimSuffix(name, "]"), BanTime: 600, Options: map[string]string{}})
			continue
		}
		j := &c.Jails[len(c.Jails)-1]
		key, value, _ := strings.Cut(line, " = ")
		value = strings.Trim(strings.ReplaceAll(value, ",", ""), `"[]`)
		if strings.Contains(line, "formula") {
			_, value, _ = strings.Cut(line, " = ")
			value = strings.Trim(value, `"`)
		}
		if key == "bantime" {
			d, err := ParseDuration(value)
			if err != nil {
				t.Fatal(err)
			}
			j.BanTime = int(time.Duration(d).Seconds())
			continue
		}
		j.Options[strings.TrimPrefix(key, "bantime_")] = value
	}
}

func fail2banTimes(t *testing.T, cases []*banCase) (want [][]float64) {
	t.Helper()
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(fail2banPython, "-c", fail2banBans)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	return want
}

// times is the same history with Decide: how long each ban lasts, in seconds.
func (c *banCase) times(t *testing.T) (times []float64) {
	t.Helper()
	jails := map[string]pipeline.Jail{}
	for name, j := range c.config(t).Jails {
		if p := j.Policy(); j.Enabled {
			if p.Escalation != nil {
				p.Escalation.Random = func() float64 { return 0.5 }
			}
			jails[name] = p
		}
	}
	now := time.Unix(1124013600, 0)
	saved := map[string][]byte{}
	var d *pipeline.Decide
	for n := range c.Bans {
		if n%3 == 0 {
			d = &pipeline.Decide{Jails: jails, Now: func() time.Time { return now }, Memory: 1 << 62}
			if err := d.Load(pairsOf(saved)); err != nil {
				t.Fatal(err)
			}
		}
		b := &pipeline.Batch{Records: []pipeline.Record{{
			Kind: pipeline.Hit, Jail: c.Jails[n%len(c.Jails)].Name, Addr: netip.MustParseAddr(c.Addr), Time: now, Hits: 1,
		}}}
		if err := d.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		if len(b.Actions) != 1 || b.Actions[0].Op != pipeline.Ban {
			t.Fatalf("ban %d: got %v, want one ban", n, b.Actions)
		}
		times = append(times, b.Actions[0].Until.Sub(now).Seconds())
		d.Save(n%2 == 0, func(k, v []byte) {
			if v == nil {
				delete(saved, string(k))
			} else {
				saved[string(k)] = bytes.Clone(v)
			}
		})
		now = now.Add(time.Duration(max(times[n], 3600))*time.Second + time.Minute)
	}
	return times
}

func pairsOf(saved map[string][]byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range maps.Clone(saved) {
			if !yield([]byte(k), v) {
				return
			}
		}
	}
}

// A formula holds arithmetic, and nothing else; whatever it is, there is an answer at once.
func FuzzFormula(f *testing.F) {
	for _, text := range []string{
		"ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor", "math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)",
		"1 if 2 if 3 else 4 else 5", "((((", "2**2**2", "-+-1", "1 < 2 < 3", "max()", "min(1,)", "__import__('os')", "ban.Time.real", "1e999", "0x10", "1_000", "ban . Time",
		strings.Repeat("(", 500) + "1" + strings.Repeat(")", 500), strings.Repeat("-", 999) + "1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		formula, err := compileFormula(text)
		if err == nil {
			if x := formula(600, 1, 1); math.IsNaN(x) || math.IsInf(x, 0) {
				t.Errorf("%q: got %v", text, x)
			}
		}
	})
}

// A jail that counts bans needs neither a filter nor a log; one with a log of its own reads that.
func TestCountsBans(t *testing.T) {
	log := filepath.Join(t.TempDir(), "fail2ban.log")
	for _, c := range []struct{ name, toml, want string }{
		{"recidive alone", "[jails.recidive]\nenabled = true", "bans 5 in 1d for 1w, reads []"},
		{"of one's own", "[jails.again]\nenabled = true\ncounts = \"bans\"\nmaxretry = 2\nbantime = -1", "bans 2 in 10m for -1, reads []"},
		{"recidive for a log", "[jails.recidive]\nenabled = true\nlogpath = \"" + log + "\"", "lines 5 in 1d for 1w, reads [" + log + "]"},
		{"said outright", "[jails.recidive]\nenabled = true\ncounts = \"lines\"\nlogpath = \"" + log + "\"", "lines 5 in 1d for 1w, reads [" + log + "]"},
		{"rules of one's own", "[jails.recidive]\nenabled = true\nfailregex = '^<HOST>$'\nlogpath = \"" + log + "\"", "lines 5 in 10m for 10m, reads [" + log + "]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := Parse("banpipe.toml", []byte("[jails.sshd]\nenabled = true\n"+c.toml))
			if err != nil {
				t.Fatal(err)
			}
			built, err := Build(cfg, BuildOptions{DryRun: true, Own: none, Journal: []string{"/no/journalctl"}})
			if err != nil {
				t.Fatal(err)
			}
			if len(built.Jails) != 2 {
				t.Fatalf("got %d jails, want both", len(built.Jails))
			}
			j := built.Jails[0]
			if j.Name == "sshd" {
				j = built.Jails[1]
			}
			got := fmt.Sprintf("%s %d in %v for %v, reads %v", j.Counts, j.MaxRetry, j.FindTime, j.BanTime, j.LogPath)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// fail2ban's own filter tells of logins, too.
func TestLoginsOfFail2banFilter(t *testing.T) {
	const path = "/etc/fail2ban/filter.d/sshd.conf"
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs Debian's fail2ban")
	}
	f, err := LoadFilter(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.inMode("")
	if err != nil {
		t.Fatal(err)
	}
	got := blamed(p, []string{"Nov 22 07:23:11 web1 sshd[1234]: Accepted publickey for bob from 192.0.2.15 port 51022 ssh2"})
	if !slices.Equal(got, []string{loginWord + "192.0.2.15"}) {
		t.Errorf("got %q, want the login", got)
	}
}
