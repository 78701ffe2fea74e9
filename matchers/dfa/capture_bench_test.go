package dfa

import (
	"regexp"
	"testing"
)

// BenchmarkCaptures finds the groups of lines that are known to match, and for comparison by regexp.
func BenchmarkCaptures(b *testing.B) {
	for _, c := range []struct{ name, expr, line string }{
		{
			"access", `^` + host + ` -.*"(?:GET|POST) [^"]*" 404 `,
			`192.0.2.7 - - [] "GET /static/app.js?v=12 HTTP/1.1" 404 5316 "https://example.org/" "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"` + "\n",
		},
		{
			"sshd", `^\s*(?:\S*[^\s:]\s+)?(sshd(?:-session)?\[\d+\]:)\s+(?:error: )?Failed (?:password|publickey) for (?:invalid user )?(\S+) from ` + host + `(?: port \d+)?(?: ssh2)?(?:\n?\z)`,
			` web1 sshd[1234]: Failed password for invalid user admin from 192.0.2.10 port 40000 ssh2` + "\n",
		},
		{
			"error", `^ \[error\] \d+#\d+: \*\d+ (?:no user/password was provided for basic authentication|user "(?:[^"]+|.*?)": password mismatch), client: ` + host + `, server: \S*, request: "\S+ \S+ HTTP/\d+\.\d+", host: "\S+"(?:, referrer: "\S+")?\s*(?:\n?\z)`,
			` [error] 811#812: *7381686 user "root": password mismatch, client: 192.0.2.7, server: example.org, request: "GET /admin/ HTTP/1.1", host: "example.org"` + "\n",
		},
		{
			"ufw", `\[UFW (?:LIMIT )?BLOCK\].* SRC=` + host + ` DST=\S+ .*PROTO=TCP .*DPT=(\d+)`,
			` web1 kernel: [30.2] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:12:34:56:52:54:00:65:43:21:08:00 SRC=192.0.2.7 DST=198.51.100.4 LEN=40 TOS=0x00 PREC=0x00 TTL=244 ID=54321 PROTO=TCP SPT=51022 DPT=3389 WINDOW=1024 RES=0x00 SYN URGP=0` + "\n",
		},
	} {
		b.Run(c.name, func(b *testing.B) {
			wanted := make([]int, regexp.MustCompile(c.expr).NumSubexp())
			for i := range wanted {
				wanted[i] = i + 1
			}
			compiled, err := CompileCaptures(c.expr, wanted)
			if err != nil {
				b.Fatal(err)
			}
			cache, line := compiled.NewCache(), []byte(c.line)
			var spans []int
			b.ReportAllocs()
			for b.Loop() {
				var found bool
				if spans, found, _ = cache.Find(line, nil, nil, true, spans[:0]); !found {
					b.Fatal("not found")
				}
			}
			b.ReportMetric(float64(cache.Stats().States), "states")
		})
		b.Run(c.name+"/regexp", func(b *testing.B) {
			re, line := regexp.MustCompile(c.expr), []byte(c.line)
			for b.Loop() {
				if re.FindSubmatchIndex(line) == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

// BenchmarkCompileCaptures is what a regex costs before its first line.
func BenchmarkCompileCaptures(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CompileCaptures(`from `+host+`(?: port (\d+))?\s*$`, nil); err != nil {
			b.Fatal(err)
		}
	}
}
