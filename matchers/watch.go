package matchers

import (
	"context"
	"sync"

	"github.com/banpipe/banpipe/pipeline"
)

var _ pipeline.Stage = (*ShapeWatch)(nil)

// foreignLines is how many lines of a source must lack a filter's shape, from the first one on, before it
// is said that the filter may be looking at the wrong log.
const foreignLines = 1000

// A ShapeWatch notices a filter that looks at a log of another kind: the first thousand lines of a source have not
// the shape that the filter names. It stands between Parse and Match and may be shared by workers. Once a line
// has fitted, or the thousand are over, it looks at that source and jail no more; it changes nothing.
type ShapeWatch struct {
	Programs func(source string) *Program // as Match has it

	// Foreign is called once for a source and jail, by one goroutine at a time.
	Foreign func(source, jail, shape string, lines int)

	mu      sync.Mutex
	sources map[string][]foreign // the jails that are not decided
	text    []byte
}

// foreign counts the lines of one source and jail.
type foreign struct {
	jail  *jail
	lines int
}

// Process looks at the lines of b.
func (w *ShapeWatch) Process(_ context.Context, b *pipeline.Batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	open, known := w.sources[b.Source]
	if !known {
		open = w.jails(b.Source)
	}
	if known && len(open) == 0 {
		return nil
	}
	for i := range b.Records {
		if len(open) == 0 {
			break
		}
		r := &b.Records[i]
		w.text = append(append(w.text[:0], r.Line[:r.Date.Start]...), r.Line[r.Date.End:]...)
		kept := open[:0]
		for _, f := range open {
			if !w.decided(b.Source, &f) {
				kept = append(kept, f)
			}
		}
		open = kept
	}
	w.sources[b.Source] = open
	return nil
}

// jails are those of a source whose filters have a shape.
func (w *ShapeWatch) jails(source string) []foreign {
	if w.sources == nil {
		w.sources = map[string][]foreign{}
	}
	p := w.Programs(source)
	if p == nil {
		return nil
	}
	var open []foreign
	for _, j := range p.jails {
		if shapes[j.filter.Shape] != nil {
			open = append(open, foreign{jail: j})
		}
	}
	return open
}

// decided looks at the line in w.text for one jail and reports whether it knows enough.
func (w *ShapeWatch) decided(source string, f *foreign) bool {
	if hasShape(w.text, f.jail.filter.Shape) {
		return true
	}
	if f.lines++; f.lines < foreignLines {
		return false
	}
	w.Foreign(source, f.jail.name, f.jail.filter.Shape, f.lines)
	return true
}
