package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/store"
)

// An idle source has nothing to say: the pipeline of a service without its logs.
type idle struct{}

func (idle) Name() string { return "none" }

func (idle) Read(ctx context.Context, _ *pipeline.Batch) error {
	<-ctx.Done()
	return ctx.Err()
}

// liftSaved lifts the picked bans in the saved state, for when no service runs: the next one would put them back. It touches no
// back end, and returns what it has lifted. Without a configuration file nobody knows whose state that would be.
func liftSaved(ctx context.Context, cfg *configs.Config, stderr io.Writer, pick func(pipeline.Action) bool) (lifted []pipeline.Action, err error) {
	path := filepath.Join(cfg.StateDir, "banpipe.db")
	if _, err := os.Stat(path); cfg.Path == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	log, err := newLogger(configs.Log{Level: "warn", Format: "console"}, false, zapcore.AddSync(stderr))
	if err != nil {
		return nil, err
	}
	state, err := store.Open(path, store.Options{History: time.Duration(cfg.History), Logger: log})
	if err != nil {
		return nil, err
	}
	defer state.Close()
	built, err := configs.Build(cfg, configs.BuildOptions{Store: state, Jails: slices.Collect(maps.Keys(cfg.Jails))})
	if err != nil {
		return nil, err
	}
	p := built.Pipeline
	p.Sources, p.Outputs = []pipeline.Source{idle{}}, nil
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	for err = pipeline.ErrNotRunning; errors.Is(err, pipeline.ErrNotRunning); err = p.Do(ctx) {
		select {
		case err := <-ended:
			return nil, fmt.Errorf("saved state: %w", err)
		case <-time.After(time.Millisecond):
		}
	}
	for a := range p.Live() {
		if a.Op == pipeline.Ban && pick(a) {
			lifted = append(lifted, pipeline.Action{Op: pipeline.Unban, Prefix: a.Prefix, Jail: a.Jail, Reason: "by hand"})
		}
	}
	err = errors.Join(err, p.Do(ctx, lifted...))
	cancel()
	return lifted, errors.Join(err, <-ended)
}
