package matchers

import "testing"

func TestHasShape(t *testing.T) {
	lines := map[string][]string{
		"syslog": {
			` web1 sshd[811]: Failed password for root from 192.0.2.7 port 4711 ssh2`,
			` web1 kernel: [812345.596261] something else`,
			`web1 CRON[1]: x`,
		},
		"access": {
			`192.0.2.7 - - [] "GET / HTTP/1.1" 200 1 "-" "-"`,
			`example.com:443 192.0.2.7 - bob [] "GET / HTTP/1.1" 200 1`,
		},
		"nginx-error": {` [error] 811#812: *7381686 upstream timed out, client: 192.0.2.7`},
		"ufw":         {` web1 kernel: [30.2] [UFW LIMIT BLOCK] IN=eth0 OUT= MAC=aa SRC=192.0.2.7`},
		"json":        {`{"level":"warning","ts":""}`},
	}
	for shape := range lines {
		for of, all := range lines {
			for _, line := range all {
				want := shape == of || shape == "syslog" && of == "ufw" // the kernel logs through syslog
				if got := HasShape(line, shape); got != want {
					t.Errorf("%s, %q: got %v, want %v", shape, line, got, want)
				}
			}
		}
		if len(lines) != len(Shapes()) {
			t.Errorf("got tests of %d shapes, want %d", len(lines), len(Shapes()))
		}
	}
	if !HasShape("anything", "") || !HasShape("anything", "of tomorrow") {
		t.Error("an unknown shape must fit")
	}
}
