package matchers

import (
	"bytes"
	"context"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// accessShapes are the shapes of logs with a line for every request, whose lines name the client in the first or second
// word, or in the first field with an address of those that the filter reads.
var accessShapes = []string{"access", "nginx", "python", "json"}

// unsureLines is how many lines are looked at before a log whose filters do not say of what kind it is, since a jail has
// its own failregex, is taken for none of a web server.
const unsureLines = 20

// accessOnly is the shape of such a log.
var accessOnly = regexp.MustCompile(accessShape)

// One line in so many is looked at, and counts for all of them: shares need no more. Lines of JSON take some hundred
// nanoseconds each to take apart.
const (
	plainSample = 4
	jsonSample  = 8
)

// Clients counts who a web server's log says its clients are, and so finds a proxy that hides them. It sees every line before
// Match and its offences behind it: Before and After are called for the same batch, around Match, by any number of
// workers. Of each source it remembers one address, the only one that can have more than half of the lines (Boyer and Moore's
// majority vote), by a sample: a line costs some nanoseconds and allocates nothing.
type Clients struct {
	Programs func(source string) *Program // as Match has it
	Changed  func(source string, addr netip.Addr, held bool)
	Past     func(source string) [][]byte // lines from before, looked at first, so that a quiet log need not grow; nil: none

	held    atomic.Pointer[[]Held]
	mu      sync.Mutex
	sources map[string]*client // nil: not a web server's log
}

// Held is an address that has most lines of a log, and that is no attacker.
type Held struct {
	Source string
	Addr   netip.Addr
}

// Before counts the lines of a batch.
func (c *Clients) Before(ctx context.Context, b *pipeline.Batch) {
	if len(b.Records) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recall(ctx, b.Source)
	c.before(b)
}

// Look looks at the lines from before of a source of which nothing has come yet.
func (c *Clients) Look(ctx context.Context, source string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recall(ctx, source)
}

// recall looks at the lines from before of a source that is new, as if they came now.
func (c *Clients) recall(ctx context.Context, source string) {
	if _, known := c.sources[source]; known || c.source(source) == nil || c.Past == nil {
		return
	}
	parse, match := &Parse{Programs: c.Programs}, &Match{Programs: c.Programs}
	for lines := range slices.Chunk(c.Past(source), 256) {
		b := &pipeline.Batch{Source: source}
		for _, line := range lines {
			b.Append(line, time.Now())
		}
		if parse.Process(ctx, b) != nil {
			return
		}
		c.before(b)
		if match.Process(ctx, b) != nil {
			return
		}
		c.after(b)
	}
}

func (c *Clients) before(b *pipeline.Batch) {
	k := c.source(b.Source)
	if k == nil {
		return
	}
	if k.unsure > 0 && !k.looksRight(b) {
		if k.unsure == 0 {
			c.sources[b.Source] = nil
		}
		return
	}
	lost := func() { c.change(b.Source, k, false) }
	i := k.skip
	for i < len(b.Records) {
		r, n := &b.Records[i], plainSample
		if k.json == nil || len(r.Line) == 0 || r.Line[jsonAt(r)] != '{' {
			k.count(k.field(r), n, lost)
		} else {
			n = jsonSample
			k.count(k.jsonField(r.Line[jsonAt(r):]), n, lost)
		}
		i += n
	}
	k.skip = i - len(b.Records)
}

// After counts its offences.
func (c *Clients) After(_ context.Context, b *pipeline.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.after(b)
}

func (c *Clients) after(b *pipeline.Batch) {
	k := c.sources[b.Source]
	if k == nil || !k.addr.IsValid() {
		return
	}
	var last *byte // a line that offends in two jails is one
	for i := range b.Records {
		r := &b.Records[i]
		if r.Kind == pipeline.Hit && r.Addr == k.addr && len(r.Line) > 0 && &r.Line[0] != last {
			last = &r.Line[0]
			k.hits++
		}
	}
	if held := k.isProxy(); held != k.held {
		c.change(b.Source, k, held)
	}
}

// Held lists the proxies. It may be called at any time; the slice is the same while nothing changes.
func (c *Clients) Held() []Held {
	if all := c.held.Load(); all != nil {
		return *all
	}
	return nil
}

// source is what is known of one; nil if it is no web server's log.
func (c *Clients) source(name string) *client {
	k, known := c.sources[name]
	if known {
		return k
	}
	if c.sources == nil {
		c.sources = map[string]*client{}
	}
	p := c.Programs(name)
	has := func(shapes ...string) bool {
		return p != nil && slices.ContainsFunc(p.jails, func(j *jail) bool { return slices.Contains(shapes, j.filter.Shape) })
	}
	switch {
	case has(accessShapes...):
		k = &client{}
		if i := slices.IndexFunc(p.views, func(v *view) bool { return v.json != nil }); i >= 0 {
			k.json = p.views[i].json
		}
	case has(""):
		k = &client{unsure: unsureLines}
	}
	c.sources[name] = k
	return k
}

func (c *Clients) change(source string, k *client, held bool) {
	if k.held == held {
		return
	}
	k.held = held
	var all []Held
	for name, k := range c.sources {
		if k != nil && k.held {
			all = append(all, Held{name, k.addr})
		}
	}
	slices.SortFunc(all, func(a, b Held) int { return bytes.Compare([]byte(a.Source), []byte(b.Source)) })
	c.held.Store(&all)
	c.Changed(source, k.addr, held)
}
