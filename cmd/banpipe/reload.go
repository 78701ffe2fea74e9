package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
	"github.com/banpipe/banpipe/sinks"
)

// reloadNow loads and builds the configuration as its files are now, and only if all is well lets the pipeline that
// runs drain and the new one go on over the same state. With confirm the old one comes back after that time.
func (s *service) reloadNow(ctx context.Context, confirm time.Duration) (control.Reloaded, error) {
	s.reload.Lock()
	defer s.reload.Unlock()
	cfg, err := load(s.path)
	if err != nil {
		return control.Reloaded{}, err
	}
	old := s.now.Load()
	to, err := s.build(old, cfg)
	if err != nil {
		return control.Reloaded{}, err
	}
	out := control.Reloaded{Jails: names(to.built), Notes: notes(old.cfg, cfg), Lifted: lifted(old, to)}
	for _, w := range to.built.Warnings {
		out.Notes = append(out.Notes, w.Error())
	}
	if confirm > 0 {
		before := old
		if s.trial != nil && s.confirms.Load() != nil {
			before = nil // a second try: the one before the first is what comes back
		}
		until := time.Now().Add(confirm)
		if err := s.beginTrial(before, to, until); err != nil {
			return control.Reloaded{}, fmt.Errorf("nothing is changed, since the old configuration cannot be kept: %w", err)
		}
		out.ConfirmUntil = &until
	}
	if err := s.switchTo(ctx, to); err != nil {
		if confirm > 0 {
			s.endTrial()
		}
		return control.Reloaded{}, err
	}
	if confirm == 0 {
		s.endTrial()
	}
	s.log.Info("reloaded", zap.String("config", cfg.Path), zap.Strings("jails", out.Jails), zap.Int("lifted", out.Lifted), zap.Duration("on_trial_for", confirm))
	return out, nil
}

// build makes a pipeline that can follow the one that runs.
func (s *service) build(old *running, cfg *configs.Config) (*running, error) {
	if s.state == nil {
		return nil, errors.New("nothing is kept over a reload in this mode: restart instead")
	}
	if why := old.built.Snapshot().State.Error; why != "" {
		return nil, fmt.Errorf("the state cannot be saved, so that a reload would lose what was counted: %s", why)
	}
	if cfg.StateDir != old.cfg.StateDir {
		return nil, fmt.Errorf("state_dir was %s and is %s now: that takes a restart", old.cfg.StateDir, cfg.StateDir)
	}
	built, err := configs.Build(cfg, s.opts)
	if err != nil {
		return nil, err
	}
	built.Stats = &s.stats
	if s.tells {
		logFound(built, s.log)
	}
	return &running{cfg: cfg, built: built, files: readTree(cfg.Path)}, nil
}

// handOver lets the sources that are the same in both go on as they are, and closes the others. What cannot be resumed is
// handed over in any case; if the state could not be saved at the end, what can be is resumed, where the state stands.
func handOver(old, to *configs.Built) {
	saved := old.Snapshot().State.Error == ""
	for _, was := range old.Sources {
		_, resumes := was.(pipeline.Resumer)
		i := slices.IndexFunc(to.Sources, func(src pipeline.Source) bool {
			if f, ok := src.(interface{ Follows(pipeline.Source) bool }); ok {
				return saved && f.Follows(was)
			}
			return !resumes && src.Name() == was.Name()
		})
		if i >= 0 {
			to.Sources[i] = was
		} else if c, ok := was.(io.Closer); ok {
			c.Close()
		}
	}
}

// reads reports whether a pipeline has a source of that name, as Batch.Source has it.
func (r *running) reads(name string) bool {
	if slices.ContainsFunc(r.built.Sources, func(src pipeline.Source) bool { return src.Name() == name }) {
		return true
	}
	path, isFile := strings.CutPrefix(name, "file:")
	return isFile && slices.ContainsFunc(r.built.Jails, func(j *configs.Jail) bool {
		return slices.ContainsFunc(j.LogPath, func(pattern string) bool {
			matches, _ := filepath.Match(pattern, path)
			return matches || filepath.Clean(pattern) == path
		})
	})
}

// handOverSinks lets tables that are the same in both go on, with their counters, and closes the other sinks: those are
// synchronised at the start of the new pipeline.
func handOverSinks(old, to *configs.Built) {
	for _, was := range old.Outputs {
		i := slices.IndexFunc(to.Outputs, func(o pipeline.Output) bool {
			n, ok := o.Sink.(*sinks.NFTables)
			before, table := was.Sink.(*sinks.NFTables)
			return ok && table && n.Same(before)
		})
		if i >= 0 {
			to.Outputs[i].Sink = was.Sink
		} else if c, ok := was.Sink.(io.Closer); ok {
			c.Close()
		}
	}
}

func (s *service) switchTo(ctx context.Context, to *running) error {
	s.emptying.Wait() // the new one may use again what is being emptied
	h := &handover{to: to, answer: make(chan error, 1)}
	select {
	case s.next <- h:
	case <-ctx.Done():
		return fmt.Errorf("the service is busy: %w", ctx.Err())
	}
	return <-h.answer
}

// lifted counts the bans that the new ignoreip or trusted_proxies cover: the new pipeline does not take them over.
func lifted(old, to *running) (n int) {
	spared := make(map[string][]netip.Prefix)
	for _, stage := range to.built.Stages {
		if d, ok := stage.(*pipeline.Decide); ok {
			for name, j := range d.Jails {
				spared[name] = slices.Concat(j.Ignore, j.Trusted)
			}
		}
	}
	for a := range old.built.Live() {
		if a.Op == pipeline.Ban && slices.ContainsFunc(spared[a.Jail], a.Prefix.Overlaps) {
			n++
		}
	}
	return n
}

// notes says what a reload leaves as it was.
func notes(was, is *configs.Config) (all []string) {
	for _, c := range []struct {
		name    string
		changed bool
	}{
		{"socket", was.Socket != is.Socket},
		{"[log]", was.Log != is.Log},
		{"history", was.History != is.History},
	} {
		if c.changed {
			all = append(all, c.name+" has changed: that takes effect with the next start")
		}
	}
	return all
}
