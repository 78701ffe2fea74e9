package configs

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

var update = flag.Bool("update", false, "write the expected messages anew")

// TestInvalid compares what Load says of each file in testdata/invalid with the text beside it.
func TestInvalid(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file)
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("got %v, want Errors", err)
			}
			for _, one := range all {
				if one.File != file || one.Line == 0 {
					t.Errorf("got place %s:%d, want a line of %s", one.File, one.Line, file)
				}
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".toml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// tree writes files under a new folder and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustLoad(t *testing.T, path string) *Config {
	t.Helper()
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoadExample(t *testing.T) {
	c := mustLoad(t, "banpipe.toml")
	sshd := c.Jails["sshd"]
	want := Jail{
		Name: "sshd", Enabled: true, Filter: "sshd",
		JournalMatch: Lines{"_SYSTEMD_UNIT=ssh.service + _SYSTEMD_UNIT=sshd.service"},
		MaxRetry:     3, FindTime: Duration(24 * time.Hour), BanTime: Duration(24 * time.Hour), MaxTracked: 100_000,
		IgnoreIP: List{"127.0.0.0/8", "::1", "192.168.0.0/16"}, Trusted: List{}, IgnoreSelf: true,
		Port: Ports{{First: 22, Last: 22}}, BanAction: List{"nftables"}, Enforce: true, Counts: "lines",
		BanTimeFactor: 1, Prefix4: 32, Prefix6: 64, Aggregate: Aggregate{V4: 24}, MaxBansPerMinute: 2000, ProtectLogins: true,
	}
	got := *sshd
	got.Loaded, got.at = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := c.Sinks["nftables"], (Sink{Type: "nftables", Table: "banpipe", Hook: "prerouting", Priority: -300, Policy: "drop"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	before, _, _ := strings.Cut(Example(), "\nfailregex = ")
	if got, line := c.Jails["nginx-404"].Loaded, strings.Count(before, "\n")+2; len(got.FailRegex) != 1 || got.PrefRegex != "" || len(got.IgnoreRegex) != 0 || got.FailRegex[0].Line != line {
		t.Errorf("got %+v, want the jail's own rule of line %d alone", got, line)
	}
	if got := c.Jails["nginx-http-auth"].LogPath; !slices.Equal(got, List{"/var/log/nginx/*error.log"}) {
		t.Errorf("got %v, want the path behind the name", got)
	}
	if c.Jails["fastapi"].Problem != nil || c.Jails["fastapi"].Loaded.Name != "fastapi-auth" || c.Jails["ufw"].Distinct != "port" || c.Jails["vsftpd"].Enabled {
		t.Errorf("got %+v", c.Jails)
	}
}

// It is right on any machine: what is not there is waited for.
func TestExampleIsRight(t *testing.T) {
	built, err := Build(mustLoad(t, "banpipe.toml"), BuildOptions{Strict: true, Own: none, Journal: []string{"/no/journalctl"}})
	if err != nil || len(built.Jails) != 5 {
		t.Errorf("got %v, want five jails", err)
	}
}

func TestDefault(t *testing.T) {
	c := Default()
	for _, name := range ShippedFilters() {
		j := c.Jails[name]
		if j == nil || j.Enabled || j.Problem != nil || j.Loaded == nil || !j.Guessed || len(j.LogPath) == 0 && !j.CountsBans() {
			t.Errorf("got %+v, want %s ready and disabled", j, name)
		}
	}
	if got, want := c.FilterDirs, []string{"/etc/banpipe/filter.d"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLayers(t *testing.T) {
	const own = `
failregex = ['^own <ADDR>$']
[jail]
maxretry = 7
findtime = "2h"
port     = "http"
logpath  = "/var/log/own.log"
journalmatch = "_COMM=own"
`
	dir := tree(t, map[string]string{
		"banpipe.toml": `
[paths]
logs = ["/a", "/b"]
[defaults]
maxretry = 3
findtime = "1h"
bantime  = "1w"
ignoreip = "10.0.0.0/8"
enforce  = false
[jails.plain]
filter = "own"
[jails.loud]
filter   = "own"
maxretry = 1
enforce  = true
ignoreip = ["192.0.2.1", "example.org"]
logpath  = ["%(logs)s/x%%.log", "/c"]
[jails.reg]
filter      = "own"
ignoreregex = '^x'
datepattern = '{^LN-BEG}'
[jails.alone]
failregex = """
  ^a <ADDR>$
  ^b <ADDR>$
"""
logpath = "/a, /b /c"
[jails.ssh2]
filter = "sshd"
mode   = "extra"
`,
		"filter.d/own.toml":       own,
		"filter.d/ufw.conf":       "[Definition]\nfailregex = ^<who>$\nwho = <HOST>\n",
		"conf.d/20.toml":          "jails.loud.maxretry = 2\njails.plain.enabled = true\n[defaults]\nbantime = '2w'\n",
		"conf.d/10.toml":          "[jails.loud]\nmaxretry = 9\nenabled = true\n",
		"conf.d/.hidden.toml":     "broken",
		"conf.d/30.toml.dpkg-old": "broken",
	})
	c := mustLoad(t, filepath.Join(dir, "banpipe.toml"))
	plain, loud, reg, alone := c.Jails["plain"], c.Jails["loud"], c.Jails["reg"], c.Jails["alone"]
	tests := []struct {
		name      string
		got, want any
	}{
		{"the filter over the defaults", plain.MaxRetry, Count(7)},
		{"the jail over the filter", loud.MaxRetry, Count(2)},
		{"conf.d adds a key", []bool{loud.Enabled, plain.Enabled, reg.Enabled}, []bool{true, true, false}},
		{"conf.d changes a default", reg.BanTime, Duration(14 * 24 * time.Hour)},
		{"defaults reach a jail", []bool{plain.Enforce, loud.Enforce}, []bool{false, true}},
		{"ignoreip of the defaults", plain.IgnoreIP, List{"10.0.0.0/8"}},
		{"ignoreip adds", loud.IgnoreIP, List{"10.0.0.0/8", "192.0.2.1", "example.org"}},
		{"ports of the filter", loud.Port, Ports{{First: 80, Last: 80}}},
		{"sources of the filter", plain.LogPath, List{"/var/log/own.log"}},
		{"and they are a guess", []bool{plain.Guessed, loud.Guessed}, []bool{true, false}},
		{"a jail's sources replace all of the filter's", loud.JournalMatch, Lines(nil)},
		{"names in paths", loud.LogPath, List{"/a/x%.log", "/b/x%.log", "/c"}},
		{"a regex of the jail", len(reg.Loaded.IgnoreRegex), 1},
		{"beside the filter's", reg.Loaded.FailRegex[0].Regex, "^own <ADDR>$"},
		{"datepattern of the jail", reg.Loaded.DatePattern, []string{"{^LN-BEG}"}},
		{"a jail without a filter", []any{alone.Filter, len(alone.Loaded.FailRegex), alone.Loaded.Name}, []any{"", 2, "alone"}},
		{"a list in one string", alone.LogPath, List{"/a", "/b", "/c"}},
		{"mode", c.Jails["ssh2"].Filter, "sshd[mode=extra]"},
		{"a .conf hides a shipped filter", c.Jails["ufw"].Loaded.FailRegex[0].Regex, "^<HOST>$"},
		{"a shipped jail has the defaults", c.Jails["sshd"].BanTime, Duration(14 * 24 * time.Hour)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !reflect.DeepEqual(tt.got, tt.want) {
				t.Errorf("got %v, want %v", tt.got, tt.want)
			}
		})
	}
}

func TestLoadErrors(t *testing.T) {
	t.Run("every file", func(t *testing.T) {
		dir := tree(t, map[string]string{"banpipe.toml": "a = = 1", "conf.d/1.toml": "b = [", "conf.d/2.toml": "[log]\n"})
		_, err := Load(filepath.Join(dir, "banpipe.toml"))
		var all Errors
		if !errors.As(err, &all) || len(all) != 2 {
			t.Fatalf("got %v, want a mistake in each of two files", err)
		}
	})
	t.Run("the place is in conf.d", func(t *testing.T) {
		dir := tree(t, map[string]string{"banpipe.toml": "[jails.sshd]\nmaxretry = 3\n", "conf.d/1.toml": "[jails.sshd]\n\nmaxretry = 'x'\n"})
		_, err := Load(filepath.Join(dir, "banpipe.toml"))
		var one *Error
		if !errors.As(err, &one) || one.File != filepath.Join(dir, "conf.d/1.toml") || one.Line != 3 {
			t.Errorf("got %v, want line 3 of conf.d/1.toml", err)
		}
	})
	t.Run("no file", func(t *testing.T) {
		if _, err := Load("testdata/none.toml"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want %v", err, os.ErrNotExist)
		}
	})
	t.Run("a broken filter breaks one jail", func(t *testing.T) {
		dir := tree(t, map[string]string{"banpipe.toml": "[jails.sshd]\n[jails.ufw]\n", "filter.d/sshd.toml": "failregx = ['<HOST>']\n"})
		c := mustLoad(t, filepath.Join(dir, "banpipe.toml"))
		want := dir + `/filter.d/sshd.toml:1: jail "sshd": unknown key "failregx"`
		if got := c.Jails["sshd"].Problem; got == nil || !strings.HasPrefix(got.Error(), want) || c.Jails["ufw"].Problem != nil {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}

func TestParseDuration(t *testing.T) {
	day := 24 * time.Hour
	tests := []struct {
		text string
		want time.Duration
	}{
		{"600", 600 * time.Second},
		{"10m", 10 * time.Minute},
		{"1d12h", 36 * time.Hour},
		{"1w", 7 * day},
		{"1mo", 30*day + 10*time.Hour + 30*time.Minute},
		{"1y", 365*day + 6*time.Hour},
		{"-1", -1},
		{" 1w 2 days ", 9 * day},
		{"90 minutes", 90 * time.Minute},
		{"1H", time.Hour},
		{"0", 0},
		{"1d 30", -2},
		{"", -2},
		{"m", -2},
		{"10 parsecs", -2},
		{"1.5h", -2},
		{"-5m", -2},
		{"10m-", -2},
		{"293y", -2},
		{"9223372036855", -2},
		{"١m", -2},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, err := ParseDuration(tt.text)
			if err != nil {
				got = -2
			}
			if time.Duration(got) != tt.want {
				t.Errorf("got %v, want %v (%v)", time.Duration(got), tt.want, err)
			}
		})
	}
}

func TestDurationString(t *testing.T) {
	for _, text := range []string{"1w", "1d12h", "10m", "1m30s", "-1", "0s", "4w2d10h30m"} {
		t.Run(text, func(t *testing.T) {
			d, err := ParseDuration(text)
			if err != nil || d.String() != text {
				t.Errorf("got %v, %v, want %v", d, err, text)
			}
		})
	}
}

func TestParsePorts(t *testing.T) {
	tests := []struct{ words, want string }{
		{"ssh", "22"},
		{"http https", "80,443"},
		{"https http 443", "80,443"},
		{"6000:6010", "6000-6010"},
		{"6000-6010", "6000-6010"},
		{"80 81 82", "80-82"},
		{"1:100 50:200 ssh", "1-200"},
		{"0:65535", ""},
		{"1:65535", ""},
		{"http-alt", "8080"},
		{"65535 65534", "65534-65535"},
		{"ssh:http", "22-80"},
		{"65536", "error"},
		{"nosuchport", "error"},
		{"10:5", "error"},
		{"-1", "error"},
		{"", ""},
		{"1:", "error"},
	}
	for _, tt := range tests {
		t.Run(tt.words, func(t *testing.T) {
			ports, err := ParsePorts(strings.Fields(tt.words))
			got := pipeline.PortsString(ports)
			if err != nil {
				got = "error"
			}
			if got != tt.want {
				t.Errorf("got %q, want %q (%v)", got, tt.want, err)
			}
		})
	}
}

func TestParseIgnore(t *testing.T) {
	tests := []struct{ word, want string }{
		{"127.0.0.1/8", "127.0.0.0/8"},
		{"::1", "::1/128"},
		{"192.0.2.7", "192.0.2.7/32"},
		{"2001:db8::1/32", "2001:db8::/32"},
		{"::ffff:192.0.2.7", "192.0.2.7/32"},
		{"::ffff:192.0.2.7/120", "192.0.2.0/24"},
		{"[::1]", "::1/128"},
		{"fe80::1%eth0", "fe80::1/128"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"example.org", "name"},
		{"localhost", "name"},
		{"file:/etc/allow", "name"},
		{"999.1.1.1", "error"},
		{"10.0.0.0/33", "error"},
		{"1.2.3", "error"},
		{"16909060", "error"},
		{"010.1.1.1", "error"},
		{"file:allow", "error"},
		{"a b", "error"},
		{"::ffff:1.2.3.4/64", "error"},
		{"", "error"},
		{"exa mple", "error"},
		{"example.org/24", "error"},
	}
	for _, tt := range tests {
		t.Run(tt.word, func(t *testing.T) {
			prefix, name, err := parseIgnore(tt.word)
			got := prefix.String()
			switch {
			case err != nil:
				got = "error"
			case name != "":
				got = "name"
			}
			if got != tt.want {
				t.Errorf("got %v, want %v (%v)", got, tt.want, err)
			}
		})
	}
}
