package configs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lookUp is a resolver that knows one host.
func lookUp(_ context.Context, host string) ([]netip.Addr, error) {
	if host == "known.example" {
		return []netip.Addr{netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("::ffff:192.0.2.98")}, nil
	}
	return nil, errors.New("no such host")
}

func none() []netip.Prefix { return nil }

// TestBuildProblems says for each mistake what Build makes of it: which jails run, and what is said of the
// others. The jail "ok" can always run.
func TestBuildProblems(t *testing.T) {
	dir := tree(t, map[string]string{
		"ok.log": "", "web1.log": "", "web2.log": "",
		"filter.d/bad.toml":  "\nfailregex = ['^x$',\n '^(<HOST>$']\n",
		"filter.d/json.toml": "format = 'json'\ntext = 'a'\nfailregex = '^<ADDR>$'\n",
		"filter.d/bad.conf":  "",
		"allow":              "192.0.2.1 # a\n192.0.2.0/33\n",
	})
	tests := []struct {
		jail, says string // D stands for the folder, J for the jail's table
		runs       bool   // without Strict
	}{
		{"filter = 'none'\nlogpath = 'D/ok.log'", `D/b.toml:5: jail "j": filter "none": there is none in D/filter.d or among the shipped ones`, false},
		{"filter = 'shd'\nlogpath = 'D/ok.log'", `D/b.toml:5: jail "j": filter "shd": there is none in D/filter.d or among the shipped ones` + "\n" + `hint: did you mean "sshd"?`, false},
		{"failregex = ['^a$', '^<HOST> (a$']\nlogpath = 'D/ok.log'", `D/b.toml:5: jail "j": failregex 1: missing <HOST>: it does not say who is to blame|D/b.toml:5: jail "j": failregex 2: missing ) at byte`, false},
		{"filter = 'bad'\nlogpath = 'D/ok.log'", `D/filter.d/bad.toml:2: jail "j": failregex 1: missing <HOST>: it does not say who is to blame|D/filter.d/bad.toml:3: jail "j": failregex 2: missing ) at byte`, false},
		{"filter = 'sshd'\ndatepattern = '(%Y'\nlogpath = 'D/ok.log'", `D/b.toml:5: jail "j": filter sshd: datepattern "(%Y": `, false},
		{"filter = 'ufw'\nlogpath = 'D/ok.log'\nmaxretry = 1", `D/b.toml:7: jail "j": maxretry: what this filter counts can be forged, and little of it would ban whom the forger names: the limit stays 10 different values of "port"`, true},
		{"filter = 'ufw'\nlogpath = 'D/ok.log'\ndistinct = ''", `D/b.toml:7: jail "j": distinct: what this filter counts can be forged, and little of it would ban whom the forger names: the limit stays 10 different values of "port"`, true},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\ndistinct = 'colour'", `D/b.toml:5: jail "j": filter sshd: distinct "colour": no failregex has <F-COLOUR>`, false},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\ndistinct = 'user'", "", true},
		{"filter = 'ufw'\nlogpath = 'D/ok.log'\nmaxretry = 2\nspoofable = true\ndistinct = ''", "", true},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\nbanaction = 'ufw'\nport = '1:2,4:5,7:8,10:11,13:14,16:17,19:20,22:23'", `D/b.toml:8: jail "j": port: sink "ufw": ports 1-2,4-5,7-8,10-11,13-14,16-17,19-20,22-23: ufw takes 15 in one rule, a range counts for two`, false},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\nbanaction = ['u2', 'nftables', 'ufw']", `D/b.toml:7: jail "j": banaction: the sinks "u2" and "ufw" are both ufw`, true},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\nbanaction = ['nftables', 'ufw']", "", true},
		{"filter = 'sshd'\njournalmatch = '_COMM=sshd'\nlogpath = 'D/ok.log'", "", true},
		{"failregex = '<HOST>'", `D/b.toml:4: jail "j": it has nothing to read`, false},
		{"filter = 'sshd'\nlogpath = 'D/web*.log'", "", true},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\nignoreip = 'unknown.example'", `D/b.toml:7: jail "j": ignoreip: no such host`, true},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\nignoreip = 'file:D/allow'", `D/allow:2: jail "j": ignoreip: "192.0.2.0/33" is neither an address nor a network`, true},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\nignoreip = 'file:D/none'", `D/b.toml:7: jail "j": ignoreip: open D/none: no such file or directory`, true},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\nbanaction = ['d1', 'd2']", `D/b.toml:7: jail "j": banaction: the sinks "d1" and "d2" write the same file, /etc/deny.conf`, true},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\nbanaction = ['nftables', 'k']", `D/b.toml:7: jail "j": banaction: the sinks "nftables" and "k" have the same table, "banpipe"`, true},
		{"filter = 'sshd'\nlogpath = 'D/ok.log'\nignoreip = 'known.example'\nlogtimezone = '+0100'\nbantime = -1", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.jail, func(t *testing.T) {
			text := "[sinks]\nk.type = 'nftables'\nu2.type = 'ufw'\n[jails.j]\n" + tt.jail + "\nenabled = true\n[jails.ok]\nenabled = true\nfilter = 'sshd'\nlogpath = 'D/ok.log'\n[sinks.d1]\ntype = 'denyfile'\npath = '/etc/deny.conf'\n[sinks.d2]\ntype = 'denyfile'\npath = '/etc/deny.conf'\n"
			cfg, err := Parse(filepath.Join(dir, "b.toml"), []byte(strings.ReplaceAll(text, "D/", dir+"/")))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Build(cfg, BuildOptions{Strict: true, LookUp: lookUp, Own: none, Journal: []string{"/no/journalctl"}})
			checkErrors(t, err, dir, tt.says)
			built, err := Build(cfg, BuildOptions{LookUp: lookUp, Own: none, Journal: []string{"/no/journalctl"}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, j := range built.Jails {
				got = append(got, j.Name)
			}
			want := []string{"ok"}
			if tt.runs {
				want = []string{"j", "ok"}
			}
			if !slices.Equal(got, want) || (len(built.Problems) == 0) != (tt.says == "") {
				t.Errorf("got %v and %v, want %v", got, built.Problems, want)
			}
			if !tt.runs && !strings.Contains(built.Problems.Error(), "the jail does not run") {
				t.Errorf("got %v, want to hear that the jail does not run", built.Problems)
			}
		})
	}
}

// What is not there is waited for, with a warning; what is read once waits for nothing.
func TestBuildWaits(t *testing.T) {
	dir := tree(t, map[string]string{"ok.log": ""})
	for _, tt := range []struct{ jail, waits, warns, once string }{
		{"logpath = 'D/ok.log'", "", "", ""},
		{"logpath = 'D/none.log D/no*.log'", "D/none.log D/no*.log", `D/b.toml:2: jail "j": logpath: D/none.log, D/no*.log are not there (yet): it is waited for`, `D/b.toml:2: jail "j": logpath: D/none.log, D/no*.log are not there`},
		{"logpath = 'D/ok.log D/none.log'", "D/none.log", `D/b.toml:2: jail "j": logpath: D/none.log is not there (yet): it is waited for`, `D/b.toml:2: jail "j": logpath: D/none.log is not there`},
		{"journalmatch = '_COMM=sshd'", "journal", `D/b.toml:2: jail "j": journalmatch: this machine has no journal, or no journalctl (yet): it is waited for`, `D/b.toml:2: jail "j": journalmatch: this machine has no journal, or no journalctl; the jail does not run`},
	} {
		t.Run(tt.jail, func(t *testing.T) {
			text := "[jails.j]\n" + tt.jail + "\nenabled = true\nfailregex = '^<HOST>$'\n[jails.ok]\nenabled = true\nfilter = 'sshd'\nlogpath = 'D/ok.log'\n[sinks.d1]\ntype = 'denyfile'\npath = '/etc/deny.conf'\n[sinks.d2]\ntype = 'denyfile'\npath = '/etc/deny.conf'\n"
			cfg, err := Parse(filepath.Join(dir, "b.toml"), []byte(strings.ReplaceAll(text, "D/", dir+"/")))
			if err != nil {
				t.Fatal(err)
			}
			for _, strict := range []bool{true, false} {
				built, err := Build(cfg, BuildOptions{Strict: strict, Own: none, Journal: []string{"/no/journalctl"}})
				if err != nil || len(built.Problems) > 0 {
					t.Fatalf("got %v and %v, want no problem", err, built.Problems)
				}
				checkErrors(t, built.Warnings.err(), dir, tt.warns)
				if got := strings.ReplaceAll(strings.Join(built.Jails[0].Waits, " "), dir, "D"); got != tt.waits {
					t.Errorf("got %q, want %q", got, tt.waits)
				}
			}
			built, err := Build(cfg, BuildOptions{Once: true, Own: none, Journal: []string{"/no/journalctl"}})
			if err != nil {
				t.Fatal(err)
			}
			checkErrors(t, built.Problems.err(), dir, tt.once)
		})
	}
}

// A log that is waited for is named until it is there.
func TestWaiting(t *testing.T) {
	dir := t.TempDir()
	built := buildJails(t, dir, "[jails.j]\nenabled = true\nfilter = 'sshd'\nlogpath = 'D/a.log D/b.log'\n", "true")
	want := "jail j waits for its log: " + dir + "/a.log, " + dir + "/b.log are not there"
	if got := strings.Join(built.Waiting(), "; "); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, name := range []string{"a.log", "b.log"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := built.Waiting(); len(got) != 0 {
		t.Errorf("got %q, want nothing", got)
	}
}

// checkErrors compares the beginnings of mistakes.
func checkErrors(t *testing.T, err error, dir, says string) {
	t.Helper()
	var all Errors
	if says == "" {
		if err != nil {
			t.Errorf("got %v, want no error", err)
		}
		return
	}
	want := strings.Split(strings.ReplaceAll(says, "D/", dir+"/"), "|")
	if !errors.As(err, &all) || len(all) != len(want) {
		t.Fatalf("got %v, want %q", err, want)
	}
	for i, one := range all {
		if !strings.HasPrefix(one.Error(), want[i]) {
			t.Errorf("got %v, want %v", one, want[i])
		}
	}
}

func TestBuildChoice(t *testing.T) {
	cfg := Default()
	tests := []struct {
		opts BuildOptions
		want string
	}{
		{BuildOptions{}, "no jail is enabled\nhint: set enabled = true in [jails.sshd], say, or name one with --jail sshd"},
		{BuildOptions{Jails: []string{"shd"}}, "there is no jail \"shd\"\nhint: did you mean \"sshd\"?"},
		{BuildOptions{Jails: []string{"ufw", "sshd", "ufw"}, Stdin: strings.NewReader("")}, "sshd ufw"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			built, err := Build(cfg, tt.opts)
			got := fmt.Sprint(err)
			if err == nil {
				var names []string
				for _, j := range built.Jails {
					names = append(names, j.Name)
				}
				got = strings.Join(names, " ")
			}
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestBuildComponents(t *testing.T) {
	cfg, err := Parse("b.toml", []byte(`
[sinks.nftables]
hook = "input"
priority = 0
keep_outgoing = true
[sinks.other]
type = "nftables"
table = "other"
[defaults]
banaction = "nftables"
trusted_proxies = "10.0.0.2"
[jails.sshd]
enabled = true
enforce = false
trusted_proxies = "known.example"
ignoreself = false
maxtracked = 10
ignoreip = "192.0.2.0/24 known.example"
[jails.ufw]
enabled = true
bantime = -1
banaction = ["other", "nftables"]
`))
	if err != nil {
		t.Fatal(err)
	}
	built, err := Build(cfg, BuildOptions{LookUp: lookUp, Own: none})
	if err != nil {
		t.Fatal(err)
	}
	if len(built.Outputs) != 2 || !slices.Equal(built.Outputs[0].Jails, []string{"sshd", "ufw"}) || !slices.Equal(built.Outputs[1].Jails, []string{"ufw"}) {
		t.Errorf("got %+v, want two sinks with their jails", built.Outputs)
	}
	if nft := built.Outputs[0].Sink.(*sinks.NFTables); nft.Hook != "input" || nft.Priority != -1 || !nft.KeepOutgoing || nft.Table != "banpipe" {
		t.Errorf("got %s %d %v %s, want the sink as configured", nft.Hook, nft.Priority, nft.KeepOutgoing, nft.Table)
	}
	window := built.Stages[3].(*pipeline.Window)
	decide := built.Stages[4].(*pipeline.Decide)
	want := map[string]pipeline.Jail{
		"sshd": {
			MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute, Ports: []pipeline.PortRange{{First: 22, Last: 22}}, Observe: true, BanSelf: true, MaxTracked: 10,
			Ignore: []netip.Prefix{
				netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.0.2.0/24"),
				netip.MustParsePrefix("192.0.2.99/32"), netip.MustParsePrefix("192.0.2.98/32"),
			},
			Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32"), netip.MustParsePrefix("192.0.2.99/32"), netip.MustParsePrefix("192.0.2.98/32")},
			Prefix4: 32, Prefix6: 64, MaxBansPerMinute: 2000, ProtectLogins: true,
		},
		"ufw": {
			MaxRetry: 10, Distinct: true, FindTime: time.Hour, BanTime: -1, MaxTracked: 100_000,
			Ignore:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
			Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")},
			Prefix4: 32, Prefix6: 64, MaxBansPerMinute: 2000, ProtectLogins: true,
		},
	}
	if !reflect.DeepEqual(window.Jails, want) || !reflect.DeepEqual(decide.Jails, want) {
		t.Errorf("got %+v, want %+v", window.Jails, want)
	}
	var held []string
	for _, b := range BackEnds(cfg) {
		held = append(held, b.Name+" "+b.Sink.Name())
	}
	if want := []string{"nftables nftables", "other nftables", "ufw ufw"}; !slices.Equal(held, want) {
		t.Errorf("got %q, want %q", held, want)
	}
}

func TestBuildDenyFile(t *testing.T) {
	cfg, err := Parse("b.toml", []byte(`
[sinks.denyfile]
path = "/no/such/folder/deny.conf"
[sinks.web]
type = "denyfile"
path = "/etc/deny.map"
lines = "map"
reload = ["no-such-program", "-s", "reload"]
reload_every = "1m"
timeout = "20s"
max_rules = 50
[jails.sshd]
enabled = true
banaction = ["denyfile", "web"]
`))
	if err != nil {
		t.Fatal(err)
	}
	built, err := Build(cfg, BuildOptions{LookUp: lookUp, Own: none})
	if err != nil {
		t.Fatal(err)
	}
	got := built.Outputs[0].Sink.(*sinks.Expire).Sink.(*sinks.DenyFile)
	if got.Name() != "denyfile" || got.Path != "/no/such/folder/deny.conf" || got.Map || got.Reload != nil || got.Every != 5*time.Second || got.MaxBans != 10_000 {
		t.Errorf("got %+v", got)
	}
	got = built.Outputs[1].Sink.(*sinks.Expire).Sink.(*sinks.DenyFile)
	if got.Name() != "web" || !got.Map || len(got.Reload) != 3 || got.Every != time.Minute || got.Timeout != 20*time.Second || got.MaxBans != 50 {
		t.Errorf("got %+v", got)
	}
	for _, want := range []string{"the folder /no/such/folder is not there", "the program no-such-program is not installed"} {
		if !strings.Contains(built.Warnings.Error(), want) {
			t.Errorf("got %v, want %q in it", built.Warnings, want)
		}
	}
}

// The sinks that need a timer get it, with what is configured.
func TestBuildPrograms(t *testing.T) {
	state := t.TempDir()
	cfg, err := Parse("b.toml", []byte(`
state_dir = "`+state+`"
[sinks.ufw]
kill = "ss"
max_rules = 20
timeout = "5s"
[sinks."my/own"]
type = "exec"
ban = ["no-such-program", "{addr}"]
unban = ["true", "{addr}", "{ports}"]
max_rules = 7
[jails.sshd]
enabled = true
banaction = ["nftables", "ufw", "my/own"]
`))
	if err != nil {
		t.Fatal(err)
	}
	built, err := Build(cfg, BuildOptions{LookUp: lookUp, Own: none, Store: &pipeline.MemStore{}})
	if err != nil {
		t.Fatal(err)
	}
	if len(built.Outputs) != 3 || !strings.Contains(built.Warnings.Error(), `b.toml:14: jail "sshd": banaction: sink "my/own": the program no-such-program is not installed`) {
		t.Fatalf("got %+v and warnings %v", built.Outputs, built.Warnings)
	}
	x := built.Outputs[0].Sink.(*sinks.Expire).Sink.(*sinks.Exec)
	if x.Name() != "my/own" || x.Ban[0] != "no-such-program" || len(x.Unban) != 3 || x.MaxBans != 7 || x.Timeout != 10*time.Second || x.State != state+"/sink-my%2Fown.json" {
		t.Errorf("got %+v", x)
	}
	u := built.Outputs[2].Sink.(*sinks.Expire).Sink.(*sinks.UFW)
	if u.Kill != "ss" || u.MaxRules != 20 || u.Timeout != 5*time.Second {
		t.Errorf("got %+v", u)
	}
	cfg.Sinks["ufw"] = ufwSink()
	built, err = Build(cfg, BuildOptions{LookUp: lookUp, Own: none})
	if err != nil {
		t.Fatal(err)
	}
	if u := built.Outputs[2].Sink.(*sinks.Expire).Sink.(*sinks.UFW); u.Kill != "" || built.Outputs[0].Sink.(*sinks.Expire).Sink.(*sinks.Exec).State != "" {
		t.Errorf("got %+v, want no state without a store, and the usual ufw", u)
	}
}

// TestRunOnce reads logs and a stream to their ends and looks at who would be banned.
func TestRunOnce(t *testing.T) {
	const offence = "2026-11-22T07:23:1%d+00:00 web1 sshd[%d]: Failed password for root from %s port 51022 ssh2\n"
	log := func(addr string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, offence, i, i, addr)
		}
		return b.String()
	}
	const config = `
[defaults]
maxretry = 3
ignoreip = "192.0.2.8"
bantime = "1h"
[jails.sshd]
enabled = true
logpath = "D/auth*.log"
[jails.strict]
enabled = true
enforce = false
filter = "sshd"
port = "ssh"
maxretry = 1
logpath = "D/auth2.log"
[jails.off]
filter = "sshd"
maxretry = 1
logpath = "D/auth1.log"
`
	dir := tree(t, map[string]string{
		"auth1.log": log("192.0.2.1", 3) + log("192.0.2.2", 2) + log("192.0.2.8", 3) + log("192.0.2.9", 3),
		"auth2.log": log("192.0.2.3", 1) + log("::ffff:192.0.2.2", 1) + "\xff\xfe\n",
	})
	cfg, err := Parse(filepath.Join(dir, "b.toml"), []byte(strings.ReplaceAll(config, "D/", dir+"/")))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		opts BuildOptions
		want []string
	}{
		{"all jails", BuildOptions{}, []string{
			"ban 192.0.2.1 ports 22 jail sshd until 2026-11-22T08:23:12Z: 3 hits in 10m0s",
			"ban 192.0.2.2 ports 22 jail sshd until 2026-11-22T08:23:10Z: 3 hits in 10m0s",
			"would ban 192.0.2.2 ports 22 jail strict until 2026-11-22T08:23:10Z: 1 hits in 10m0s",
			"would ban 192.0.2.3 ports 22 jail strict until 2026-11-22T08:23:10Z: 1 hits in 10m0s",
		}},
		{"one jail, as objects", BuildOptions{Jails: []string{"sshd"}, JSON: true}, []string{
			`{"op":"ban","prefix":"192.0.2.1/32","jail":"sshd","until":"2026-11-22T08:23:12Z","hits":3,"reason":"3 hits in 10m0s","ports":"22"}`,
			`{"op":"ban","prefix":"192.0.2.2/32","jail":"sshd","until":"2026-11-22T08:23:10Z","hits":3,"reason":"3 hits in 10m0s","ports":"22"}`,
		}},
		{"a stream beside the logs", BuildOptions{Jails: []string{"sshd"}, Stdin: strings.NewReader(log("192.0.2.4", 3))}, []string{
			"ban 192.0.2.1 ports 22 jail sshd until 2026-11-22T08:23:12Z: 3 hits in 10m0s",
			"ban 192.0.2.2 ports 22 jail sshd until 2026-11-22T08:23:10Z: 3 hits in 10m0s",
			"ban 192.0.2.4 ports 22 jail sshd until 2026-11-22T08:23:12Z: 3 hits in 10m0s",
		}},
	}
	own := func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("192.0.2.9/32")} }
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			tt.opts.Once, tt.opts.DryRun, tt.opts.Out, tt.opts.Own = true, true, &out, own
			tt.opts.Now = func() time.Time { return time.Date(2026, 11, 22, 7, 24, 0, 0, time.UTC) }
			built, err := Build(cfg, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := built.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			got := strings.Split(strings.TrimSpace(out.String()), "\n")
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

// Without a configuration a jail reads the stream and not the logs that its filter would guess at: an
// offence that stands in both must not count twice.
func TestStdinReplacesGuesses(t *testing.T) {
	built, err := Build(Default(), BuildOptions{Jails: []string{"sshd"}, Stdin: strings.NewReader(""), Own: none})
	if err != nil {
		t.Fatal(err)
	}
	if len(built.Sources) != 1 || built.Sources[0].Name() != stdin || len(built.Jails[0].LogPath) != 0 || len(built.Problems) != 0 {
		t.Errorf("got %v %v %v, want the stream alone", built.Sources, built.Jails[0].LogPath, built.Problems)
	}
}

func TestReadsFrom(t *testing.T) {
	j := &Jail{LogPath: List{"/var/log/nginx/*access.log", "/var/log//auth.log", "/var/log/[a].log"}}
	tests := []struct {
		source string
		want   bool
	}{
		{"file:/var/log/nginx/access.log", true},
		{"file:/var/log/nginx/x.access.log", true},
		{"file:/var/log/auth.log", true},
		{"file:/var/log/[a].log", true},
		{"stdin", true},
		{"file:/var/log/nginx/error.log", false},
		{"file:/var/log/nginx/a/access.log", false},
		{"journal", false},
		{"", false},
	}
	for _, tt := range tests {
		t.Run(tt.source, func(t *testing.T) {
			if got := j.readsFrom(tt.source); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Where a log was never read before, reading begins as far back as the most patient jail on it remembers.
func TestStart(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	berlin := time.FixedZone("", 3600)
	jails := []*Jail{
		{LogPath: List{"/a", "/b"}, FindTime: Duration(time.Hour), LogTimezone: Zone{berlin}, Loaded: &matchers.Filter{}},
		{LogPath: List{"/b"}, FindTime: Duration(24 * time.Hour), Loaded: &matchers.Filter{}},
	}
	s := newStart(&builder{jails: jails, opts: BuildOptions{Now: func() time.Time { return now }}})
	for path, want := range map[string]time.Duration{"/a": time.Hour, "/b": 24 * time.Hour, "/c": 0} {
		if got := now.Sub(s.from(path)); got != want {
			t.Errorf("%s: got %v before now, want %v", path, got, want)
		}
	}
	got, ok := s.dateOf("/a", []byte("Nov 22 11:30:00 web1 x: y"))
	if want := time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC); !ok || !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, ok := s.dateOf("/a", []byte("no date")); ok {
		t.Error("got a date, want none")
	}
	if _, ok := s.dateOf("/c", []byte("Nov 22 11:30:00 web1 x: y")); ok {
		t.Error("got a date for a log that no jail reads, want none")
	}
}

func TestParseZone(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct{ text, want string }{
		{"UTC", "12:00"},
		{"Z", "12:00"},
		{"UTC+0100", "13:00"},
		{"+01:30", "13:30"},
		{"-5", "07:00"},
		{"GMT+2", "14:00"},
		{"utc-01", "11:00"},
		{"UTC+1500", "error"},
		{"+0199", "error"},
		{"Nowhere/City", "error"},
		{"../etc/passwd", "error"},
		{"Local", "error"},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			loc, err := parseZone(tt.text)
			got := "error"
			if err == nil {
				got = at.In(loc).Format("15:04")
			}
			if got != tt.want {
				t.Errorf("got %v, want %v (%v)", got, tt.want, err)
			}
		})
	}
}
