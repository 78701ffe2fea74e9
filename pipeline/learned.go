package pipeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// How long a proxy that was learnt is believed in by a run that has not seen for itself, and how often it is saved that it
// still is one.
const (
	learnedFor   = 24 * time.Hour
	learnedEvery = time.Hour
)

// learned are the proxies that were found by watching a log, which takes hundreds of lines: a new run would ban one before it
// knows, and its lines would end with that. What this run has seen for itself is believed as long as it is said.
type learned struct {
	known   map[netip.Prefix]*lesson
	changed map[string][]byte
}

// A lesson is one proxy.
type lesson struct {
	proxy Proxy
	last  time.Time // when it was said last; saved
	seen  bool      // by this run
}

// merge takes in what is said now, and adds to it what earlier runs have learnt.
func (l *learned) merge(said []Proxy, now time.Time) []Proxy {
	for _, x := range said {
		if k := l.known[x.Prefix]; x.Learned && (k == nil || !k.seen || now.Sub(k.last) >= learnedEvery) {
			l.keep(&lesson{x, now, true})
			l.note(x.Prefix, l.known[x.Prefix].encode())
		}
	}
	all := said
	for p, k := range l.known {
		switch {
		case slices.ContainsFunc(said, func(x Proxy) bool { return x.Prefix == p }):
		case k.seen || now.Sub(k.last) >= learnedFor:
			delete(l.known, p)
			l.note(p, nil)
		default:
			all = append(all[:len(all):len(all)], k.proxy)
		}
	}
	return all
}

func (l *learned) keep(k *lesson) {
	if l.known == nil {
		l.known = make(map[netip.Prefix]*lesson)
	}
	l.known[k.proxy.Prefix] = k
}

// learnedPrefix begins the keys in the state; then come a banKey's bytes without a jail. The value is when it was said last
// (unix s), the jails between commas, a zero byte and the reason.
const learnedPrefix = "\x00proxy\x00"

func (k *lesson) encode() []byte {
	v := binary.AppendVarint(nil, k.last.Unix())
	return fmt.Appendf(v, "%s\x00%s", strings.Join(k.proxy.Jails, ","), k.proxy.Why)
}

func (l *learned) note(p netip.Prefix, value []byte) {
	if l.changed == nil {
		l.changed = make(map[string][]byte)
	}
	l.changed[learnedPrefix+string(banKey{"", p}.bytes())] = value
}

func (l *learned) save(full bool, put func(key, value []byte)) {
	if full {
		for p, k := range l.known {
			l.note(p, k.encode())
		}
	}
	for k, v := range l.changed {
		if v != nil || !full {
			put([]byte(k), v)
		}
	}
	clear(l.changed)
}

// load takes a key if it is one of ours.
func (l *learned) load(key, v []byte) (ours bool, err error) {
	rest, ours := bytes.CutPrefix(key, []byte(learnedPrefix))
	if !ours {
		return false, nil
	}
	at, err := parseBanKey(rest, "")
	last, n := binary.Varint(v)
	jails, why, ok := bytes.Cut(v[max(n, 0):], []byte{0})
	if err != nil || n <= 0 || !ok {
		return true, fmt.Errorf("proxy %q: %w", rest, errDamaged)
	}
	x := Proxy{Prefix: at.prefix, Why: string(why), Learned: true}
	if len(jails) > 0 {
		x.Jails = strings.Split(string(jails), ",")
	}
	l.keep(&lesson{proxy: x, last: time.Unix(last, 0)})
	return true, nil
}
