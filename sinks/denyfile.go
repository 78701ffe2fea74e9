package sinks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// DenyFile bans in a web server behind a proxy, where every packet is the proxy's and only the server knows the client: it
// writes the file that the server reads, and has the server read it.
//
//	deny 192.0.2.7; # nginx-404 until 2026-11-22T07:23:11Z     for include in nginx's http, server or location
//	192.0.2.7 1; # nginx-404 until 2026-11-22T07:23:11Z        for include in nginx's geo (or, hosts only, map)
//
// The file is replaced as a whole and keeps its owner and mode; what is not DenyFile's own is never overwritten. It is the
// state, too: the comments say for what port and how long each address is denied. A server denies on all of its ports.
//
// Reload runs when the file says something new, once for whatever came meanwhile, and not sooner than Every after the
// last time: nginx keeps old workers until their last connection ends. What fails is tried again. Wrap it in Expire, which ends
// the bans.
type DenyFile struct {
	Label  string        // its name; "" means "denyfile"
	Path   string        // the file, in a folder that exists; a symlink is followed
	Map    bool          // lines for geo or map, not for deny
	Reload []string      // the program that has the server read the file, and its arguments; none: it looks by itself
	Every  time.Duration // between two reloads; 0 means 5 s

	Timeout time.Duration    // for Reload; 0 means 10 s
	MaxBans int              // addresses at most; 0 means 10,000
	Now     func() time.Time // the clock that Until is read by; nil means time.Now
	Logger  *zap.Logger      // nil means no logs

	mu sync.Mutex
	// guarded by mu
	held     map[banKey]*entry // what the file says; nil: it was not read yet
	text     []byte            // of the file
	written  stamp             // of the file, as it was written or read last
	seen     stamp             // that Watch has spoken of last
	unread   bool              // the server has not been told of what the file says
	reloaded time.Time         // when it last was
}

var (
	_ pipeline.Keeper  = (*DenyFile)(nil)
	_ pipeline.Adopter = (*DenyFile)(nil)
)

// Name is the label.
func (f *DenyFile) Name() string { return cmp.Or(f.Label, "denyfile") }

func (f *DenyFile) log() *zap.Logger {
	if f.Logger == nil {
		return zap.NewNop()
	}
	return f.Logger.Named(f.Name())
}

func (f *DenyFile) now() time.Time {
	if f.Now == nil {
		return time.Now()
	}
	return f.Now()
}

// Held is what the file says: the bans of an earlier run.
func (f *DenyFile) Held(context.Context) ([]pipeline.Action, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		return nil, err
	}
	var held []pipeline.Action
	for k, e := range f.held {
		a := e.action(k)
		a.Jail, a.Restored = cmp.Or(a.Jail, pipeline.RestoredJail), true
		held = append(held, a)
	}
	return held, nil
}

// Apply puts the actions into the file.
func (f *DenyFile) Apply(ctx context.Context, actions []pipeline.Action) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		return err
	}
	return f.change(ctx, maps.Clone(f.held), actions)
}

// Sync makes the file say exactly what is live, whoever has written to it; it is made if it is not there, since a server
// does not start without a file that it includes.
func (f *DenyFile) Sync(ctx context.Context, live iter.Seq[pipeline.Action]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = nil
	if err := f.open(); err != nil {
		return err
	}
	var actions []pipeline.Action
	for a := range live {
		a.Op = pipeline.Ban
		actions = append(actions, a)
	}
	return f.change(ctx, make(map[banKey]*entry, len(actions)), actions)
}

// Flush lifts every ban that the file says, without a pipeline, and returns how many that were.
func (f *DenyFile) Flush(ctx context.Context) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil || len(f.held) == 0 {
		return 0, err
	}
	n = len(f.held)
	return n, f.change(ctx, map[banKey]*entry{}, nil)
}

// change carries the actions out on next and makes the file say that.
func (f *DenyFile) change(ctx context.Context, next map[banKey]*entry, actions []pipeline.Action) error {
	if err := f.wait(ctx); err != nil {
		return err
	}
	var refused refusals
	now := f.now()
	for _, a := range actions {
		k := keyOf(&a)
		over := a.Op == pipeline.Ban && !a.Until.IsZero() && !a.Until.After(now)
		switch {
		case a.Observe || a.Op != pipeline.Ban && a.Op != pipeline.Unban:
		case a.Op == pipeline.Unban || over:
			delete(next, k)
		case !a.Prefix.IsValid():
			refused.add(a, errors.New("no address"))
		default:
			next[k] = &entry{jail: a.Jail, until: a.Until}
		}
	}
	f.limit(next, actions, &refused)
	if err := f.write(next); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return cmp.Or(f.reload(ctx), refused.err())
}

// limit takes out of next what is too much: of the actions the last ones first, and of those the new ones.
func (f *DenyFile) limit(next map[banKey]*entry, actions []pipeline.Action, refused *refusals) {
	most := cmp.Or(f.MaxBans, 10_000)
	for _, old := range []bool{false, true} {
		for i := len(actions) - 1; i >= 0 && len(next) > most; i-- {
			k := keyOf(&actions[i])
			if next[k] != nil && (old || f.held[k] == nil) {
				delete(next, k)
				refused.add(actions[i], fmt.Errorf("the limit of %d bans (max_rules) is reached", most))
			}
		}
	}
}

// write makes the file say next, if it does not. A file that only says when bans end need not be read by the server.
func (f *DenyFile) write(next map[banKey]*entry) error {
	old, err := os.Stat(f.Path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	text := denyText(next, f.Name(), f.Map)
	now := stamp{} // that there is none
	if old != nil {
		now = stampOf(old)
	}
	if old != nil && now == f.written && bytes.Equal(text, f.text) {
		f.held = next
		return nil
	}
	written, err := replaceDenyFile(f.Path, text, old)
	if err != nil {
		return err
	}
	f.unread = f.unread || now != f.written || !bytes.Equal(withoutComments(text), withoutComments(f.text))
	f.held, f.text, f.written, f.seen = next, text, written, written
	return nil
}

// wait waits until the server may be told again: what is decided meanwhile comes with the next call.
func (f *DenyFile) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil || len(f.Reload) == 0 || f.reloaded.IsZero() {
		return err
	}
	left := time.NewTimer(time.Until(f.reloaded.Add(cmp.Or(f.Every, 5*time.Second))))
	defer left.Stop()
	select {
	case <-left.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reload has the server read the file, if it has not.
func (f *DenyFile) reload(ctx context.Context) error {
	if !f.unread {
		return nil
	}
	if len(f.Reload) > 0 {
		f.reloaded = time.Now()
		if _, err := (command{argv: f.Reload, limit: cmp.Or(f.Timeout, 10*time.Second)}).run(ctx); err != nil {
			return fmt.Errorf("%s: the file is written, but the server has not read it: %w", f.Name(), err)
		}
	}
	f.unread = false
	f.log().Debug("written", zap.String("path", f.Path), zap.Int("bans", len(f.held)))
	return nil
}

// watchEvery is how often Watch looks at the file.
const watchEvery = 2 * time.Second

// Watch returns nil when somebody else has written the file, or removed it.
func (f *DenyFile) Watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if f.touched() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *DenyFile) touched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := stamp{}
	if info, err := os.Stat(f.Path); err == nil {
		now = stampOf(info)
	}
	if f.held == nil || now == f.written || now == f.seen {
		return false // nothing was written yet, or it has been said
	}
	f.seen = now
	return true
}
