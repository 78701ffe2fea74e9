package pipeline

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// LoginAge is how long a login protects: its address keeps the ports of the jail that saw it, for whatever it does.
const LoginAge = 7 * 24 * time.Hour

// maxLogins bounds what is remembered. Beyond it the oldest tenth goes.
const maxLogins = 10_000

// logins are the networks from which somebody logged in lately, by the jail whose log tells of it, with the time.
// Decide writes, anybody may read.
type logins struct {
	mu      sync.Mutex
	seen    map[banKey]int64 // unix s, of the latest
	widths  widths           // of seen
	changed map[banKey]struct{}
	swept   time.Time
}

// A LoginError says that a prefix is not banned because somebody in it has logged in.
type LoginError struct {
	Jail   string       // that saw it
	Prefix netip.Prefix // where from, as wide as the jail counts
	Time   time.Time    // when
}

func (e *LoginError) Error() string {
	return fmt.Sprintf("somebody logged in from %v at %v (jail %s)", word(e.Prefix), e.Time.UTC().Format(time.RFC3339), e.Jail)
}

// word is a prefix for people: a host without its /32.
func word(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// add notes a login and reports whether it still protects.
func (l *logins) add(k banKey, at, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(at) >= LoginAge {
		return false
	}
	if at.Unix() <= l.seen[k] {
		return true
	}
	if l.seen == nil {
		l.seen = make(map[banKey]int64)
	}
	l.seen[k] = at.Unix()
	l.widths.add(k.prefix)
	l.mark(k)
	if len(l.seen) > maxLogins {
		l.thin()
	}
	return true
}

func fresh(unix int64, now time.Time) bool { return now.Sub(time.Unix(unix, 0)) < LoginAge }

func (l *logins) mark(k banKey) {
	if l.changed == nil {
		l.changed = make(map[banKey]struct{})
	}
	l.changed[k] = struct{}{}
}

// thin forgets the oldest tenth.
func (l *logins) thin() {
	times := make([]int64, 0, len(l.seen))
	for _, at := range l.seen {
		times = append(times, at)
	}
	slices.Sort(times)
	for k, at := range l.seen {
		if at <= times[len(times)/10] {
			l.forget(k)
		}
	}
}

func (l *logins) forget(k banKey) {
	delete(l.seen, k)
	l.mark(k)
}

// why says that a ban would shut somebody out of the ports of a jail that he has logged in to, or nil.
func (l *logins) why(p netip.Prefix, ports []PortRange, jails map[string]*Jail, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) == 0 {
		return nil
	}
	protects := func(k banKey) error {
		at, ok := l.seen[k]
		j := jails[k.jail]
		if !ok || j == nil || !fresh(at, now) || !portsOverlap(ports, j.Ports) {
			return nil
		}
		return &LoginError{k.jail, k.prefix, time.Unix(at, 0)}
	}
	for q := range l.widths.around(p) {
		for name, j := range jails {
			if !j.ProtectLogins {
				continue
			}
			if err := protects(banKey{name, q}); err != nil {
				return err
			}
		}
	}
	if p.IsSingleIP() {
		return nil
	}
	for k := range l.seen { // a network: seldom
		if p.Overlaps(k.prefix) {
			if err := protects(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// portsOverlap reports whether two lists have a port in common; nil is all of them.
func portsOverlap(a, b []PortRange) bool {
	if a == nil || b == nil {
		return true
	}
	for _, x := range a {
		for _, y := range b {
			if x.First <= y.Last && y.First <= x.Last {
				return true
			}
		}
	}
	return false
}

// LoggedIn says what protects an address from losing the ports of a jail; nil if nobody has logged in from it lately. It
// may be called at any time.
func (d *Decide) LoggedIn(a netip.Addr) *LoginError {
	now := d.now()
	d.logins.mu.Lock()
	defer d.logins.mu.Unlock()
	var last *LoginError
	for k, at := range d.logins.seen {
		if k.prefix.Contains(a) && fresh(at, now) && (last == nil || at > last.Time.Unix()) {
			last = &LoginError{k.jail, k.prefix, time.Unix(at, 0)}
		}
	}
	return last
}

// login protects the address of a record, and lifts the bans that it should not have met.
func (d *Decide) login(b *Batch, r *Record, now time.Time) {
	j := d.jails[r.Jail]
	if j == nil || !j.ProtectLogins {
		return
	}
	if !d.logins.add(banKey{r.Jail, j.Network(r.Addr)}, r.Time, now) {
		return
	}
	for jail := range d.counts.all() {
		if by := d.jails[jail]; by != nil && !by.ProtectLogins {
			continue
		}
		for p := range d.widths.around(hostPrefix(r.Addr)) {
			k := banKey{jail, p}
			if held, ok := d.live[k]; ok && !held.forced && portsOverlap(held.ports, j.Ports) {
				d.Logger.Info("somebody has logged in: the ban is lifted", zap.Stringer("addr", r.Addr), zap.String("jail", jail), zap.String("login", r.Jail))
				d.lift(b, k, held)
			}
		}
	}
}

// loginPrefix begins the keys in the state; then come banKey.bytes. The value is the time in unix s.
const loginPrefix = "\x00login\x00"

func (l *logins) save(full bool, now time.Time, put func(key, value []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.swept).Abs() > time.Hour {
		l.swept = now
		for k, at := range l.seen {
			if !fresh(at, now) {
				l.forget(k)
			}
		}
	}
	write := func(k banKey) {
		key := append([]byte(loginPrefix), k.bytes()...)
		if at, ok := l.seen[k]; ok {
			put(key, binary.AppendVarint(nil, at))
		} else {
			put(key, nil)
		}
	}
	if full {
		for k := range l.seen {
			write(k)
		}
	} else {
		for k := range l.changed {
			write(k)
		}
	}
	clear(l.changed)
}

// load takes a key if it is one of ours.
func (l *logins) load(key, v []byte) (ours bool, err error) {
	rest, ours := bytes.CutPrefix(key, []byte(loginPrefix))
	if !ours {
		return false, nil
	}
	k, err := parseBanKey(rest, "")
	if err != nil {
		return true, err
	}
	at, n := binary.Varint(v)
	if n <= 0 {
		return true, fmt.Errorf("login from %v: %w", k.prefix, errDamaged)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = make(map[banKey]int64)
	}
	l.seen[k] = at
	l.widths.add(k.prefix)
	return true, nil
}
