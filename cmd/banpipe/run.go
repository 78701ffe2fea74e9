package main

import (
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline/store"
	"github.com/banpipe/banpipe/sinks"
)

// runFlags are what `banpipe run` was called with.
type runFlags struct {
	config, now               string
	jails                     []string
	stdin, once, dryRun, json bool
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "follow the logs and ban: the service",
		Long: `run follows the logs of the enabled jails, or of those named with --jail, and bans. SIGTERM and
SIGINT end it when what it has read is worked off; the bans stay in the kernel and end by themselves.

--stdin adds standard input to the jails. Without a configuration file the shipped jails and their defaults serve; the chosen
jails then read standard input only, since the same lines often stand in a log as well and would count twice.`,
		Example: `  banpipe run --config /etc/banpipe/banpipe.toml
  journalctl -f -o short-iso | banpipe run --stdin --jail sshd
  banpipe run --stdin --once --dry-run --json --jail sshd < auth.log`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "the configuration (default "+configs.DefaultPath+", if it is there)")
	flags.StringArrayVar(&f.jails, "jail", nil, "run this jail, enabled or not, instead of those that are; may be repeated")
	flags.BoolVar(&f.stdin, "stdin", false, "read standard input, too")
	flags.BoolVar(&f.once, "once", false, "end when every log has been read to its end")
	flags.StringVar(&f.now, "now", "", "the clock, as 2026-11-22T07:23:11Z (with --once the default is the logs' last date)")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print what would be banned, and touch nothing")
	flags.BoolVar(&f.json, "json", false, "with --dry-run: one JSON object per action; else: the log as JSON")
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command) error {
	cfg, err := load(f.config)
	if err != nil {
		return err
	}
	log, err := newLogger(cfg.Log, f.json && !f.dryRun, zapcore.AddSync(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	now, err := f.clock(cfg)
	if err != nil {
		return err
	}
	cfg, trial := f.settle(cfg, log)
	opts := configs.BuildOptions{
		Jails: f.jails, Once: f.once, DryRun: f.dryRun, JSON: f.json, Out: cmd.OutOrStdout(), Now: now, Logger: log,
	}
	if f.stdin {
		opts.Stdin = cmd.InOrStdin()
	}
	var state *store.Store
	if !f.dryRun {
		if state, err = store.Open(filepath.Join(cfg.StateDir, "banpipe.db"), store.Options{
			History: time.Duration(cfg.History), Now: now, Logger: log.Named("store"),
		}); err != nil {
			return err
		}
		defer state.Close()
		opts.Store = state
	}
	built, err := configs.Build(cfg, opts)
	if err != nil {
		return err
	}
	tells := cfg.Log.Format == "fail2ban" && !f.json
	if tells {
		logFound(built, log)
	}
	for _, problem := range built.Problems {
		log.Error("configuration", zap.Error(problem))
	}
	for _, warning := range built.Warnings {
		log.Warn("configuration", zap.Error(warning))
	}
	for _, o := range built.Outputs {
		if s, ok := o.Sink.(*sinks.NFTables); ok {
			if err := s.Probe(cmd.Context()); err != nil {
				return err
			}
		}
	}
	if left := leftOver(cmd.Context(), cfg, built); len(left) > 0 && !f.dryRun && !f.once {
		log.Warn("an earlier run has left bans in back ends that no jail uses: banpipe flush lifts them", zap.Strings("sinks", left))
	}
	var names []string
	for _, j := range built.Jails {
		names = append(names, j.Name)
	}
	log.Info("started", zap.String("config", cfg.Path), zap.Strings("jails", names))
	if f.dryRun || f.once {
		defer closeSinks(built)
		err = built.Run(cmd.Context())
	} else {
		service := newService(f, cfg, built, opts, state, log)
		service.tells = tells
		if trial != nil {
			service.await(trial)
		}
		err = service.run(cmd.Context())
		built = service.now.Load().built
	}
	if err != nil || f.dryRun {
		return err
	}
	sayStopped(built, log)
	return nil
}

// settle says which configuration runs: the one before, if what is in the files was on trial, and its time is up.
func (f *runFlags) settle(cfg *configs.Config, log *zap.Logger) (*configs.Config, *trialFile) {
	if f.dryRun || f.once {
		return cfg, nil
	}
	before, trial, err := onTrial(cfg)
	if err != nil {
		log.Error("configuration", zap.Error(err))
	}
	if before == nil {
		return cfg, trial
	}
	log.Warn("the configuration was not confirmed in time: the one before runs", zap.String("config", cfg.Path))
	return before, nil
}

// sayStopped says how many bans stay, and how to lift them.
func sayStopped(built *configs.Built, log *zap.Logger) {
	live := 0
	for _, j := range built.Snapshot().Jails {
		live += j.Live
	}
	if timed := timed(built); len(timed) > 0 {
		log.Info("stopped: bans stay; those of some back ends end only when banpipe runs again; banpipe flush lifts all", zap.Int("bans", live), zap.Strings("no_end_by_themselves", timed))
		return
	}
	log.Info("stopped: bans stay in the kernel and end by themselves; banpipe flush lifts them", zap.Int("bans", live))
}

// timed are the sinks whose bans banpipe has to end.
func timed(b *configs.Built) (names []string) {
	for _, o := range b.Outputs {
		if e, ok := o.Sink.(*sinks.Expire); ok {
			names = append(names, e.Name())
		}
	}
	return names
}

// clock is what "now" means: the clock, what --now says, or with --once the last date of the logs.
func (f *runFlags) clock(cfg *configs.Config) (func() time.Time, error) {
	if f.now == "" && !f.once {
		return nil, nil // the clock
	}
	at, err := parseClock(f.now)
	if err != nil {
		return nil, err
	}
	if f.now == "" {
		at = lastDate(endsOf(cfg, f.jails), at)
	}
	return func() time.Time { return at }, nil
}
