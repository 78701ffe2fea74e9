package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
	"github.com/banpipe/banpipe/sinks"
	"github.com/banpipe/banpipe/sources"
)

// demo is half an hour on a small server: a few attackers (203.0.113.0/24, 2001:db8:bad::/48) among its users.
//
//go:embed demo/*.log
var demo embed.FS

func tryCommand() *cobra.Command {
	var config string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "try [LOG...]",
		Short: "run the real pipeline against a real nftables set, in a private network namespace",
		Long: `try feeds logs through the jails into a real nftables set, in a network namespace of its own that is gone
afterwards: nothing outside is touched, and no root is needed. It prints who was banned, by which jail, for which lines, and the
set as the kernel has it. Without a LOG it brings its own; every enabled jail reads every LOG. Without a configuration all shipped
jails are enabled. The clock is the logs' last date.`,
		Example: `  banpipe try
  banpipe try /var/log/auth.log
  banpipe try --config banpipe.toml /var/log/nginx/access.log`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !inside() {
				return reenter(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			var out tryReport = &tryWords{w: cmd.OutOrStdout()}
			if asJSON {
				out = &tryJSON{json.NewEncoder(cmd.OutOrStdout())}
			}
			return try(cmd.Context(), out, config, args)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "take the jails from this file, instead of all that ship")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object per ban, with its lines, and one with what the kernel holds")
	return cmd
}

// try is what runs inside the namespace.
func try(ctx context.Context, out tryReport, config string, paths []string) error {
	cfg, err := tryConfig(config)
	if err != nil {
		return err
	}
	logs, err := readLogs(paths)
	if err != nil {
		return err
	}
	var ends [][]byte
	for _, l := range logs {
		ends = append(ends, l.text[max(0, len(l.text)-lastLines):])
	}
	clock := lastDate(ends, time.Now())
	set := &sinks.NFTables{Now: func() time.Time { return clock }}
	defer set.Close()
	if err := set.Probe(ctx); err != nil {
		if errors.Is(err, os.ErrPermission) {
			return errNoNamespaces // AppArmor lets the namespace be made and then takes the rights in it
		}
		return err
	}
	built, err := configs.Build(cfg, configs.BuildOptions{Stdin: strings.NewReader(""), Now: set.Now})
	if err != nil {
		return err
	}
	for _, l := range logs {
		if err := out.log(l.name, bytes.Count(l.text, []byte("\n"))); err != nil {
			return err
		}
	}
	w := &witness{out: out, clock: clock, lines: make(map[target][]offence), ends: make(map[target]time.Time)}
	if err := tryPipeline(built, logs, set, w).Run(ctx); err != nil {
		return err
	}
	listing, err := set.List(ctx)
	if err != nil {
		return err
	}
	return out.set(listing.Bans, clock)
}

// tryPipeline is the service's pipeline with the logs for sources, the set for a sink, and a witness at the end.
func tryPipeline(built *configs.Built, logs []tryLog, set pipeline.Sink, w *witness) *pipeline.Pipeline {
	p := built.Pipeline
	p.Sources = nil
	for _, l := range logs {
		p.Sources = append(p.Sources, sources.NewReader("stdin:"+l.name, bytes.NewReader(l.text)))
	}
	for _, s := range p.Stages {
		if d, ok := s.(*pipeline.Decide); ok {
			// Every ban is shown, those too that are over by the clock; they do not get into the set.
			d.Now = func() time.Time { return time.Time{} }
			w.jails = d.Jails
		}
	}
	p.Stages = append(p.Stages, w)
	p.Outputs = []pipeline.Output{{Sink: set}}
	return p
}

// tryConfig is the configuration of a try: whatever is enabled in the file, or all that ships.
func tryConfig(path string) (*configs.Config, error) {
	if path != "" {
		return configs.Load(path)
	}
	cfg := configs.Default()
	for _, j := range cfg.Jails {
		j.Enabled = true
	}
	return cfg, nil
}

// A tryLog is a log held in memory: a try is for a look at a log, not for years of them.
type tryLog struct {
	name string
	text []byte
}

// maxTryLog bounds what a try reads of one log: its last part.
const maxTryLog = 256 << 20

func readLogs(paths []string) (logs []tryLog, err error) {
	if len(paths) == 0 {
		entries, err := demo.ReadDir("demo")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			text, err := demo.ReadFile("demo/" + e.Name())
			if err != nil {
				return nil, err
			}
			logs = append(logs, tryLog{e.Name(), text})
		}
		return logs, nil
	}
	for _, path := range paths {
		text, err := readTail(path, maxTryLog)
		if err != nil {
			return nil, err
		}
		logs = append(logs, tryLog{path, text})
	}
	return logs, nil
}

// A witness is the last stage of a try: it remembers the lines of every offender and reports each ban with them. That a live
// ban is made longer it does not report: in earnest nothing would have come through any more.
type witness struct {
	out   tryReport
	clock time.Time
	jails map[string]pipeline.Jail
	lines map[target][]offence
	ends  map[target]time.Time // of the bans so far; zero: never
}

// A target is what is counted and banned in a jail: an address or a network.
type target struct {
	jail   string
	prefix netip.Prefix
}

// An offence is a line and, by it, the offences that count.
type offence struct {
	line  string
	at    time.Time
	count int
}

func (w *witness) Process(_ context.Context, b *pipeline.Batch) error {
	for i := range b.Records {
		if r := &b.Records[i]; r.Kind == pipeline.Hit {
			key := target{r.Jail, w.jails[r.Jail].Network(r.Addr)}
			w.lines[key] = append(w.lines[key], offence{string(r.Line), r.Time, cmp.Or(r.Offences, r.Hits)})
		}
	}
	for _, a := range b.Actions {
		if a.Op != pipeline.Ban {
			continue
		}
		lines, last := w.take(a)
		key := target{a.Jail, a.Prefix}
		end, banned := w.ends[key]
		w.ends[key] = a.Until
		if banned && (end.IsZero() || last.Before(end)) {
			continue
		}
		over := !a.Until.IsZero() && !a.Until.After(w.clock)
		if err := w.out.ban(a, over, lines); err != nil {
			return err
		}
	}
	return nil
}

// take returns the lines that a ban is for, with the time of the last one, and forgets them and those before. The batch
// may hold later ones.
func (w *witness) take(a pipeline.Action) (lines []string, last time.Time) {
	key := target{a.Jail, w.jails[a.Jail].Network(a.Prefix.Addr())}
	all := w.lines[key]
	n := 1 + slices.IndexFunc(all, func(o offence) bool { return o.count == a.Hits })
	if n == 0 { // of neighbours: the line is another one's
		return nil, w.clock
	}
	for _, o := range all[max(0, n-a.Hits):n] {
		lines, last = append(lines, o.line), o.at
	}
	w.lines[key] = all[n:]
	return lines, last
}

// A tryReport is what `banpipe try` prints.
type tryReport interface {
	log(name string, lines int) error
	ban(a pipeline.Action, over bool, lines []string) error
	set(bans []pipeline.Action, clock time.Time) error
}

// tryWords is for people.
type tryWords struct {
	w    io.Writer
	bans int
}

func (t *tryWords) log(name string, lines int) error {
	_, err := fmt.Fprintf(t.w, "%s: %d lines\n", plain(name), lines)
	return err
}

func (t *tryWords) ban(a pipeline.Action, over bool, lines []string) error {
	t.bans++
	verb, end := "banned", ""
	if a.Observe {
		verb = "would ban"
	}
	if over {
		end = ", over at " + a.Until.Format(time.RFC3339)
	}
	after := ", after"
	if len(lines) == 0 {
		after = ""
	}
	_, err := fmt.Fprintf(t.w, "\n%s %v by jail %s: %s%s%s\n", verb, control.Word(a.Prefix), a.Jail, a.Reason, end, after)
	for _, l := range lines {
		fmt.Fprintf(t.w, "  %s\n", plain(l))
	}
	return err
}

func (t *tryWords) set(bans []pipeline.Action, clock time.Time) error {
	if t.bans == 0 {
		fmt.Fprintln(t.w, "\nnobody was banned")
	}
	fmt.Fprintf(t.w, "\nthe kernel's table inet banpipe, chain at prerouting, drops packets from\n")
	w := tabwriter.NewWriter(t.w, 0, 0, 2, ' ', 0)
	for _, a := range bans {
		ports, left := pipeline.PortsString(a.Ports), "ever"
		if ports == "" {
			ports = "all ports"
		} else {
			ports = "to ports " + ports
		}
		if !a.Until.IsZero() {
			left = a.Until.Sub(clock).Round(time.Second).String()
		}
		fmt.Fprintf(w, "  %s\t%s\tfor %s\n", control.Word(a.Prefix), ports, left)
	}
	if len(bans) == 0 {
		fmt.Fprintln(w, "  nobody")
	}
	return w.Flush()
}

// tryJSON is for programs: an object per ban, {"ban":ACTION,"over":BOOL,"lines":[…]}, and at the end {"kernel":[ACTION…]}.
type tryJSON struct{ *json.Encoder }

func (t *tryJSON) log(string, int) error { return nil }

func (t *tryJSON) ban(a pipeline.Action, over bool, lines []string) error {
	return t.Encode(struct {
		Ban   pipeline.Action `json:"ban"`
		Over  bool            `json:"over"`
		Lines []string        `json:"lines"`
	}{a, over, lines})
}

func (t *tryJSON) set(bans []pipeline.Action, _ time.Time) error {
	if bans == nil {
		bans = []pipeline.Action{}
	}
	return t.Encode(struct {
		Kernel []pipeline.Action `json:"kernel"`
	}{bans})
}
