package configs

import (
	"maps"
	"slices"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/sinks"
)

// A BackEnd is a sink of a configuration without a service: what holds its bans can be asked, and told.
type BackEnd struct {
	Name string // in the configuration
	Sink interface {
		pipeline.Sink
		pipeline.Adopter
	}
	Lifts bool // false: a program of the user's own that cannot unban
}

// BackEnds are those of all sinks of c, also of those that no jail uses: what may be left of a run. Each is a
// *sinks.NFTables, one for each table, a *sinks.UFW, a *sinks.Exec or a *sinks.DenyFile, one for each path.
func BackEnds(c *Config) (all []BackEnd) {
	b := &builder{cfg: c, opts: BuildOptions{Store: &pipeline.MemStore{}}} // a service has a store, and so Exec its file
	known := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.Sinks)) {
		s := c.Sinks[name]
		sink := b.sink(name, s)
		if e, ok := sink.(*sinks.Expire); ok {
			sink = e.Sink
		}
		switch sink := sink.(type) {
		case *sinks.NFTables:
			if !known[s.Table] {
				known[s.Table] = true
				all = append(all, BackEnd{name, sink, true})
			}
		case *sinks.UFW:
			if !known[""] { // no table is called that
				known[""] = true
				all = append(all, BackEnd{name, sink, true})
			}
		case *sinks.DenyFile:
			if !known[s.Path] {
				known[s.Path] = true
				all = append(all, BackEnd{name, sink, true})
			}
		case *sinks.Exec:
			all = append(all, BackEnd{name, sink, sink.Lifts()})
		}
	}
	return all
}
