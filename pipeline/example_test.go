package pipeline_test

import (
	"context"
	"log"
	"net/netip"
	"os"
	"strings"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/sinks"
	"github.com/banpipe/banpipe/sources"
)

// office drops offences that come from our own network.
func office(_ context.Context, b *pipeline.Batch) error {
	ours := netip.MustParsePrefix("198.51.100.0/24")
	b.Keep(func(r *pipeline.Record) bool { return !ours.Contains(r.Addr) })
	return nil
}

func Example() {
	sshd, err := matchers.NewProgram([]matchers.JailFilter{{Jail: "sshd", Filter: matchers.Filter{
		FailRegex: []matchers.Rule{{Regex: `^\s\S+ sshd\[\d+\]: Failed password for \S+ from <HOST> port \d+ ssh2$`}},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	programs := func(source string) *matchers.Program { return sshd }
	jails := map[string]pipeline.Jail{"sshd": {MaxRetry: 3, BanTime: -1}}
	p := &pipeline.Pipeline{
		Sources: []pipeline.Source{sources.NewReader("stdin", stdin)},
		Stages: []pipeline.Stage{
			&matchers.Parse{Programs: programs},
			pipeline.Concurrent(2, func() pipeline.Stage { return &matchers.Match{Programs: programs} }),
			pipeline.StageFunc(office), // ours, between two of theirs
			&pipeline.Window{Jails: jails},
			&pipeline.Decide{Jails: jails},
		},
		Outputs: []pipeline.Output{{Sink: &sinks.Writer{W: os.Stdout, JSON: true}}},
	}
	if err := p.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// {"op":"ban","prefix":"192.0.2.7/32","jail":"sshd","hits":3,"reason":"3 hits in 10m0s"}
}

// stdin stands in for os.Stdin: three failures each from a stranger and from the office.
var stdin = strings.NewReader(strings.Repeat(`2026-11-22T07:23:11+00:00 web1 sshd[811]: Failed password for root from 192.0.2.7 port 4711 ssh2
2026-11-22T07:23:12+00:00 web1 sshd[812]: Failed password for root from 198.51.100.7 port 4712 ssh2
`, 3))
