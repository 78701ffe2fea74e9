package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/sources"
)

// testFlags are what `banpipe test` was called with.
type testFlags struct {
	config, now           string
	json, explain, missed bool
	maxretry              int
	findtime, bantime     string
}

func testCommand() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test FILTER [LOG...|-]",
		Short: "say what a filter makes of a log, and who would be banned",
		Long: `test shows what a filter makes of each line of a log, and whom it would have banned, when. FILTER is a
jail's name, a filter's (shipped or your own), a file (.toml, or fail2ban's .conf), each with fail2ban's parameters as in
'sshd[mode=aggressive]', or a bare failregex. LOG is a file; - is standard input. Without a LOG the filter's own samples
are run. Dates without a year and lines without a date are read by the clock, or by --now; TZ is the zone of dates that name none.`,
		Example: `  banpipe test sshd /var/log/auth.log
  banpipe test 'sshd[mode=aggressive]' --explain /var/log/auth.log
  journalctl -o short-iso -u ssh | banpipe test sshd -
  banpipe test '^<HOST> .* "GET /wp-login' --maxretry 3 --findtime 1h access.log`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{errors.New("test wants a FILTER")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], args[1:]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "read jails from this file (default "+configs.DefaultPath+", if it is there)")
	flags.StringVar(&f.now, "now", "", "the clock, for dates without a year and lines without a date, as 2026-11-22T07:23:11Z")
	flags.BoolVar(&f.json, "json", false, "print one JSON object per line of the log")
	flags.BoolVar(&f.explain, "explain", false, "print every hit with its rule and where each group lies")
	flags.BoolVar(&f.missed, "print-missed", false, "print the lines that no rule matches")
	flags.IntVar(&f.maxretry, "maxretry", 0, "hits that lead to a ban (default: the jail's or the filter's)")
	flags.StringVar(&f.findtime, "findtime", "", "within how long (default: the jail's)")
	flags.StringVar(&f.bantime, "bantime", "", "for how long (default: the jail's)")
	return cmd
}

func (f *testFlags) run(cmd *cobra.Command, name string, logs []string) error {
	clock, err := parseClock(f.now)
	if err != nil {
		return err
	}
	filter, jail, err := f.find(name)
	if err != nil {
		return err
	}
	if len(logs) == 0 {
		return f.samples(cmd.OutOrStdout(), filter)
	}
	t, err := newTrial(filter.Filter, jail, clock)
	if err != nil {
		return err
	}
	var out report = &wordReport{w: cmd.OutOrStdout(), explain: f.explain, missed: f.missed}
	if f.json {
		out = &jsonReport{w: cmd.OutOrStdout()}
	}
	for _, log := range logs {
		if err := t.read(cmd.Context(), log, cmd.InOrStdin(), out); err != nil {
			return err
		}
	}
	return out.end(t)
}

// find looks FILTER up: a jail, a filter, or a regex, and the limits that go with it.
func (f *testFlags) find(name string) (*configs.Filter, pipeline.Jail, error) {
	cfg, err := load(f.config)
	if err != nil {
		if f.config != "" {
			return nil, pipeline.Jail{}, err
		}
		cfg = configs.Default() // a filter can be tested beside a broken configuration
	}
	limits := pipeline.Jail{MaxRetry: 5, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute, Prefix6: cfg.Defaults.Prefix6}
	filter, err := lookUp(cfg, name, &limits)
	if err != nil {
		return nil, limits, err
	}
	if f.maxretry > 0 {
		limits.MaxRetry = f.maxretry
	}
	for flag, text := range map[*time.Duration]string{&limits.FindTime: f.findtime, &limits.BanTime: f.bantime} {
		if text == "" {
			continue
		}
		d, err := configs.ParseDuration(text)
		if err != nil {
			return nil, limits, &usageError{err}
		}
		*flag = time.Duration(d)
	}
	return filter, limits, nil
}

// group is what a failregex has and a filter's name or path has not.
var group = regexp.MustCompile(`<(HOST|ADDR|SUBNET|CIDR|DNS|IP4|IP6|F-[A-Z_]+|/?[a-z]+)>`)

func lookUp(cfg *configs.Config, name string, limits *pipeline.Jail) (*configs.Filter, error) {
	if j := cfg.Jails[name]; j != nil {
		if j.Problem != nil {
			return nil, fmt.Errorf("jail %s: %w", name, j.Problem)
		}
		*limits = j.Policy()
		limits.CountsBans = false // what is tried is its filter
		filter := &configs.Filter{Filter: *j.Loaded}
		if full, err := configs.LoadFilter(j.Filter, cfg.FilterDirs); err == nil {
			filter.Samples = full.Samples
		}
		return filter, nil
	}
	if group.MatchString(name) {
		return &configs.Filter{Filter: matchers.Filter{Name: "regex", FailRegex: []matchers.Rule{{Regex: name}}}}, nil
	}
	return configs.LoadFilter(name, cfg.FilterDirs)
}

// samples runs the lines that a filter file brings to prove itself.
func (f *testFlags) samples(w io.Writer, filter *configs.Filter) error {
	if len(filter.Samples) == 0 {
		return &usageError{fmt.Errorf("filter %s has no samples: name a LOG, or - for standard input", filter.Name)}
	}
	wrong := filter.Check()
	for _, err := range wrong {
		fmt.Fprintln(w, err)
	}
	fmt.Fprintf(w, "filter %s: %d of %d samples are as they should be\n", filter.Name, len(filter.Samples)-len(wrong), len(filter.Samples))
	if len(wrong) > 0 {
		return errSaid
	}
	return nil
}

// A trial is one filter over logs: a tracer that says why, and beside it the very stages of the service, which
// say who would be banned.
type trial struct {
	filter matchers.Filter
	limits pipeline.Jail
	clock  time.Time
	tracer *matchers.Tracer
	stages []pipeline.Stage

	lines       int
	counts      [3]int // by matchers.Verdict
	dated       int
	first, last time.Time
	bans        []pipeline.Action
	shaped      int // lines that have the shape which the filter is for
}

func newTrial(filter matchers.Filter, limits pipeline.Jail, clock time.Time) (*trial, error) {
	jf := matchers.JailFilter{Jail: filter.Name, Filter: filter}
	tracer, err := matchers.NewTracer(jf)
	if err != nil {
		return nil, err
	}
	program, err := matchers.NewProgram([]matchers.JailFilter{jf})
	if err != nil {
		return nil, err
	}
	programs := func(string) *matchers.Program { return program }
	jails := map[string]pipeline.Jail{filter.Name: limits}
	t := &trial{filter: filter, limits: limits, clock: clock, tracer: tracer}
	t.stages = []pipeline.Stage{
		&matchers.Docker{},
		&matchers.Parse{Programs: programs},
		&matchers.Match{Programs: programs},
		&matchers.Session{Programs: programs},
		&pipeline.Window{Jails: jails, Now: func() time.Time { return clock }},
		// Bans are judged as if each had been made when its last offence was read: none is over.
		&pipeline.Decide{Jails: jails, Now: func() time.Time { return time.Time{} }},
	}
	return t, nil
}

// read runs one log, or standard input, through the trial.
func (t *trial) read(ctx context.Context, name string, stdin io.Reader, out report) error {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	src := sources.NewReader(name, in)
	for {
		b := &pipeline.Batch{}
		err := src.Read(ctx, b)
		for i := range b.Records {
			if err := t.line(ctx, &b.Records[i], out); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func (t *trial) line(ctx context.Context, r *pipeline.Record, out report) error {
	t.lines++
	var trace matchers.Trace
	if r.Dated {
		trace = t.tracer.Entry(r.Line, r.Time)
	} else {
		trace = t.tracer.Line(r.Line, t.clock)
	}
	if matchers.HasShape(trace.Text, t.filter.Shape) {
		t.shaped++
	}
	t.counts[trace.Verdict]++
	if r.Dated || trace.Date.Len() > 0 {
		t.date(trace.Time)
	}
	if err := out.line(t.lines, r.Line, &trace); err != nil {
		return err
	}
	b := &pipeline.Batch{Source: "test"}
	again := b.Append(r.Line, t.clock)
	if r.Dated {
		again.Dated, again.Time, again.Fields = true, r.Time, r.Fields
	}
	for _, s := range t.stages {
		if err := s.Process(ctx, b); err != nil {
			return err
		}
	}
	t.bans = append(t.bans, slices.Clone(b.Actions)...)
	return nil
}

func (t *trial) date(at time.Time) {
	if t.dated++; t.dated == 1 || at.Before(t.first) {
		t.first = at
	}
	if at.After(t.last) {
		t.last = at
	}
}
