package matchers

import (
	"context"

	"github.com/banpipe/banpipe/pipeline"
)

var _ pipeline.Stage = (*Parse)(nil)

// Parse finds the date of each line and sets Record.Date; nothing is decoded. It goes by the dates that
// the source's jails expect, those of the first jail where they differ. It remembers for each source which
// form of date its lines have, and nothing that another instance would need: it may run in
// pipeline.Concurrent, each worker with an instance of its own.
type Parse struct {
	// Programs says which program a source's lines are for; nil leaves them alone. It is asked once per
	// source name and instance.
	Programs func(source string) *Program

	sources map[string]*Finder
}

// Process finds the dates in b.
func (p *Parse) Process(_ context.Context, b *pipeline.Batch) error {
	if len(b.Records) == 0 {
		return nil
	}
	f := p.finder(b.Source)
	if f == nil {
		return nil
	}
	for i := range b.Records {
		if r := &b.Records[i]; !r.Dated {
			r.Date, _ = f.Find(r.Line)
		}
	}
	return nil
}

func (p *Parse) finder(source string) *Finder {
	f, known := p.sources[source]
	if known {
		return f
	}
	if program := p.Programs(source); program != nil && len(program.views) > 0 {
		f = program.views[0].dates.Finder()
	}
	if p.sources == nil {
		p.sources = map[string]*Finder{}
	}
	p.sources[source] = f
	return f
}
