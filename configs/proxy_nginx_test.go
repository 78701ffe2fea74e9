package configs

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/banpipe/banpipe/pipeline"
)

// A proxy at 192.0.2.251, which asks from 10.0.0.2, and behind it two servers: one that takes the proxy for the client, and
// one that has been told of it.
const proxyConf = `daemon off; pid D/pid; error_log D/error.log info; user root; worker_processes 1;
events {}
http {
	client_body_temp_path D/t1; proxy_temp_path D/t2; fastcgi_temp_path D/t3; uwsgi_temp_path D/t4; scgi_temp_path D/t5;
	geo $remote_addr $banned { default 0; include D/deny.map; }
	server {
		listen 192.0.2.251:80; access_log off;
		proxy_bind 10.0.0.2; proxy_set_header X-Forwarded-For $remote_addr;
		location /naive/ { proxy_pass http://192.0.2.250:81/; }
		location /told/ { proxy_pass http://192.0.2.250:82/; }
		location /mapped/ { proxy_pass http://192.0.2.250:83/; }
	}
	server { listen 192.0.2.250:81; root D/html; access_log D/naive.log combined; }
	server {
		listen 192.0.2.250:82; root D/html; access_log D/told.log combined;
		set_real_ip_from 10.0.0.2; real_ip_header X-Forwarded-For;
		include D/deny.conf;
	}
	server {
		listen 192.0.2.250:83; root D/html; access_log D/mapped.log combined;
		set_real_ip_from 10.0.0.2; real_ip_header X-Forwarded-For;
		if ($banned) { return 403; }
	}
}
`

// status is what a client gets for a path.
func status(t *testing.T, addr, path string) int {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DialContext: from(addr).DialContext, DisableKeepAlives: true}}
	answer, err := c.Get("http://192.0.2.251" + path)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// becomes waits for a client's status.
func becomes(t *testing.T, addr, path string, want int) {
	t.Helper()
	got := 0
	for range 500 {
		if got = status(t, addr, path); got == want {
			return
		}
		time.Sleep(20 * time.Millisecond) // old workers go on until they have read the new file
	}
	t.Errorf("%s asks for %s: got %d, want %d", addr, path, got, want)
}

func TestNginxBehindProxy(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	nginx := needProgram(t, "nginx")
	network(t)
	if out, err := exec.Command("ip", "addr", "add", "10.0.0.2/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nginx.conf": strings.ReplaceAll(proxyConf, "D/", dir+"/"), "html/index.html": "hello\n", "deny.conf": "", "deny.map": "", "naive.log": "", "told.log": "", "mapped.log": "",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	signal := []string{nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-s"}
	serve(t, "192.0.2.251:80", nginx, signal[1:5]...)
	t.Cleanup(func() { // its workers, too
		if out, err := exec.Command(nginx, append(signal[1:6:6], "stop")...).CombinedOutput(); err != nil {
			t.Errorf("nginx -s stop: %v: %s", err, out)
		}
		for range 250 {
			if _, err := os.Stat(filepath.Join(dir, "pid")); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	t.Run("the log names the proxy", func(t *testing.T) { naiveProxy(t, dir, signal) })
	t.Run("the log names the client", func(t *testing.T) { toldProxy(t, dir, signal, "told", "deny", "conf") })
	t.Run("a map", func(t *testing.T) { toldProxy(t, dir, signal, "mapped", "map", "map") })
}

// proxyConfig is banpipe for one of the servers.
func proxyConfig(t *testing.T, dir string, signal []string, server, lines, suffix, more string) *Config {
	t.Helper()
	words := fmt.Sprintf("%q", append(signal[:6:6], "reload"))
	cfg, err := Parse(filepath.Join(dir, "b.toml"), fmt.Appendf(nil, `
[defaults]
banaction = "denyfile"
findtime = "1d"
bantime = "1d"
%s
[sinks.denyfile]
path = "%s/deny.%s"
lines = "%s"
reload = %s
reload_every = "1s"
[jails.nginx-4xx]
enabled = true
logpath = "%[2]s/%[6]s.log"
`, more, dir, suffix, lines, strings.ReplaceAll(words, `" "`, `", "`), server))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// naiveProxy: hundreds of visits, and an attacker, all by the name of the proxy.
func naiveProxy(t *testing.T, dir string, signal []string) {
	for i := range 300 {
		status(t, fmt.Sprintf("192.0.2.%d", 100+i%50), "/naive/")
	}
	for i := range 30 {
		status(t, "192.0.2.1", fmt.Sprintf("/naive/gone/%d.html", i))
	}
	for _, c := range []struct{ more, log, spared string }{
		{"", "it is taken for a proxy, and not banned", "has more than half of the lines of file:" + dir + "/naive.log"},
		{`trusted_proxies = "10.0.0.2"`, "a proxy is not banned for its clients", "is in trusted_proxies"},
	} {
		core, logs := observer.New(zap.WarnLevel)
		built, err := Build(proxyConfig(t, dir, signal, "naive", "deny", "conf", c.more), BuildOptions{Once: true, Strict: true, Own: none, Logger: zap.New(core)})
		if err != nil {
			t.Fatal(err)
		}
		if err := built.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if logs.FilterMessageSnippet(c.log).Len() != 1 {
			t.Errorf("got %v, want one line that says %q", logs.All(), c.log)
		}
		spared := built.Snapshot().Spared
		if len(spared) != 1 || spared[0].Addr != netip.MustParseAddr("10.0.0.2") || !strings.HasPrefix(spared[0].Why, c.spared) || !strings.Contains(spared[0].String(), "set_real_ip_from 10.0.0.2") {
			t.Errorf("got %v, want the proxy, because it %s", spared, c.spared)
		}
		if n := len(built.Proxied()); n != 1-strings.Count(c.more, "trusted") {
			t.Errorf("got %q", built.Proxied())
		}
		text, err := os.ReadFile(filepath.Join(dir, "deny.conf"))
		if err != nil || bytes.Contains(text, []byte("deny ")) || !bytes.HasPrefix(text, []byte("# Written by banpipe")) {
			t.Errorf("got %q, %v, want nobody denied", text, err)
		}
	}
	becomes(t, "192.0.2.100", "/naive/", http.StatusOK)
}

// toldProxy: the client is denied by the server, the proxy and the others are not, until he is unbanned.
func toldProxy(t *testing.T, dir string, signal []string, server, lines, suffix string) {
	core, logs := observer.New(zap.WarnLevel)
	built, err := Build(proxyConfig(t, dir, signal, server, lines, suffix, ""), BuildOptions{Strict: true, Own: none, Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- built.Run(ctx) }()
	for i := range 30 {
		status(t, "192.0.2.1", fmt.Sprintf("/%s/gone/%d.html", server, i))
	}
	becomes(t, "192.0.2.1", "/"+server+"/", http.StatusForbidden)
	becomes(t, "192.0.2.2", "/"+server+"/", http.StatusOK)
	becomes(t, "192.0.2.1", "/naive/", http.StatusOK)
	unban := pipeline.Action{Op: pipeline.Unban, Prefix: netip.MustParsePrefix("192.0.2.1/32")}
	if err := built.Do(t.Context(), unban); err != nil {
		t.Error(err)
	}
	becomes(t, "192.0.2.1", "/"+server+"/", http.StatusOK)
	if spared := built.Snapshot().Spared; len(spared) > 0 || len(built.Proxied()) > 0 || logs.Len() > 0 {
		t.Errorf("got %v, %q and %v, want nothing to be said", spared, built.Proxied(), logs.All())
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
