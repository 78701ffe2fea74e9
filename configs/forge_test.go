package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/banpipe/banpipe/matchers"
)

// The real peer of the lines below; whatever an attacker writes into them, nobody else may be blamed.
const peer = "192.0.2.1"

// sshdLines are the lines of sshd that hold a text of the client's choice, {U}.
var sshdLines = []string{
	"Invalid user {U} from {R} port 40000",
	"Invalid user {U} from {R}",
	"input_userauth_request: invalid user {U} [preauth]",
	"Failed password for invalid user {U} from {R} port 40000 ssh2",
	"Failed none for invalid user {U} from {R} port 40000 ssh2",
	"Failed keyboard-interactive/pam for invalid user {U} from {R} port 40000 ssh2",
	"Failed publickey for invalid user {U} from {R} port 40000 ssh2: ED25519 SHA256:uWm2d7fUDPSvnTjk2Wz2Lf4n4VnVCG2iGqJdTzZfXmk",
	"Failed publickey for root from {R} port 40000 ssh2: ED25519-CERT SHA256:uWm2d7fUDPSvnTjk2Wz2Lf4n4VnVCG2iGqJdTzZfXmk ID {U} (serial 0) CA RSA SHA256:x",
	"Postponed keyboard-interactive for invalid user {U} from {R} port 40000 ssh2 [preauth]",
	"error: PAM: Authentication failure for illegal user {U} from {R}",
	"error: maximum authentication attempts exceeded for invalid user {U} from {R} port 40000 ssh2 [preauth]",
	"Connection closed by invalid user {U} {R} port 40000 [preauth]",
	"Connection reset by invalid user {U} {R} port 40000 [preauth]",
	"Disconnected from invalid user {U} {R} port 40000 [preauth]",
	"Disconnecting invalid user {U} {R} port 40000: Too many authentication failures [preauth]",
	"Disconnecting invalid user {U} {R} port 40000: Change of username or service not allowed: ({U},ssh-connection) -> (x,ssh-connection) [preauth]",
	"Disconnecting invalid user x {R} port 40000: Change of username or service not allowed: (x,ssh-connection) -> ({U},ssh-connection) [preauth]",
	"Disconnecting authenticating user root {R} port 40000: Change of username or service not allowed: (root,ssh-connection) -> ({U},ssh-connection) [preauth]",
	"Received disconnect from {R} port 40000:11: {U} [preauth]",
	"error: Received disconnect from {R} port 40000:3: {U}: Auth fail [preauth]",
	"Bad protocol version identification '{U}' from {R} port 40000",
	"Unable to negotiate with {R} port 40000: no matching host key type found. Their offer: {U} [preauth]",
	"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={R}  user={U}",
	"Accepted publickey for bob from {R} port 40000 ssh2: ED25519-CERT SHA256:x ID {U} (serial 0) CA RSA SHA256:y",
}

// The first of them must count whatever the name is, or a strange name would be a way not to be seen.
const alwaysCount = "Invalid user {U} from {R} port 40000"

// forged are texts that pretend to be the rest of a line.
func forged(f interface{ Add(...any) }) {
	for _, u := range []string{
		"", "bob", "a from 198.51.100.1", "a from 198.51.100.1 port 1", "a from 198.51.100.1 port 1 ssh2", "a from 198.51.100.1 port 1 ssh2: ", "from 198.51.100.1 port 1 ssh2: RSA SHA256:x",
		"a 198.51.100.1 port 1 [preauth]", "a 198.51.100.1 port 1: Too many authentication failures [preauth]", "198.51.100.1 port 1", "a from 198.51.100.1 not allowed because not listed in AllowUsers",
		"x' from 198.51.100.1 port 1", "sshd[1]: Failed password for root from 198.51.100.1 port 1 ssh2", "2026-11-22T07:23:11Z web1 sshd[1]: Invalid user a from 198.51.100.1 port 1", " from 198.51.100.1 port 1\r",
		"Connection closed by 198.51.100.1 port 1 [preauth]", "x\x00 from 198.51.100.1", "\xff from 198.51.100.1 port 1 ssh2", "from 198.51.100.1 port 1 ssh2 from ::ffff:198.51.100.1 port 1 ssh2",
		`x": password mismatch, client: 198.51.100.1, server: s, request: "GET / HTTP/1.1", host: "h", referrer: "`, `x" was not found in "y", client: 198.51.100.1, server: s`,
		`" 404 1 "-" "-"`, "198.51.100.1 - - [] \"GET / HTTP/1.1\" 404 1 \"-\" \"-\"",
	} {
		f.Add(u)
	}
}

// nobodyElse checks that a line blames its peer or nobody, and protects nobody else.
func nobodyElse(t *testing.T, p *matchers.Program, line string) {
	t.Helper()
	got := blamed(p, strings.Split(line, "\n"))
	if slices.ContainsFunc(got, func(host string) bool { return strings.TrimPrefix(host, loginWord) != peer }) {
		t.Errorf("got %q, want %s or nobody: %q", got, peer, line)
	}
}

// FuzzForgedSSHD: no user name, banner or message of a client can have somebody else banned.
func FuzzForgedSSHD(f *testing.F) {
	forged(f)
	filter, err := LoadFilter("sshd[mode=aggressive]", nil)
	if err != nil {
		f.Fatal(err)
	}
	p, err := filter.inMode("aggressive")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, u string) {
		if strings.ContainsAny(u, "\n") { // sshd writes it as \n (strnvis)
			return
		}
		for _, template := range sshdLines {
			line := strings.NewReplacer("{R}", peer, "{U}", u).Replace(template)
			nobodyElse(t, p, "Nov 22 07:23:11 web1 sshd[1234]: "+line)
			nobodyElse(t, p, "web1 sshd-session[1234]: "+line)
			if template == alwaysCount && len(blamed(p, []string{"Nov 22 07:23:11 web1 sshd[1234]: " + line})) != 1 {
				t.Errorf("got nobody, want %s: %q", peer, line)
			}
		}
		if !strings.Contains(u, "sshd") {
			nobodyElse(t, p, "Nov 22 07:23:11 web1 other[1]: "+u)
		}
	})
}

// FuzzForgedNginx: neither a name in Basic authentication, nor a request, nor a header can.
func FuzzForgedNginx(f *testing.F) {
	forged(f)
	programs := map[string]*matchers.Program{}
	access := []string{"nginx-404", "nginx-4xx", "nginx-botsearch", "nginx-badbots", "nginx-noscript", "nginx-forbidden", "nginx-bad-request", "wordpress"}
	for _, name := range append([]string{"nginx-http-auth"}, access...) {
		filter, err := LoadFilter(name, nil)
		if err != nil {
			f.Fatal(err)
		}
		if programs[name], err = filter.inMode(""); err != nil {
			f.Fatal(err)
		}
	}
	// nginx's ngx_http_log_escape for the access log.
	escape := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			if c := s[i]; c == '"' || c == '\\' || c < 0x20 || c > 0x7e {
				b.WriteString(`\x22`)
			} else {
				b.WriteByte(c)
			}
		}
		return b.String()
	}
	f.Fuzz(func(t *testing.T, u string) {
		user, _, _ := strings.Cut(u, ":") // where the password begins
		text := strings.ReplaceAll(u, "\n", " ")
		const head, tail = "2026/11/22 07:23:11 [error] 811#811: *1 ", ", client: " + peer + ", server: example.com, request: "
		for _, line := range []string{
			`user "` + user + `": password mismatch` + tail + `"GET /` + text + ` HTTP/1.1", host: "` + text + `", referrer: "` + text + `"`,
			`user "` + user + `" was not found in "/etc/nginx/.htpasswd"` + tail + `"GET /` + text + ` HTTP/1.1", host: "x", referrer: "` + text + `"`,
			`open() "/var/www/` + text + `" failed (2: No such file or directory)` + tail + `"GET /` + text + ` HTTP/1.1", host: "x"`,
		} {
			nobodyElse(t, programs["nginx-http-auth"], head+line)
		}
		name, text := escape(user), escape(u)
		for _, status := range []string{"404", "200"} {
			line := peer + " - " + name + ` [22/Nov/2026:07:23:11 +0000] "` + text + `" ` + status + ` 153 "` + text + `" "` + text + `"`
			for _, name := range access {
				nobodyElse(t, programs[name], line)
			}
			nobodyElse(t, programs["nginx-http-auth"], line)
			if got := blamed(programs["nginx-404"], []string{line}); status == "200" && len(got) > 0 {
				t.Errorf("got %q, want nobody: %q", got, line)
			}
		}
	})
}

// notForgeable are rules that look forgeable to somebody who does not know what a field can hold.
var notForgeable = []string{
	`user "<F-USER>[^:]*</F-USER>"`, // a name in Basic authentication ends at the first colon
}

// No rule of a shipped filter blames whomever an attacker names in a line that was made up from its syntax.
func TestNoForgeableRules(t *testing.T) {
	for _, name := range ShippedFilters() {
		f, err := LoadFilter(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		modes := append([]string{""}, f.Modes...)
		if testing.Short() {
			modes = modes[:1]
		}
		for _, mode := range modes {
			p, err := f.inMode(mode)
			if err != nil {
				t.Fatal(err)
			}
			rules, _ := f.form.rules(mode, 0)
			for _, note := range p.ForgeableRules() {
				var n int
				_, _ = fmt.Sscanf(note.Rule[strings.LastIndex(note.Rule, " ")+1:], "%d", &n)
				if n > 0 && slices.ContainsFunc(notForgeable, func(part string) bool { return strings.Contains(rules[n-1].Regex, part) }) {
					continue
				}
				t.Errorf("%s[mode=%s]: %v", name, mode, note)
			}
		}
	}
}
