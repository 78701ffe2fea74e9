package configs

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/banpipe/banpipe/pipeline"
)

// An access log that names a proxy: it is not banned in any jail of the web, whatever its clients do.
func TestProxyIsHeld(t *testing.T) {
	dir := t.TempDir()
	var access, auth strings.Builder
	line := func(addr, path string, status int) {
		fmt.Fprintf(&access, "%s - - [22/Nov/2026:07:23:11 +0000] \"GET %s HTTP/1.1\" %d 1 \"-\" \"Mozilla/5.0\"\n", addr, path, status)
	}
	for i := range 400 {
		line("10.0.0.2", "/", 200)
		if i%20 == 0 {
			line("10.0.0.2", fmt.Sprintf("/gone/%d", i), 404)
		}
	}
	for i := range 30 {
		line("10.0.0.2", fmt.Sprintf("/gone/%d", i), 404)
		line("192.0.2.7", fmt.Sprintf("/gone/%d", i), 404)
	}
	for range 6 {
		fmt.Fprintf(&auth, "Nov 22 07:23:11 host sshd[1]: Failed password for root from 10.0.0.2 port 22 ssh2\n")
	}
	for name, text := range map[string]string{"access.log": access.String(), "auth.log": auth.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, trusted, why string
		want               map[string][]string
		said               int
	}{
		{"held", "", "has more than half of the lines of file:", map[string][]string{"192.0.2.7": {"mine", "nginx-4xx"}, "10.0.0.2": {"sshd"}}, 1},
		{"trusted", "trusted_proxies = '10.0.0.0/8'", "is in trusted_proxies", map[string][]string{"192.0.2.7": {"mine", "nginx-4xx"}}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := Parse(filepath.Join(dir, "b.toml"), fmt.Appendf(nil, `
[defaults]
findtime = "1d"
bantime = -1
%s
[jails.nginx-4xx]
enabled = true
logpath = "%[2]s/access.log"
[jails.mine]
enabled = true
logpath = "%[2]s/access.log"
failregex = ['^<HOST> .* "GET /gone/']
[jails.sshd]
enabled = true
logpath = "%[2]s/auth.log"
`, c.trusted, dir))
			if err != nil {
				t.Fatal(err)
			}
			checked, err := Build(cfg, BuildOptions{Strict: true, DryRun: true, Own: none})
			if err != nil {
				t.Fatal(err)
			}
			if warnings := checked.ProxyWarnings(t.Context()); len(warnings) != c.said || c.said > 0 && !strings.HasPrefix(warnings.Error(), "10.0.0.2 has more than half of the lines of file:") {
				t.Errorf("got %v, want %d", warnings, c.said)
			}
			core, logs := observer.New(zap.WarnLevel)
			var out bytes.Buffer
			built, err := Build(cfg, BuildOptions{Once: true, DryRun: true, Out: &out, JSON: true, Own: none, Logger: zap.New(core), Workers: 1})
			if err != nil {
				t.Fatal(err)
			}
			if err := built.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := map[string][]string{}
			for addr, jails := range bansBy(t, &out) {
				slices.Sort(jails)
				got[addr] = jails
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if said := logs.FilterMessageSnippet("it is taken for a proxy").Len(); said != c.said || len(built.Proxied()) != c.said {
				t.Errorf("got %d log lines and %q, want %d", said, built.Proxied(), c.said)
			}
			d := built.Stages[len(built.Stages)-1].(*pipeline.Decide)
			if !slices.ContainsFunc(d.Proxies(), func(x pipeline.Proxy) bool { return x.Prefix.Addr() == netip.MustParseAddr("10.0.0.2") }) {
				t.Errorf("got proxies %v, want 10.0.0.2 among them", d.Proxies())
			}
			if spared := d.Spared(); len(spared) == 0 || spared[0].Addr != netip.MustParseAddr("10.0.0.2") || !strings.Contains(spared[0].Why, c.why) {
				t.Errorf("got %v spared, want 10.0.0.2, because it %s", spared, c.why)
			}
		})
	}
}

func TestPastLines(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	for name, text := range map[string]string{path + ".1": "a\nb\nhalf", path: strings.Repeat("x\n", pastBytes) + "last\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lines := pastLines("file:" + path)
	if n := len(lines); n < pastBytes/2-10 || n > pastBytes/2+10 || string(lines[1]) != "b" || string(lines[2]) != "x" || string(lines[n-1]) != "last" {
		t.Errorf("got %d lines, %q … %q", n, lines[:3], lines[n-1])
	}
	for _, source := range []string{"journal:_COMM=x", "stdin", "file:" + dir, "file:" + dir + "/none"} {
		if lines := pastLines(source); len(lines) != 0 {
			t.Errorf("%s: got %q, want nothing", source, lines)
		}
	}
}
