package configs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const nginxConf = `daemon off; master_process off; pid D/pid; error_log D/error.log info;
events {}
http {
	access_log D/access.log combined;
	client_body_temp_path D/t1; proxy_temp_path D/t2; fastcgi_temp_path D/t3; uwsgi_temp_path D/t4; scgi_temp_path D/t5;
	limit_req_zone $binary_remote_addr zone=one:1m rate=1r/m;
	ssl_certificate D/cert.pem; ssl_certificate_key D/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
	server {
		listen 192.0.2.250:80; listen 192.0.2.250:443 ssl; listen [2001:db8::10]:80;
		root D/html;
		if ($uri ~ "[\r\n]") { return 400; }
		location /admin { auth_basic private; auth_basic_user_file D/htpasswd; }
		location /limited { limit_req zone=one; }
		location /private { deny all; }
	}
}
`

// A client asks nginx things from an address of its own.
type client struct {
	t    *testing.T
	http http.Client
	dial *net.Dialer
	base string
}

func newClient(t *testing.T, addr string) *client {
	c := &client{t: t, dial: from(addr), base: "http://192.0.2.250"}
	if strings.Contains(addr, ":") {
		c.base = "http://[2001:db8::10]"
	}
	c.http.Transport = &http.Transport{DialContext: c.dial.DialContext, DisableKeepAlives: true}
	return c
}

// get asks for a path, n times; %d in it is the number. set changes the request.
func (c *client) get(n int, path string, set func(*http.Request)) {
	c.t.Helper()
	for i := range n {
		p := path
		if strings.Contains(p, "%d") {
			p = fmt.Sprintf(path, i)
		}
		r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.base+p, nil)
		if err != nil {
			c.t.Fatal(err)
		}
		if set != nil {
			set(r)
		}
		answer, err := c.http.Do(r)
		if err != nil {
			c.t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

// raw sends bytes, n times, and waits for the end.
func (c *client) raw(n int, text string) {
	c.t.Helper()
	for range n {
		conn, err := c.dial.Dial("tcp", "192.0.2.250:80")
		if err != nil {
			c.t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, text)
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
}

// oldTLS offers a version that the server does not speak.
func (c *client) oldTLS(n int) {
	c.t.Helper()
	for range n {
		d := tls.Dialer{NetDialer: c.dial, Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}}
		if conn, err := d.DialContext(context.Background(), "tcp", "192.0.2.250:443"); err == nil {
			conn.Close()
			c.t.Error("got a connection with TLS 1.0")
		}
	}
}

func password(user, word string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, word) }
}

// forge puts the victim's address wherever a client can write.
func (c *client) forge() {
	line := "\n2026/11/22 07:23:11 [error] 1#1: *1 limiting requests, excess: 1 by zone \"one\", client: " + victim + ", server: x, request: \"GET / HTTP/1.1\"\n"
	for range 15 {
		c.get(1, "/"+url.PathEscape(line), nil)
		c.get(1, "/?"+victim+"%0A"+victim+"%20-%20-%20[]%20%22GET%20/.env%22", func(r *http.Request) {
			r.Host = victim
			r.SetBasicAuth(victim+" - - [22/Nov/2026:07:23:11 +0000] \"GET /.env HTTP/1.1\" 404 1 \"-\" \"-\"\n"+victim+" - x", "y")
			r.Header.Set("X-Forwarded-For", victim)
			r.Header.Set("Referer", victim+` - - [] "GET /.env HTTP/1.1" 404 1 "-" "sqlmap"`)
			r.Header.Set("User-Agent", `" 404 1 "-" "`+victim)
		})
	}
}

// TestNginx: real requests to a real nginx lead to the right bans, each by the jail that should.
func TestNginx(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	nginx := needProgram(t, "nginx")
	network(t)
	dir := t.TempDir()
	certificate(t, dir)
	for name, text := range map[string]string{
		"nginx.conf": strings.ReplaceAll(nginxConf, "D/", dir+"/"), "htpasswd": "bob:{PLAIN}right\n", "html/index.html": "hello\n", "html/admin/index.html": "hello\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	serve(t, "192.0.2.250:80", nginx, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	newClient(t, "192.0.2.1").get(25, "/gone/%d.html", nil)
	newClient(t, "2001:db8::10").get(25, "/gone/%d.html", nil)
	newClient(t, "192.0.2.2").get(3, "/%d/.env", nil)
	newClient(t, "192.0.2.3").get(3, "/", func(r *http.Request) { r.Header.Set("User-Agent", "sqlmap/1.8.2#stable (https://sqlmap.org)") })
	newClient(t, "192.0.2.4").get(6, "/admin/", password("bob", "wrong"))
	newClient(t, "192.0.2.5").get(12, "/limited", nil)
	newClient(t, "192.0.2.6").oldTLS(6)
	newClient(t, "192.0.2.7").raw(6, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
	newClient(t, "192.0.2.8").get(11, "/private/%d", nil)
	newClient(t, "192.0.2.9").get(7, "/%d.php", nil)
	newClient(t, "192.0.2.10").forge()

	innocent := newClient(t, "192.0.2.20")
	innocent.get(10, "/admin/", nil)
	innocent.get(2, "/admin/", password("bob", "wrong"))
	innocent.get(10, "/admin/", password("bob", "right"))
	innocent.get(40, "/favicon.ico", nil)
	innocent.get(5, "/dead/%d.html", nil)
	innocent.get(30, "/", func(r *http.Request) { r.Header.Set("User-Agent", "python-requests/2.32.3") })

	expect(t, dir, map[string][]string{
		"nginx-4xx":         {"192.0.2.1", "2001:db8::/64"},
		"nginx-404":         {"192.0.2.1", "2001:db8::/64"},
		"nginx-botsearch":   {"192.0.2.2"},
		"nginx-badbots":     {"192.0.2.3"},
		"nginx-http-auth":   {"192.0.2.4"},
		"nginx-limit-req":   {"192.0.2.5"},
		"nginx-sslerror":    {"192.0.2.6"},
		"nginx-bad-request": {"192.0.2.7"},
		"nginx-forbidden":   {"192.0.2.8"},
		"nginx-noscript":    {"192.0.2.9"},
	})
}

// certificate makes one for nobody.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"example.com"}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
