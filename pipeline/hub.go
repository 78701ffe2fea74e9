package pipeline

import (
	"context"
	"sync"
	"sync/atomic"
)

// A hub hands events to whoever watches. One who does not keep up misses some: nobody waits for him.
type hub struct {
	mu       sync.Mutex
	watchers map[*Watcher]struct{}
	any      atomic.Bool
}

// A Watcher is given every Event of a pipeline from Watch on.
type Watcher struct {
	Events <-chan Event // closed when the context of Watch is done
	out    chan Event
	missed atomic.Int64
}

// Missed is how many events the watcher was too slow for since it was last asked.
func (w *Watcher) Missed() int64 { return w.missed.Swap(0) }

// watched is how many events wait for a watcher.
const watched = 256

// Watch is for whoever wants to see what happens, as it happens: bans, unbans and what is done by hand. What was in
// force before does not come. It goes on over the pipelines that share s.
func (s *Stats) Watch(ctx context.Context) *Watcher {
	h := &s.watch
	out := make(chan Event, watched)
	w := &Watcher{Events: out, out: out}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[*Watcher]struct{})
	}
	h.watchers[w] = struct{}{}
	h.any.Store(true)
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, w)
		h.any.Store(len(h.watchers) > 0)
		close(out)
	})
	return w
}

func (h *hub) send(e Event) {
	if !h.any.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		select {
		case w.out <- e:
		default:
			w.missed.Add(1)
		}
	}
}
