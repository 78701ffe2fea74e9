package matchers

import (
	"context"
	"testing"

	"github.com/banpipe/banpipe/pipeline"
)

// BenchmarkMatch sends batches of 500 access-log lines, one of which offends, through Parse and Match with
// three jails.
func BenchmarkMatch(b *testing.B) {
	p, err := NewProgram([]JailFilter{
		inJail("nginx-404", Filter{FailRegex: rules(`^<HOST> -.*"(?:GET|POST) [^"]*" 404 `)}),
		inJail("bad-request", Filter{FailRegex: rules(`^<HOST> - \S+ \[\] "[^"]*" 400 `)}),
		inJail("bots", Filter{FailRegex: rules(`^<HOST> .*"(?:GET|POST) /(?:wp-login\.php|xmlrpc\.php|\.env)[^"]*" `)}),
	})
	if err != nil {
		b.Fatal(err)
	}
	programs := func(string) *Program { return p }
	stages := []pipeline.Stage{&Parse{Programs: programs}, &Match{Programs: programs}}
	benign := []byte(`192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET /static/app.js?v=12 HTTP/1.1" 200 5316 "https://example.org/" "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"`)
	attack := []byte(`192.0.2.8 - - [22/Nov/2026:07:23:11 +0000] "GET /.env HTTP/1.1" 404 153 "-" "curl/8.5.0"`)
	batch := &pipeline.Batch{Source: "test"}
	for range 500 {
		batch.Append(benign, noon)
	}
	batch.Append(attack, noon)
	records := batch.Records
	saved := append([]pipeline.Record{}, records...)
	b.ReportAllocs()
	lines := 0
	for b.Loop() {
		batch.Records = append(batch.Records[:0], saved...)
		for _, s := range stages {
			if err := s.Process(context.Background(), batch); err != nil {
				b.Fatal(err)
			}
		}
		if lines += len(saved); len(batch.Records) != 2 {
			b.Fatalf("got %d hits, want 2", len(batch.Records))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(lines), "ns/line")
}
