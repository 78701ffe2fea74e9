package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	heartbeat = 15 * time.Second // a comment, so that a reader that has gone is noticed
	slowness  = 5 * time.Second  // how long a reader may take for one event before he is left
)

// events answers GET /v1/events with server-sent events: each is named by its op, with an Event as its data. A
// reader who is too slow misses some; then comes an event "missed" with their number. jail=NAME narrows it.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) {
	if h.streams.Add(1) > maxStreams {
		h.streams.Add(-1)
		fail(w, &problem{http.StatusServiceUnavailable, fmt.Errorf("%d readers of events are enough", maxStreams)})
		return
	}
	defer h.streams.Add(-1)
	// Stats go on over a reload where they are shared; else the reader sees the end and asks again.
	watcher := h.Pipeline().Watch(r.Context())
	jail := r.FormValue("jail")
	out := http.NewResponseController(w)
	send := func(format string, args ...any) bool {
		deadline(w, slowness)
		_, err := fmt.Fprintf(w, format, args...)
		return err == nil && out.Flush() == nil
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	if !send(": watching\n\n") {
		return
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case e, ok := <-watcher.Events:
			if !ok {
				return
			}
			if n := watcher.Missed(); n > 0 && !send("event: missed\ndata: {\"missed\":%d}\n\n", n) {
				return
			}
			if jail != "" && e.Action.Jail != jail {
				continue
			}
			data, err := json.Marshal(newEvent(e, h.now()))
			if err != nil || !send("event: %v\ndata: %s\n\n", e.Action.Op, data) {
				return
			}
		case <-beat.C:
			if !send(": still here\n\n") {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}
