package compare

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
)

var (
	t0   = time.Date(2026, 11, 22, 7, 0, 0, 0, time.Local)
	addr = netip.MustParseAddr("192.0.2.7")
)

// minutes are times after t0.
func minutes(all ...int) (times []time.Time) {
	for _, m := range all {
		times = append(times, t0.Add(time.Duration(m)*time.Minute))
	}
	return times
}

func bans(prefix string, all ...int) (b []Ban) {
	for _, at := range minutes(all...) {
		b = append(b, Ban{Prefix: netip.MustParsePrefix(prefix), At: at})
	}
	return b
}

// Each reason why one of them bans an address and the other does not.
func TestCompare(t *testing.T) {
	five := Settings{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute}
	limits := pipeline.Jail{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute}
	host := "192.0.2.7/32"
	with := func(change func(*pipeline.Jail)) pipeline.Jail { j := limits; change(&j); return j }
	for _, c := range []struct {
		name   string
		theirs *TheirAddr
		limits Settings
		ours   *OurAddr
		jail   pipeline.Jail
		wide   []Ban
		want   string // by and code; "" is no difference
	}{
		{"both", &TheirAddr{Found: minutes(1, 2, 3, 4, 5), Bans: minutes(5)}, five, &OurAddr{Hits: minutes(1, 2, 3, 4, 5), Most: 5, Bans: bans(host, 5)}, limits, nil, ""},
		{"one before the other", &TheirAddr{Bans: minutes(5)}, five, &OurAddr{Bans: bans(host, -500)}, limits, nil, ""},
		{"both, as a network", &TheirAddr{Bans: minutes(5)}, five, &OurAddr{}, limits, bans("192.0.2.0/24", 4), ""},
		{"before fail2ban's log", nil, five, &OurAddr{Bans: bans(host, -5)}, limits, nil, ""},
		{"nobody", &TheirAddr{Found: minutes(1)}, five, &OurAddr{Hits: minutes(1)}, limits, nil, ""},

		{"refused", &TheirAddr{Found: minutes(1, 1, 1, 1, 1), Bans: minutes(5)}, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 5, Refused: "192.0.2.0/24 is in ignoreip"}, limits, nil, "fail2ban ignored"},
		{"somebody has logged in", &TheirAddr{Found: minutes(1, 1, 1, 1, 1), Bans: minutes(5)}, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 5, Refused: "somebody logged in", Login: true}, limits, nil, "fail2ban login"},
		{"restored", &TheirAddr{Restored: minutes(0)}, five, nil, limits, nil, "fail2ban restored"},
		{"by hand", &TheirAddr{Bans: minutes(5)}, five, nil, limits, nil, "fail2ban by_hand"},
		{"not matched", &TheirAddr{Found: minutes(1, 1, 1, 1, 1), Bans: minutes(5)}, five, nil, limits, nil, "fail2ban not_matched"},
		{"fewer matched", &TheirAddr{Found: minutes(1, 1, 1, 1, 1), Bans: minutes(5)}, five, &OurAddr{Hits: minutes(1, 1, 1), Most: 3}, limits, nil, "fail2ban fewer"},
		{"maxretry", &TheirAddr{Found: minutes(1, 1, 1), Bans: minutes(1)}, Settings{3, 10 * time.Minute, 0}, &OurAddr{Hits: minutes(1, 1, 1), Most: 3}, limits, nil, "fail2ban maxretry"},
		{"findtime", &TheirAddr{Found: minutes(1, 10, 20, 30, 40), Bans: minutes(40)}, Settings{5, time.Hour, 0}, &OurAddr{Hits: minutes(1, 10, 20, 30, 40), Most: 2}, limits, nil, "fail2ban findtime"},
		{"estimate", &TheirAddr{Found: minutes(0, 1, 2, 11, 12), Bans: minutes(12)}, five, &OurAddr{Hits: minutes(0, 1, 2, 11, 12), Most: 4}, limits, nil, "fail2ban estimate"},
		{"estimate, limits unknown", &TheirAddr{Found: minutes(0, 1, 2, 11, 12), Bans: minutes(12)}, Settings{}, &OurAddr{Hits: minutes(0, 1, 2, 11, 12), Most: 4}, limits, nil, "fail2ban estimate"},
		{"login", &TheirAddr{Found: minutes(1, 1, 1, 1, 1), Bans: minutes(1)}, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 3, Forgot: true}, limits, nil, "fail2ban login"},
		{"distinct", &TheirAddr{Found: minutes(1, 1, 1, 1, 1), Bans: minutes(1)}, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 1}, with(func(j *pipeline.Jail) { j.Distinct = true }), nil, "fail2ban distinct"},
		{"nobody knows", &TheirAddr{Found: minutes(1, 1, 1, 1, 1), Bans: minutes(1)}, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 4}, limits, nil, "fail2ban unknown"},

		{"ignored there", &TheirAddr{Ignored: true}, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 5, Bans: bans(host, 1)}, limits, nil, "banpipe ignored"},
		{"held there already", &TheirAddr{Unbans: minutes(6)}, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 5, Bans: bans(host, 1)}, limits, nil, "banpipe before"},
		{"network", &TheirAddr{Found: minutes(1)}, five, &OurAddr{Hits: minutes(1), Most: 5}, limits, bans("192.0.2.0/24", 1), "banpipe prefix"},
		{"not matched there", nil, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 5, Bans: bans(host, 1)}, limits, nil, "banpipe not_matched"},
		{"by hand here", &TheirAddr{Found: minutes(1)}, five, &OurAddr{Bans: bans(host, 1)}, limits, nil, "banpipe by_hand"},
		{"weight", &TheirAddr{Found: minutes(1, 1, 1)}, five, &OurAddr{Hits: minutes(1, 1, 1), Most: 6, Weighty: true, Bans: bans(host, 1)}, limits, nil, "banpipe weight"},
		{"distinct here", &TheirAddr{Found: minutes(1, 1, 1)}, five, &OurAddr{Hits: minutes(1, 1, 1), Most: 3, Bans: bans(host, 1)}, with(func(j *pipeline.Jail) { j.Distinct, j.MaxRetry = true, 3 }), nil, "banpipe distinct"},
		{"maxretry there", &TheirAddr{Found: minutes(1, 1, 1)}, five, &OurAddr{Hits: minutes(1, 1, 1), Most: 3, Bans: bans(host, 1)}, with(func(j *pipeline.Jail) { j.MaxRetry = 3 }), nil, "banpipe maxretry"},
		{"findtime there", &TheirAddr{Found: minutes(1, 10, 20, 30, 40)}, five, &OurAddr{Hits: minutes(1, 10, 20, 30, 40), Most: 5, Bans: bans(host, 40)}, with(func(j *pipeline.Jail) { j.FindTime = time.Hour }), nil, "banpipe findtime"},
		{"fewer there", &TheirAddr{Found: minutes(1, 1)}, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 5, Bans: bans(host, 1)}, limits, nil, "banpipe fewer"},
		{"estimate there", &TheirAddr{Found: minutes(1, 1, 1, 1, 1)}, five, &OurAddr{Hits: minutes(1, 1, 1, 1, 1), Most: 5, Bans: bans(host, 1)}, limits, nil, "banpipe estimate"},
		{"at the end", &TheirAddr{Found: minutes(60, 60, 60, 60, 60)}, five, &OurAddr{Hits: minutes(60, 60, 60, 60, 60), Most: 5, Bans: bans(host, 60)}, limits, nil, "banpipe pending"},
	} {
		t.Run(c.name, func(t *testing.T) {
			theirs := &Theirs{From: t0, To: t0.Add(time.Hour), Jails: map[string]*TheirJail{"j": {Settings: c.limits, Addrs: map[netip.Addr]*TheirAddr{}}}}
			ours := &Ours{Jails: map[string]*OurJail{"j": {Limits: c.jail, Addrs: map[netip.Addr]*OurAddr{}, Wide: c.wide}}}
			if c.theirs != nil {
				theirs.Jails["j"].Addrs[addr] = c.theirs
			}
			if c.ours != nil {
				ours.Jails["j"].Addrs[addr] = c.ours
			}
			r := Compare(theirs, ours)
			got := ""
			for _, d := range r.Jails[0].Differences {
				got = d.By + " " + d.Code
				if d.Why == "" || d.Addr != addr || d.Time.IsZero() {
					t.Errorf("got %+v, want it explained", d)
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q: %+v", got, c.want, r.Jails[0])
			}
			if n := strings.Count(c.want, "fail2ban "); r.Theirs != n || r.Ours != strings.Count(c.want, "banpipe ") {
				t.Errorf("got %d and %d differences", r.Theirs, r.Ours)
			}
		})
	}
}

func TestCompareJails(t *testing.T) {
	theirs := &Theirs{From: t0, To: t0.Add(time.Hour), Jails: map[string]*TheirJail{
		"only-theirs": {Addrs: map[netip.Addr]*TheirAddr{addr: {Found: minutes(1), Bans: minutes(1)}}},
		"quiet":       {Addrs: map[netip.Addr]*TheirAddr{}},
		"sshd":        {Settings: Settings{3, time.Hour, -time.Second}, Addrs: map[netip.Addr]*TheirAddr{}},
	}}
	ours := &Ours{Jails: map[string]*OurJail{
		"only-ours": {Addrs: map[netip.Addr]*OurAddr{addr: {Hits: minutes(1), Bans: bans("192.0.2.7/32", 1)}}},
		"sshd":      {Limits: pipeline.Jail{MaxRetry: 5, BanTime: -1}, Addrs: map[netip.Addr]*OurAddr{}},
	}}
	r := Compare(theirs, ours)
	var got []string
	for _, j := range r.Jails {
		for _, s := range j.Settings {
			got = append(got, fmt.Sprint(j.Jail, " ", s))
		}
		for _, d := range j.Differences {
			got = append(got, fmt.Sprint(j.Jail, " ", d.By, " ", d.Code))
		}
	}
	want := []string{"only-ours banpipe no_jail", "only-theirs fail2ban no_jail", "sshd {maxretry 5 3}", "sshd {findtime 10m0s 1h0m0s}"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLacks(t *testing.T) {
	half := minutes(1)[0].Add(500 * time.Millisecond) // fail2ban's log has whole seconds
	for _, c := range []struct {
		times, others []time.Time
		want          int // minutes after t0; -1: none
	}{
		{minutes(1, 2), minutes(1, 2), -1},
		{[]time.Time{half}, minutes(1), -1},
		{minutes(1, 3), minutes(1, 2, 3), 2},
		{minutes(1), minutes(1, 1), 1},
		{nil, minutes(4), 4},
	} {
		want := ""
		if c.want >= 0 {
			want = "; it lacks that of " + minutes(c.want)[0].Format(time.DateTime)
		}
		if got := lacks(c.times, c.others); got != want {
			t.Errorf("%v, %v: got %q, want %q", c.times, c.others, got, want)
		}
	}
}

// Two that read different logs: that is the reason, and not their filters.
func TestCompareLogs(t *testing.T) {
	for _, c := range []struct {
		name, theirs, ours, want string
	}{
		{"the same", "/var/log/a.log", "/var/log/a.log", codeNotMatched},
		{"by a glob", "/var/log/a.log", "/var/log/*.log", codeNotMatched},
		{"others", "/var/log/a.log", "/var/log/b.log", codeLogPath},
		{"the journal", "/var/log/a.log", "the journal", codeLogPath},
		{"nobody knows", "", "/var/log/b.log", codeNotMatched},
	} {
		var logs []string
		if c.theirs != "" {
			logs = []string{c.theirs}
		}
		other := netip.MustParseAddr("192.0.2.8")
		r := Compare(&Theirs{From: t0, To: t0.Add(time.Hour), Jails: map[string]*TheirJail{"j": {Logs: logs, Addrs: map[netip.Addr]*TheirAddr{addr: {Found: minutes(1), Bans: minutes(1)}}}}},
			&Ours{Jails: map[string]*OurJail{"j": {Logs: []string{c.ours}, Addrs: map[netip.Addr]*OurAddr{other: {Hits: minutes(1), Bans: bans("192.0.2.8/32", 1)}}}}})
		for _, d := range r.Jails[0].Differences {
			if d.Code != c.want || !strings.Contains(d.Why, c.ours) && d.By == ByFail2ban {
				t.Errorf("%s: got %+v, want %s", c.name, d, c.want)
			}
		}
		codes, counts := r.Jails[0].Reasons(ByFail2ban)
		if len(codes) != 1 || counts[codes[0]] != 1 {
			t.Errorf("%s: got %v", c.name, counts)
		}
	}
}

// A service's history takes the place of what the replay bans, from its start on.
func TestCompareService(t *testing.T) {
	theirs := &Theirs{From: t0, To: t0.Add(time.Hour), Jails: map[string]*TheirJail{"j": {Addrs: map[netip.Addr]*TheirAddr{
		addr:                             {Found: minutes(31, 31, 31, 31, 31), Bans: minutes(31)},
		netip.MustParseAddr("192.0.2.8"): {Bans: minutes(20)}, // before the service
		netip.MustParseAddr("192.0.2.9"): {Bans: minutes(40)},
	}}}}
	ours := &Ours{Jails: map[string]*OurJail{"j": {Addrs: map[netip.Addr]*OurAddr{addr: {Hits: minutes(31, 31, 31, 31, 31), Most: 5, Bans: bans("192.0.2.7/32", 31)}}}}}
	ban := func(prefix string, restored bool, jail string) pipeline.Event {
		return pipeline.Event{Time: t0.Add(40 * time.Minute), Action: pipeline.Action{Op: pipeline.Ban, Prefix: netip.MustParsePrefix(prefix), Jail: jail, Restored: restored, Observe: true}}
	}
	ours.Served(t0.Add(30*time.Minute), []pipeline.Event{ban("192.0.2.9/32", false, "j"), ban("192.0.2.10/32", true, "j"), ban("192.0.2.11/32", false, "other"), {}})
	r := Compare(theirs, ours)
	if r.Source != "service" || r.Both != 1 || r.Theirs != 1 || r.Ours != 0 || r.Jails[0].Differences[0].Code != codeService {
		t.Errorf("got %+v", r)
	}
}

// The replay judges every line at its own time, so that a ban of ten minutes, long ago, is one.
func TestReplay(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	for i, addr := range []string{"192.0.2.7", "192.0.2.8", "198.51.100.9", "192.0.2.7"} {
		for j := range 3 + 2*(i+1)%4 { // 5, 3, 5 and 3 lines
			fmt.Fprintf(&log, "2026-11-2%dT07:00:%02d.000000+00:00 web1 sshd[811]: Failed password for root from %s port 4711 ssh2\n", i, j, addr)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "auth.log"), []byte(log.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Parse(filepath.Join(dir, "b.toml"), fmt.Appendf(nil, "[jails.sshd]\nenabled = true\nenforce = false\nmaxretry = 5\nbantime = '10m'\nlogpath = '%s/auth.log'\nignoreip = '198.51.100.0/24'\n", dir))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := Replay(t.Context(), cfg, nil, t0, nil)
	if err != nil {
		t.Fatal(err)
	}
	sshd := ours.Jails["sshd"]
	seven, eight, nine := sshd.Addrs[netip.MustParseAddr("192.0.2.7")], sshd.Addrs[netip.MustParseAddr("192.0.2.8")], sshd.Addrs[netip.MustParseAddr("198.51.100.9")]
	if len(seven.Hits) != 8 || len(seven.Bans) != 1 || !seven.Bans[0].At.Equal(time.Date(2026, 11, 20, 7, 0, 4, 0, time.UTC)) {
		t.Errorf("got %+v, want it banned by its fifth offence", seven)
	}
	if len(eight.Hits) != 3 || eight.Most != 3 || len(eight.Bans) != 0 || eight.Refused != "" {
		t.Errorf("got %+v, want too few", eight)
	}
	if len(nine.Bans) != 0 || nine.Refused != "198.51.100.0/24 is in ignoreip" {
		t.Errorf("got %+v, want it ignored", nine)
	}
	if ours.From.After(ours.To) || ours.To.Sub(ours.From) < 48*time.Hour {
		t.Errorf("got from %v to %v", ours.From, ours.To)
	}
	// The jail that counts bans has its offences, too.
	cfg, err = configs.Parse(filepath.Join(dir, "b.toml"), fmt.Appendf(nil, "[defaults]\nbantime = '1m'\nfindtime = '1w'\n[jails.sshd]\nenabled = true\nmaxretry = 2\nlogpath = '%s/auth.log'\n[jails.recidive]\nenabled = true\nmaxretry = 2\nfindtime = '1w'\n", dir))
	if err != nil {
		t.Fatal(err)
	}
	if ours, err = Replay(t.Context(), cfg, nil, t0, nil); err != nil {
		t.Fatal(err)
	}
	if x := ours.Jails["recidive"].Addrs[netip.MustParseAddr("192.0.2.7")]; x == nil || len(x.Hits) < 2 || len(x.Bans) != 1 {
		t.Errorf("got %+v, want the second ban to be one of recidive", x)
	}
	if _, err := Replay(t.Context(), configs.Default(), nil, t0, nil); err == nil {
		t.Error("got no error of a configuration without jails")
	}
}

// Every reason and every key is in docs/compare.md, and no other reason.
func TestCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/compare.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("why.go")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| code |")
	documented := map[string]bool{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented[m[1]] = false
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\tcode\w+\s*= "([a-z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		if _, ok := documented[m[1]]; !ok {
			t.Errorf("code %q is not in docs/compare.md", m[1])
		}
		documented[m[1]] = true
	}
	for code, used := range documented {
		if !used {
			t.Errorf("docs/compare.md: there is no code %q", code)
		}
	}
	for _, v := range []any{Result{}, Jail{}, Setting{}, Difference{}} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%v: field %q is not in docs/compare.md", typ, name)
			}
		}
	}
}
