package matchers

import (
	"slices"
	"testing"
)

// shapeLines are lines, less their dates, by the shapes that they have.
var shapeLines = []struct {
	line   string
	shapes []string
}{
	{` web1 sshd[811]: Failed password for root from 192.0.2.7 port 4711 ssh2`, []string{"dovecot", "syslog"}},
	{` web1 kernel: [812345.596261] something else`, []string{"dovecot", "syslog"}},
	{`web1 CRON[1]: x`, []string{"dovecot", "syslog"}},
	{` alpine auth.info sshd[811]: x`, []string{"dovecot", "syslog"}},
	{`192.0.2.7 - - [] "GET / HTTP/1.1" 200 1 "-" "-"`, []string{"access", "nginx", "python"}},
	{`example.com:443 192.0.2.7 - bob [] "GET / HTTP/1.1" 200 1`, []string{"access", "nginx", "python"}},
	{` [error] 811#812: *7381686 upstream timed out, client: 192.0.2.7`, []string{"nginx", "nginx-error"}},
	{` web1 kernel: [30.2] [UFW LIMIT BLOCK] IN=eth0 OUT= MAC=aa SRC=192.0.2.7`, []string{"dovecot", "syslog", "ufw"}},
	{`{"level":"warning","ts":""}`, []string{"access", "json", "nginx", "python"}},
	{`[] [core:error] [pid 811] [client 192.0.2.7:1] x`, []string{"apache-error"}},
	{`INFO:     192.0.2.7:54321 - "GET / HTTP/1.1" 200 OK`, []string{"python"}},
	{` fail2ban.actions        [811]: NOTICE  [sshd] Ban 192.0.2.7`, []string{"fail2ban"}},
	{` imap-login: Info: Login: user=<bob>`, []string{"dovecot", "syslog"}},
	{` [pid 811] [bob] OK LOGIN: Client "192.0.2.7"`, []string{"vsftpd"}},
	{` web1 proftpd[811] web1 (unknown[192.0.2.7]): FTP session opened.`, []string{"proftpd"}},
	{` 12 [Warning] Aborted connection`, []string{"mysql"}},
	{`db1 mariadbd[811]: 2026-11-22  7:23:11 12 [Warning] Aborted connection`, []string{"dovecot", "mysql", "syslog"}},
	{` UTC [811] bob@shop LOG:  connection authorized`, []string{"postgresql"}},
	{`[][response][INFO] (login) POST`, []string{"vaultwarden"}},
	{` ...ers/web/auth/auth.go:205:SignInPost() [W] x`, []string{"gitea"}},
	{`web1 gitea[811]: 2026/11/22 07:23:11 HTTPRequest [I] x`, []string{"dovecot", "gitea", "syslog"}},
	{`[] [INF] [42] Emby.Server: x`, []string{"jellyfin"}},
	{` WARNING (MainThread) [homeassistant.core] x`, []string{"home-assistant", "python"}},
	{`logger=context userId=0 t= level=info msg="Request Completed"`, []string{"grafana"}},
	{` 192.0.2.7:54321 TLS Error: TLS handshake failed`, []string{"openvpn"}},
}

func TestHasShape(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range shapeLines {
		var got []string
		for _, shape := range Shapes() {
			if HasShape(c.line, shape) {
				got = append(got, shape)
			}
			seen[shape] = seen[shape] || slices.Contains(c.shapes, shape)
		}
		if !slices.Equal(got, c.shapes) {
			t.Errorf("%q: got %q, want %q", c.line, got, c.shapes)
		}
	}
	for shape, is := range seen {
		if !is {
			t.Errorf("%s: no line", shape)
		}
	}
	if !HasShape("anything", "") || !HasShape("anything", "of tomorrow") {
		t.Error("an unknown shape must fit")
	}
}
