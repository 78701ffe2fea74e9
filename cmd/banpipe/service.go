package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
	"github.com/banpipe/banpipe/pipeline/store"
	"github.com/banpipe/banpipe/sinks"
	"github.com/banpipe/banpipe/sources"
)

// A service is a pipeline that can be looked at, and replaced by one of a new configuration, while it runs.
type service struct {
	path  string               // of the configuration, as it was named; "" is the usual place
	opts  configs.BuildOptions // for every pipeline
	state *store.Store
	log   *zap.Logger
	start time.Time
	stats pipeline.Stats // of all pipelines, one after the other
	tells bool           // every offence is logged

	now      atomic.Pointer[running]
	next     chan *handover
	reload   sync.Mutex // one at a time
	trial    *trialFile
	confirms atomic.Pointer[time.Time] // until when the configuration is on trial
	revert   *time.Timer
	emptying sync.WaitGroup // back ends that no jail uses any more
}

// A running is a configuration and what was built of it.
type running struct {
	cfg   *configs.Config
	built *configs.Built
	files tree // what cfg was read from
}

// A handover replaces the pipeline that runs.
type handover struct {
	to     *running
	answer chan error // has room for one
}

func newService(f *runFlags, cfg *configs.Config, built *configs.Built, opts configs.BuildOptions, state *store.Store, log *zap.Logger) *service {
	s := &service{path: f.config, opts: opts, state: state, log: log, start: time.Now(), next: make(chan *handover)}
	s.opts.Strict = true // of what is loaded from now on
	built.Stats = &s.stats
	s.now.Store(&running{cfg: cfg, built: built, files: readTree(cfg.Path)})
	return s
}

// run serves until ctx is done, every source has ended, or the pipeline fails.
func (s *service) run(ctx context.Context) error {
	stop := s.serve()
	defer stop()
	defer s.onHangup(ctx)()
	defer s.emptying.Wait()
	for {
		running, cancel := context.WithCancel(ctx)
		built := s.now.Load().built
		done := make(chan error, 1)
		go func() { done <- built.Run(running) }()
		var to *handover
		var err error
		select {
		case err = <-done:
		case to = <-s.next:
			cancel()
			err = <-done
		}
		cancel()
		if err == nil && to != nil && ctx.Err() == nil {
			handOver(built, to.to.built)
			handOverSinks(built, to.to.built)
			s.stats.Keep(to.to.reads)
			if dropped := droppedBackEnds(built, to.to.built); len(dropped) > 0 {
				s.emptying.Go(func() { s.empty(dropped) })
			}
			s.now.Store(to.to)
			to.answer <- nil
			continue
		}
		if to != nil {
			to.answer <- errors.Join(errors.New("the service is ending"), err)
		}
		closeSinks(s.now.Load().built)
		return err
	}
}

// onHangup reloads at SIGHUP, which is what service managers send.
func (s *service) onHangup(ctx context.Context) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(ended)
		for {
			select {
			case <-hangups:
				if _, err := s.reloadNow(ctx, 0); err != nil {
					s.log.Error("not reloaded: the old configuration runs on", zap.Error(err))
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		cancel()
		<-ended
	}
}

func closeSinks(b *configs.Built) {
	for _, o := range b.Outputs {
		if c, ok := o.Sink.(io.Closer); ok {
			c.Close()
		}
	}
}

// serve opens the control socket. Banning goes on without it.
func (s *service) serve() (stop func()) {
	path := s.now.Load().cfg.Socket
	if path == "" {
		return func() {}
	}
	l, err := listenControl(path)
	if err != nil {
		s.log.Error("no control socket: the service can be neither looked at nor steered", zap.Error(err))
		return func() {}
	}
	log := s.log.Named("control")
	server := controlServer(s.handler(log), log)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("control socket", zap.Error(err))
		}
	}()
	return func() {
		server.Close()
		<-ended
	}
}

func (s *service) handler(log *zap.Logger) http.Handler {
	return &control.Handler{
		Pipeline: func() *pipeline.Pipeline { return s.now.Load().built.Pipeline },
		Version:  version(), Config: s.now.Load().cfg.Path, Started: s.start,
		BanTime: func() time.Duration { return time.Duration(s.now.Load().cfg.Defaults.BanTime) },
		Jails:   s.jails, Behind: s.behind, Dropped: s.dropped, Warnings: s.warnings,
		Slow:     func() int { return len(s.now.Load().built.SlowRules()) },
		Matching: s.matching,
		History:  s.state.History, Flush: s.flush,
		Reload: s.reloadNow, Confirm: s.confirm, Confirms: s.confirmUntil,
		Who: who, Logger: log,
	}
}

func (s *service) jails() map[string]control.JailInfo {
	infos := make(map[string]control.JailInfo)
	for _, j := range s.now.Load().built.Jails {
		infos[j.Name] = control.JailInfo{Filter: j.Loaded.Name, LogPath: j.LogPath, Journal: j.Journal()}
	}
	return infos
}

// behind is what the sources have not read yet.
func (s *service) behind() map[string]control.Lag {
	all := make(map[string]control.Lag)
	for _, src := range s.now.Load().built.Sources {
		counted, ok := src.(interface{ Stats() []sources.Stats })
		if !ok {
			continue
		}
		for _, st := range counted.Stats() {
			all[st.Source] = control.Lag{Bytes: st.Lag, Age: st.Behind}
		}
	}
	return all
}

func (s *service) kernels() (all []*sinks.NFTables) {
	for _, o := range s.now.Load().built.Outputs {
		if n, ok := o.Sink.(*sinks.NFTables); ok {
			all = append(all, n)
		}
	}
	return all
}

func (s *service) dropped(ctx context.Context) (packets, bytes uint64, err error) {
	for _, n := range s.kernels() {
		p, b, err := n.Dropped(ctx)
		if err != nil {
			return 0, 0, err
		}
		packets, bytes = packets+p, bytes+b
	}
	return packets, bytes, nil
}

func (s *service) flush(ctx context.Context) (removed int, err error) {
	for _, n := range s.kernels() {
		gone, err := n.Flush(ctx)
		if err != nil {
			return removed, err
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

// warnings are those that take a look at the configuration.
func (s *service) warnings() []string {
	now := s.now.Load()
	var all []string
	for _, p := range now.built.Problems {
		all = append(all, "configuration: "+strings.ReplaceAll(p.Error(), "\n", "; "))
	}
	all = append(all, now.built.Waiting()...)
	all = append(all, now.built.Foreign()...)
	all = append(all, now.built.Proxied()...)
	if n := now.built.Counts.OddDates.Load(); n > 0 {
		all = append(all, fmt.Sprintf("%d offences had a date more than a minute off when they were written, and were counted as of then: a log in another time zone? logtimezone in the jail cures it", n))
	}
	for _, n := range now.built.Counts.Left() {
		all = append(all, n.String())
	}
	if n := now.built.Counts.SlowFailed.Load(); n > 0 {
		all = append(all, fmt.Sprintf("%d lines were given up on the slow path of a rule: banpipe test shows what each rule costs", n))
	}
	return all
}

// matching is what took another way than one pass over a line.
func (s *service) matching() control.Matching {
	c := s.now.Load().built.Counts
	return control.Matching{
		Backtracked: c.Backtracked.Load(), Confirmed: c.Confirmed.Load(), GivenUp: c.SlowFailed.Load(),
		Flushes: c.Flushes.Load(), Splits: c.Splits.Load(),
	}
}

// names are the jails of a pipeline.
func names(b *configs.Built) []string {
	infos := make(map[string]bool)
	for _, j := range b.Jails {
		infos[j.Name] = true
	}
	return slices.Sorted(maps.Keys(infos))
}
