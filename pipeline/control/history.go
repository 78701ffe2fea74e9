package control

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A historyQuery is what somebody asks of the past.
type historyQuery struct {
	since  time.Time
	addr   netip.Prefix // not valid: all
	jail   string       // "": all
	limit  int
	counts func(pipeline.Event) string // what bans are counted by; nil: they are listed
}

// counters are what bans can be counted by.
var counters = map[string]func(pipeline.Event) string{
	"addr": func(e pipeline.Event) string { return Word(e.Action.Prefix) },
	"day":  func(e pipeline.Event) string { return e.Time.Local().Format(time.DateOnly) + " " + e.Action.Jail },
}

func (h *Handler) historyQuery(r *http.Request) (q historyQuery, err error) {
	q = historyQuery{limit: 1000, jail: r.FormValue("jail")}
	if s := r.FormValue("since"); s != "" {
		ago, err := strconv.ParseFloat(s, 64)
		if err != nil || !(ago >= 0 && ago <= 1e9) {
			return q, bad("since %q: want a number of seconds", s)
		}
		q.since = h.now().Add(-time.Duration(ago * float64(time.Second)))
	}
	if s := r.FormValue("limit"); s != "" {
		if q.limit, err = strconv.Atoi(s); err != nil || q.limit < 1 || q.limit > maxHistory {
			return q, bad("limit %q: want a number from 1 to %d", s, maxHistory)
		}
	}
	if s := r.FormValue("addr"); s != "" {
		if q.addr, err = ParsePrefix(s); err != nil {
			return q, bad("addr: %w", err)
		}
	}
	if s := r.FormValue("count"); s != "" {
		if q.counts = counters[s]; q.counts == nil {
			return q, bad("count %q: want addr or day", s)
		}
	}
	return q, nil
}

// wants reports whether the query is about an event.
func (q *historyQuery) wants(e pipeline.Event) bool {
	return (q.jail == "" || e.Action.Jail == q.jail) && (!q.addr.IsValid() || about(e, q.addr))
}

// history answers GET /v1/history: since=SECONDS ago, addr, jail and limit narrow it; count=addr and count=day count bans.
func (h *Handler) history(r *http.Request) (any, error) {
	if h.History == nil {
		return nil, errNotHere
	}
	q, err := h.historyQuery(r)
	if err != nil {
		return nil, err
	}
	now := h.now()
	var ring []Event // the youngest, from next on
	next := 0
	tally := make(map[string]int)
	err = h.eachEvent(r.Context(), &q, func(e pipeline.Event) {
		switch {
		case q.counts != nil:
			if e.Action.Op == pipeline.Ban && !e.Action.Observe {
				tally[q.counts(e)]++
			}
		case len(ring) < q.limit:
			ring = append(ring, newEvent(e, now))
		default:
			ring[next] = newEvent(e, now)
			next = (next + 1) % q.limit
		}
	})
	if err != nil {
		return nil, err
	}
	return History{Events: append(append([]Event{}, ring[next:]...), ring[:next]...), Counts: most(tally, q.limit)}, nil
}

// eachEvent walks the history as long as somebody waits for it.
func (h *Handler) eachEvent(ctx context.Context, q *historyQuery, each func(pipeline.Event)) error {
	for e, err := range h.History(q.since) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		if q.wants(e) {
			each(e)
		}
	}
	return nil
}

// most sorts a tally; the most come first.
func most(tally map[string]int, limit int) (all []Count) {
	for _, k := range slices.Sorted(maps.Keys(tally)) {
		all = append(all, Count{k, tally[k]})
	}
	slices.SortStableFunc(all, func(a, b Count) int { return cmp.Compare(b.Bans, a.Bans) })
	return all[:min(len(all), limit)]
}
