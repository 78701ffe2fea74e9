package control

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// bans answers GET /v1/bans: what is in force, sorted by end. jail=NAME narrows it; op=allow lists who passes.
func (h *Handler) bans(r *http.Request) (any, error) {
	op, ok := pipeline.Ban, true
	if word := r.FormValue("op"); word != "" {
		if op, ok = pipeline.ParseOp(word); !ok || op.Ends() {
			return nil, bad("op %q: want ban, allow or pause", word)
		}
	}
	jail, p := r.FormValue("jail"), h.Pipeline()
	if err := h.knows(p, jail); err != nil {
		return nil, err
	}
	var live []pipeline.Action
	for a := range p.Live() {
		if a.Op == op && (jail == "" || a.Jail == jail) {
			live = append(live, a)
		}
	}
	slices.SortFunc(live, ByEnd)
	out := Bans{Bans: make([]Action, len(live))}
	now := h.now()
	for i, a := range live {
		out.Bans[i] = NewAction(a, now)
	}
	return out, nil
}

// ByEnd sorts what ends first first, and what never does last.
func ByEnd(a, b pipeline.Action) int {
	switch {
	case a.Until.IsZero() != b.Until.IsZero():
		if a.Until.IsZero() {
			return 1
		}
		return -1
	case !a.Until.Equal(b.Until):
		return a.Until.Compare(b.Until)
	}
	return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.Jail, b.Jail))
}

// Word is a prefix as people write it: a host without its /32.
func Word(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// compareAddrs sorts words by address.
func compareAddrs(a, b string) int {
	p, err1 := ParsePrefix(a)
	q, err2 := ParsePrefix(b)
	if err1 != nil || err2 != nil {
		return cmp.Compare(a, b)
	}
	return p.Compare(q)
}

// ParsePrefix reads an address or a prefix. A v4 address in v6 form is v4, and a zone means nothing here.
func ParsePrefix(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a prefix", s)
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// whyEvents is how many events a Why has.
const whyEvents = 10

// why answers GET /v1/why?addr=A.
func (h *Handler) why(r *http.Request) (any, error) {
	prefix, err := ParsePrefix(r.FormValue("addr"))
	if err != nil || !prefix.IsSingleIP() {
		return nil, bad("addr %q: want one address", r.FormValue("addr"))
	}
	p, now := h.Pipeline(), h.now()
	out := Why{Addr: Word(prefix), By: []Action{}, SavedBy: h.saves(p, prefix.Addr()), Events: []Event{}}
	passes := false
	for _, a := range p.Holding(prefix) {
		switch a.Op {
		case pipeline.Ban:
			out.By = append(out.By, NewAction(a, now))
			out.Banned = out.Banned || !a.Observe
		case pipeline.Allow:
			passes = true
			out.SavedBy = append(out.SavedBy, "it is allowed"+untilWords(a.Until))
		case pipeline.Pause:
			passes = true
			out.SavedBy = append(out.SavedBy, "everything is paused"+untilWords(a.Until))
		}
	}
	out.Banned = out.Banned && !passes
	if h.History == nil {
		return out, nil
	}
	for e, err := range h.History(time.Time{}) {
		if err != nil {
			return nil, err
		}
		if !about(e, prefix) {
			continue
		}
		if e.Action.Op == pipeline.Ban && !e.Action.Observe {
			out.Bans++
		}
		out.Events = append(out.Events, newEvent(e, now))
		if n := len(out.Events) - whyEvents; n > 0 {
			out.Events = slices.Delete(out.Events, 0, n)
		}
		if r.Context().Err() != nil {
			return nil, r.Context().Err()
		}
	}
	return out, nil
}

func untilWords(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return " until " + until.Format(time.RFC3339)
}

// saves says what of the configuration, and of this machine, keeps an address from being banned.
func (h *Handler) saves(p *pipeline.Pipeline, addr netip.Addr) []string {
	all := []string{}
	d := decideOf(p)
	if d == nil {
		return all
	}
	for name, j := range d.Jails {
		for key, list := range map[string][]netip.Prefix{"ignoreip": j.Ignore, "trusted_proxies": j.Trusted} {
			for _, q := range list {
				if q, err := ParsePrefix(q.String()); err == nil && q.Contains(addr) {
					all = append(all, fmt.Sprintf("jail %s: %s is in %s", name, Word(q), key))
				}
			}
		}
	}
	slices.Sort(all)
	if login := d.LoggedIn(addr); login != nil {
		all = append(all, fmt.Sprintf("%v: no ban closes that jail's ports for it (protect_logins)", login))
	}
	for _, a := range p.Snapshot().Held {
		all = append(all, fmt.Sprintf("jail %s bans nobody%s: it came to %s", a.Jail, untilWords(a.Until), a.Reason))
	}
	if d.Proxies != nil {
		for _, x := range d.Proxies() {
			if x.Prefix.Contains(addr) {
				all = append(all, fmt.Sprintf("%s %s", Word(x.Prefix), x.Why))
			}
		}
	}
	if d.Own != nil {
		for _, q := range d.Own() {
			if q.Contains(addr) {
				all = append(all, "it is this machine's own address, its gateway or its resolver")
				break
			}
		}
	}
	for _, x := range d.Spared() {
		if x.Prefix.Contains(addr) {
			all = append(all, x.String())
		}
	}
	return all
}

// about reports whether an event is about a prefix, or one that it lies in.
func about(e pipeline.Event, p netip.Prefix) bool {
	q := e.Action.Prefix
	return q.IsValid() && q.Bits() <= p.Bits() && q.Contains(p.Addr())
}

var _ http.Handler = (*Handler)(nil)
