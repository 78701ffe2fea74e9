package configs

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/sinks"
	"github.com/banpipe/banpipe/sources"
)

// BuildOptions says what to make of a configuration. Its zero value builds the service.
type BuildOptions struct {
	Jails []string  // run these, enabled or not; none: those that are enabled
	Stdin io.Reader // read by all these jails, beside the logs that the configuration names; nil: not read

	Journal []string // the command that reads the journal, with its first arguments; nil means journalctl

	Once   bool      // every source ends at its end
	Since  time.Time // from when on the journal is read, where no cursor says; zero: as far back as the jails' findtime
	DryRun bool      // print the actions instead of carrying them out
	Out    io.Writer // where DryRun prints; nil means standard output
	JSON   bool      // DryRun prints objects

	// Strict makes an error of whatever keeps a jail from running as it is configured. Otherwise such a jail is left
	// out. A log that is not there is waited for in any case, with a warning; with Once it is a problem.
	Strict bool

	Workers int                                                          // lines are matched by so many at once; 0 means one per processor
	Store   pipeline.Store                                               // what outlives a restart; nil: nothing does
	Own     func() []netip.Prefix                                        // this machine's addresses, gateways and resolvers; nil means Own()
	Proxies func() []pipeline.Proxy                                      // what stands for others; nil means the bridges of this machine's containers, unless Own is set
	LookUp  func(ctx context.Context, host string) ([]netip.Addr, error) // nil asks the resolver
	Now     func() time.Time                                             // the clock of everything; nil means time.Now
	Logger  *zap.Logger                                                  // nil means no logs
}

// A Built is a pipeline that is ready to Run, and what became of the configuration in it.
type Built struct {
	// Its stages are matchers.Docker, matching (concurrent, with the dates found), matchers.Session,
	// pipeline.Window and pipeline.Decide, in this order: a stage of your own goes behind the third.
	*pipeline.Pipeline

	Jails    []*Jail          // that run, by name; copies, with the logs that they really read
	Problems Errors           // why others do not run, or not all of what these are to do; nil if all is well
	Warnings Errors           // what is odd, and may be meant; nil if nothing is
	Counts   *matchers.Counts // what the matchers have seen

	foreign  *foreignLogs
	programs *programs
	frontier *frontier
}

// Foreign says, in sentences, which logs have never had a line of the kind that a jail's filter reads.
func (b *Built) Foreign() []string { return b.foreign.all() }

// Waiting says, in sentences, which logs are not there now.
func (b *Built) Waiting() (all []string) {
	for _, j := range b.Jails {
		if missing := j.missing(); len(missing) > 0 {
			all = append(all, fmt.Sprintf("jail %s waits for its log: %s not there", j.Name, missing.are()))
		}
	}
	return all
}

// SlowRules lists the rules of the logs that have been read which need more than the linear engine, or have had too
// many states for their lines.
func (b *Built) SlowRules() []matchers.Note { return append(b.programs.slow(), b.Counts.Left()...) }

// Build makes the pipeline that a configuration describes. It touches no firewall and, without
// Strict, opens no log. It
// looks host names in ignoreip up, which takes 5 s at most. An error that is an Errors tells mistakes one by
// one; without Strict it is an error only if no jail is left to run.
func Build(cfg *Config, opts BuildOptions) (*Built, error) {
	b := &builder{cfg: cfg, opts: opts}
	if err := b.choose(); err != nil {
		return nil, err
	}
	running := b.jails[:0]
	for _, j := range b.jails {
		if b.jail(j) {
			running = append(running, j)
		}
	}
	b.jails = running
	b.tables()
	if opts.Strict {
		b.wrongLogs()
	}
	if err := b.problems.err(); err != nil && (opts.Strict || len(b.jails) == 0) {
		return nil, err
	}
	b.odd, b.programs = &foreignLogs{}, newPrograms(b.jails)
	built := &Built{
		Jails: b.jails, Problems: b.problems, Warnings: b.warnings, Counts: &matchers.Counts{},
		foreign: b.odd, programs: b.programs,
	}
	built.Pipeline = &pipeline.Pipeline{
		Sources: b.sources(), Stages: b.stages(built.Counts), Outputs: b.outputs(),
		Store: opts.Store, Now: opts.Now, Logger: opts.Logger,
	}
	built.frontier = b.frontier
	return built, nil
}

// A builder is one Build.
type builder struct {
	cfg      *Config
	opts     BuildOptions
	jails    []*Jail // copies
	ignore   map[string][]netip.Prefix
	trusted  map[string][]netip.Prefix
	problems Errors
	warnings Errors
	odd      *foreignLogs
	programs *programs
	frontier *frontier
}

// choose picks the jails to run.
func (b *builder) choose() error {
	names := slices.Sorted(slices.Values(b.opts.Jails))
	if len(names) == 0 {
		for name, j := range b.cfg.Jails {
			if j.Enabled {
				names = append(names, name)
			}
		}
		slices.Sort(names)
	}
	if len(names) == 0 {
		return Errors{{File: b.cfg.Path, Msg: "no jail is enabled", Hint: "set enabled = true in [jails.sshd], say, or name one with --jail sshd"}}
	}
	b.ignore, b.trusted = map[string][]netip.Prefix{}, map[string][]netip.Prefix{}
	for _, name := range slices.Compact(names) {
		j := b.cfg.Jails[name]
		if j == nil {
			return Errors{mistake(didYouMean(name, keysOf(b.cfg.Jails)), "there is no jail %q", name)}
		}
		own := *j
		b.jails = append(b.jails, &own)
	}
	b.alone()
	return nil
}

// sources are one follower for all files, each named pipe, the journal once per match, and the stream.
func (b *builder) sources() []pipeline.Source {
	var all []pipeline.Source
	paths := b.paths()
	for _, path := range paths {
		if isFIFO(path) {
			all = append(all, sources.NewFIFO(path, b.opts.Once))
		}
	}
	if paths = slices.DeleteFunc(paths, isFIFO); len(paths) > 0 {
		opt := sources.FilesOptions{Paths: paths, Once: b.opts.Once, Logger: b.opts.Logger, Now: b.opts.Now}
		if !b.opts.Once {
			start := newStart(b)
			opt.From, opt.DateOf = start.from, start.dateOf
		}
		all = append(all, sources.NewFiles(opt))
	}
	all = append(all, b.journals()...)
	if b.opts.Stdin != nil {
		all = append(all, sources.NewReader(stdin, b.opts.Stdin))
	}
	return all
}

func (b *builder) paths() []string {
	var paths []string
	for _, j := range b.jails {
		paths = append(paths, j.LogPath...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// stages are what a batch passes.
func (b *builder) stages(counts *matchers.Counts) []pipeline.Stage {
	limits := make(map[string]pipeline.Jail, len(b.jails))
	for _, j := range b.jails {
		limit := j.Policy()
		limit.Ignore, limit.Trusted = b.ignore[j.Name], b.trusted[j.Name]
		limits[j.Name] = limit
	}
	own, proxies := b.opts.Own, b.opts.Proxies
	if own == nil {
		m := newMachine()
		own = m.ownNow
		if proxies == nil {
			proxies = m.bridgesNow
		}
	}
	p := b.programs
	b.frontier = b.newFrontier(proxies)
	clients := b.frontier.clients
	watch := &matchers.ShapeWatch{Programs: p.of, Foreign: b.foreign}
	workers := b.opts.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	stages := []pipeline.Stage{
		&matchers.Docker{},
		pipeline.Concurrent(workers, func() pipeline.Stage {
			parse, match := &matchers.Parse{Programs: p.of}, &matchers.Match{Programs: p.of, Counts: counts}
			return pipeline.StageFunc(func(ctx context.Context, batch *pipeline.Batch) error {
				if err := parse.Process(ctx, batch); err != nil {
					return err
				}
				if err := watch.Process(ctx, batch); err != nil {
					return err
				}
				clients.Before(ctx, batch)
				if err := match.Process(ctx, batch); err != nil {
					return err
				}
				clients.After(ctx, batch)
				return nil
			})
		}),
		&matchers.Session{Programs: p.of},
		&pipeline.Window{Jails: limits, Own: own, Now: b.opts.Now},
		&pipeline.Decide{Jails: limits, Own: own, Proxies: b.frontier.proxies, Memory: time.Duration(b.cfg.History), Notice: b.notice(), Now: b.opts.Now, Logger: b.opts.Logger},
	}
	if slices.ContainsFunc(b.jails, func(j *Jail) bool { return j.Loaded.UseDNS == "yes" || j.Loaded.UseDNS == "warn" }) {
		stages = slices.Insert(stages, 2, pipeline.Stage(&matchers.Names{Counts: counts, Now: b.opts.Now})) // between Match and Session
	}
	return stages
}

// notice is how long a jail waits that has said whom it would ban for lines from before its first start: long enough to read
// it and to do something. Who only wants to see what a log comes to is not kept waiting.
func (b *builder) notice() time.Duration {
	if b.opts.Once || b.opts.DryRun {
		return 0
	}
	return 30 * time.Second
}

// outputs are the sinks that the jails name, each once.
func (b *builder) outputs() []pipeline.Output {
	if b.opts.DryRun {
		out := b.opts.Out
		if out == nil {
			out = os.Stdout
		}
		return []pipeline.Output{{Sink: &sinks.Writer{W: out, JSON: b.opts.JSON}, Observe: true}}
	}
	jails := map[string][]string{}
	for _, j := range b.jails {
		for _, name := range j.BanAction {
			if !slices.Contains(jails[name], j.Name) {
				jails[name] = append(jails[name], j.Name)
			}
		}
	}
	var outputs []pipeline.Output
	for _, name := range slices.Sorted(maps.Keys(jails)) {
		outputs = append(outputs, pipeline.Output{Sink: b.sink(name, b.cfg.Sinks[name]), Jails: jails[name]})
	}
	return outputs
}

func (b *builder) sink(name string, s Sink) pipeline.Sink {
	switch s.Type {
	case "ufw":
		kill := s.Kill
		if kill == "none" {
			kill = ""
		}
		return &sinks.Expire{Now: b.opts.Now, Logger: b.opts.Logger, Sink: &sinks.UFW{
			Kill: kill, MaxRules: s.MaxRules, Timeout: time.Duration(s.Timeout), Logger: b.opts.Logger,
		}}
	case "denyfile":
		return &sinks.Expire{Now: b.opts.Now, Logger: b.opts.Logger, Sink: &sinks.DenyFile{
			Label: name, Path: s.Path, Map: s.Lines == "map", Reload: s.Reload, Every: time.Duration(s.Every),
			Timeout: time.Duration(s.Timeout), MaxBans: s.MaxRules, Now: b.opts.Now, Logger: b.opts.Logger,
		}}
	case "exec":
		state := "" // without a store nothing outlives a restart
		if b.opts.Store != nil {
			state = filepath.Join(b.cfg.StateDir, "sink-"+url.PathEscape(name)+".json")
		}
		return &sinks.Expire{Now: b.opts.Now, Logger: b.opts.Logger, Sink: &sinks.Exec{
			Label: name, Ban: s.Ban, Unban: s.Unban, MaxBans: s.MaxRules, Timeout: time.Duration(s.Timeout), State: state,
			Now: b.opts.Now, Logger: b.opts.Logger,
		}}
	}
	priority := int32(s.Priority)
	if priority == 0 {
		priority = -1 // sinks.NFTables takes 0 for its default
	}
	return &sinks.NFTables{
		Table: s.Table, Hook: s.Hook, Priority: priority, KeepOutgoing: s.KeepOutgoing, Policy: s.Policy,
		Logger: b.opts.Logger, Now: b.opts.Now,
	}
}
