package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/sinks"
	"github.com/banpipe/banpipe/sources"
)

// demo is half an hour on a small server: a few attackers (203.0.113.0/24, 2001:db8:bad::/48) among its users.
//
//go:embed demo/*.log
var demo embed.FS

func tryCommand() *cobra.Command {
	var config string
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
			return try(cmd.Context(), cmd.OutOrStdout(), config, args)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "take the jails from this file, instead of all that ship")
	return cmd
}

// try is what runs inside the namespace.
func try(ctx context.Context, out io.Writer, config string, paths []string) error {
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
	now := func() time.Time { return clock }
	set := &sinks.NFTables{Now: now}
	defer set.Close()
	if err := set.Probe(ctx); err != nil {
		if os.Geteuid() == 0 && errors.Is(err, os.ErrPermission) {
			return errNoNamespaces // AppArmor lets the namespace be made and then takes the rights in it
		}
		return err
	}
	built, err := configs.Build(cfg, configs.BuildOptions{Stdin: strings.NewReader(""), Now: now})
	if err != nil {
		return err
	}
	for _, problem := range built.Problems {
		fmt.Fprintf(out, "%v\n", problem)
	}
	p := built.Pipeline
	p.Sources = nil
	for _, l := range logs {
		p.Sources = append(p.Sources, sources.NewReader("stdin:"+l.name, bytes.NewReader(l.text)))
	}
	for _, s := range p.Stages {
		if d, ok := s.(*pipeline.Decide); ok {
			// Every ban is shown, those too that are over by the clock; they do not get into the set.
			d.Now = func() time.Time { return time.Time{} }
		}
	}
	w := &witness{out: out, clock: clock, lines: make(map[string][]string)}
	p.Stages = append(p.Stages, w)
	p.Outputs = []pipeline.Output{{Sink: set}}
	for _, l := range logs {
		fmt.Fprintf(out, "%s: %d lines\n", l.name, bytes.Count(l.text, []byte("\n")))
	}
	if err := p.Run(ctx); err != nil {
		return err
	}
	if w.bans == 0 {
		fmt.Fprintln(out, "\nnobody was banned")
	}
	return printSet(ctx, out, set, clock)
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

// A witness is the last stage of a try: it remembers the lines of every offender and prints each ban with them.
type witness struct {
	out   io.Writer
	clock time.Time
	lines map[string][]string
	bans  int
}

func (w *witness) Process(_ context.Context, b *pipeline.Batch) error {
	for i := range b.Records {
		if r := &b.Records[i]; r.Kind == pipeline.Hit {
			key := r.Jail + " " + r.Addr.String()
			w.lines[key] = append(w.lines[key], string(r.Line))
		}
	}
	for _, a := range b.Actions {
		if a.Op != pipeline.Ban {
			continue
		}
		w.bans++
		key := a.Jail + " " + a.Prefix.Addr().String()
		verb := "banned"
		if a.Observe {
			verb = "would ban"
		}
		over := ""
		if !a.Until.IsZero() && !a.Until.After(w.clock) {
			over = ", over at " + a.Until.Format(time.RFC3339)
		}
		fmt.Fprintf(w.out, "\n%s %v by jail %s: %s%s, after\n", verb, a.Prefix.Addr(), a.Jail, a.Reason, over)
		lines := w.lines[key]
		for _, l := range lines[max(0, len(lines)-a.Hits):] {
			fmt.Fprintf(w.out, "  %s\n", plain(l))
		}
		delete(w.lines, key)
	}
	return nil
}

// printSet prints what the kernel holds.
func printSet(ctx context.Context, out io.Writer, set *sinks.NFTables, clock time.Time) error {
	listing, err := set.List(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nthe kernel's table inet banpipe, chain at prerouting: %d addresses\n", len(listing.Bans))
	slices.SortStableFunc(listing.Bans, func(a, b pipeline.Action) int {
		return strings.Compare(pipeline.PortsString(a.Ports), pipeline.PortsString(b.Ports))
	})
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  address\tports\tdropped for")
	for _, a := range listing.Bans {
		ports, left := pipeline.PortsString(a.Ports), "ever"
		if ports == "" {
			ports = "all"
		}
		if !a.Until.IsZero() {
			left = a.Until.Sub(clock).Round(time.Second).String()
		}
		fmt.Fprintf(w, "  %v\t%s\t%s\n", a.Prefix.Addr(), ports, left)
	}
	return w.Flush()
}
