package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/configs"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/sinks"
)

// place is what a sink bans in: two with the same place are one back end.
func place(s pipeline.Sink) string {
	if e, ok := s.(*sinks.Expire); ok {
		s = e.Sink
	}
	switch s := s.(type) {
	case *sinks.NFTables:
		return "table " + s.Table
	case *sinks.UFW:
		return "ufw"
	case *sinks.DenyFile:
		return "file " + s.Path
	default:
		return "sink " + s.Name()
	}
}

// droppedBackEnds are those that the old configuration bans in, and the new one does not.
func droppedBackEnds(old, to *configs.Built) (dropped []pipeline.Sink) {
	used := make(map[string]bool)
	for _, o := range to.Outputs {
		used[place(o.Sink)] = true
	}
	for _, o := range old.Outputs {
		if !used[place(o.Sink)] {
			dropped = append(dropped, o.Sink)
		}
	}
	return dropped
}

// emptyTime is how long the emptying of a back end may take: ufw deletes three rules a second.
const emptyTime = 10 * time.Minute

// empty lifts the bans in back ends that no jail uses any more: nobody would end them.
func (s *service) empty(dropped []pipeline.Sink) {
	ctx, cancel := context.WithTimeout(context.Background(), emptyTime)
	defer cancel()
	for _, sink := range dropped {
		if e, ok := sink.(*sinks.Expire); ok {
			sink = e.Sink
		}
		var err error
		switch sink := sink.(type) {
		case *sinks.NFTables:
			_, err = sink.Flush(ctx)
		case interface {
			Flush(context.Context) (int, error)
		}:
			_, err = sink.Flush(ctx)
		}
		if err != nil {
			s.log.Error("bans stay in a back end that no jail uses any more: banpipe flush, with the old configuration, lifts them", zap.String("sink", sink.Name()), zap.Error(err))
			continue
		}
		s.log.Info("no jail uses this back end any more: it is emptied", zap.String("sink", sink.Name()))
	}
}

// leftOver names the sinks in which an earlier run has left bans, and which no jail uses now: nobody ends those.
func leftOver(ctx context.Context, cfg *configs.Config, built *configs.Built) (names []string) {
	used := make(map[string]bool)
	for _, o := range built.Outputs {
		used[place(o.Sink)] = true
	}
	for _, b := range configs.BackEnds(cfg) {
		switch s := b.Sink.(type) {
		case *sinks.NFTables: // its bans end by themselves
			continue
		case *sinks.UFW:
			if !s.Marked() {
				continue
			}
		}
		if used[place(b.Sink)] {
			continue
		}
		if held, err := b.Sink.Held(ctx); err == nil && len(held) > 0 {
			names = append(names, b.Name)
		}
	}
	return names
}
