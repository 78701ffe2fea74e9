package pipeline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// maxAllowed is how many addresses can be let through by hand: the list is for people. What is meant for good
// belongs into ignoreip.
const maxAllowed = 10_000

// passes is who is let through in spite of bans: single addresses (Allow), or everybody (Pause). It is Decide's, and
// is saved with the bans.
type passes struct {
	allowed map[netip.Addr]pass
	pause   time.Time // everybody, until then; zero: nobody
	changed map[string][]byte
	swept   time.Time
}

// A pass is one Allow.
type pass struct {
	since, until time.Time // until is zero if it never ends
	reason       string
}

func (p pass) action(a netip.Addr) Action {
	return Action{
		Op: Allow, Prefix: netip.PrefixFrom(a, a.BitLen()), Jail: Manual,
		Since: p.since, Until: p.until, Reason: p.reason,
	}
}

func (p *passes) paused(now time.Time) bool { return p.pause.After(now) }

// why says that a host is let through, or one in a network, or nil. A network that is banned by hand may hold one: the
// back ends let it through all the same.
func (p *passes) why(a Action, now time.Time) error {
	if len(p.allowed) == 0 {
		return nil
	}
	if held, ok := p.allowed[a.Prefix.Addr()]; ok && a.Prefix.IsSingleIP() && held.live(now) {
		if held.until.IsZero() {
			return errors.New("it is allowed")
		}
		return fmt.Errorf("it is allowed until %v", held.until.UTC().Format(time.RFC3339))
	}
	if a.Prefix.IsSingleIP() || a.Jail == Manual {
		return nil
	}
	for addr, held := range p.allowed {
		if a.Prefix.Contains(addr) && held.live(now) {
			return fmt.Errorf("%v is allowed", addr)
		}
	}
	return nil
}

func (p pass) live(now time.Time) bool { return p.until.IsZero() || p.until.After(now) }

// allow lets an address through: what bans hold it end, less those of networks that were made by hand.
func (d *Decide) allow(b *Batch, a Action) {
	for jail := range d.counts.all() {
		for p := range d.widths.around(a.Prefix) {
			k := banKey{jail, p}
			if held, ok := d.live[k]; ok && (jail != Manual || p.IsSingleIP()) {
				d.lift(b, k, held)
			}
			d.past.forget(k)
		}
	}
}

// passOrder carries out Allow, Disallow, Pause and Resume.
func (d *Decide) passOrder(b *Batch, a Action, now time.Time) {
	if err := d.pass.refuse(a, now); err != nil {
		b.Refuse(refused(a, err))
		return
	}
	a.Jail, a.Since = Manual, now
	a.Until = a.Until.Truncate(time.Microsecond) // as it is saved
	p := &d.pass
	switch a.Op {
	case Allow:
		d.allow(b, a)
		p.set(a.Prefix.Addr(), pass{now, a.Until, a.Reason})
	case Disallow:
		p.drop(a.Prefix.Addr())
	case Pause:
		p.pause = a.Until
		p.note(pauseKey, binary.AppendVarint(nil, a.Until.UnixMicro()))
	case Resume:
		p.pause = time.Time{}
		p.note(pauseKey, nil)
		d.closeBreakers(b, "", true, now)
	}
	b.Actions = append(b.Actions, a)
}

// refuse says why an order cannot be carried out, or nil.
func (p *passes) refuse(a Action, now time.Time) error {
	switch {
	case a.Op == Hold:
		return errors.New("hold: a jail's breaker does that by itself")
	case a.Op.begin() == Allow && (!a.Prefix.IsValid() || !a.Prefix.IsSingleIP()):
		return fmt.Errorf("%v %v: want one address; a network that is never banned belongs into ignoreip", a.Op, a.Prefix)
	case !a.Op.Ends() && over(a, now):
		return fmt.Errorf("%v: its end, %v, is past", a.Op, a.Until)
	case a.Op == Allow && len(p.allowed) >= maxAllowed:
		return fmt.Errorf("allow %v: %d addresses are allowed already; the rest belongs into ignoreip", a.Prefix.Addr(), maxAllowed)
	case a.Op == Pause && a.Until.IsZero():
		return errors.New("pause: it needs an end")
	}
	return nil
}

// The keys in the state begin with a zero byte and are longer than that of a ban without a jail.
const (
	pauseKey    = "\x00pause, until unix microseconds"
	allowPrefix = "\x00allow\x00" // and 16 bytes of address
)

func allowKey(a netip.Addr) string {
	k := addrKey(a)
	return allowPrefix + string(k[:])
}

func (p *passes) note(key string, value []byte) {
	if p.changed == nil {
		p.changed = make(map[string][]byte)
	}
	p.changed[key] = value
}

func (p *passes) set(a netip.Addr, held pass) {
	if p.allowed == nil {
		p.allowed = make(map[netip.Addr]pass)
	}
	p.allowed[a] = held
	p.note(allowKey(a), held.encode())
}

func (p *passes) drop(a netip.Addr) {
	delete(p.allowed, a)
	p.note(allowKey(a), nil)
}

// encode writes since (unix s), until (unix µs, 0 for ever) and the reason.
func (p pass) encode() []byte {
	until := int64(0)
	if !p.until.IsZero() {
		until = p.until.UnixMicro()
	}
	return append(binary.AppendVarint(binary.AppendVarint(nil, p.since.Unix()), until), p.reason...)
}

// sweep drops what has ended, once a minute; nobody asks for it any more.
func (p *passes) sweep(now time.Time) {
	if now.Sub(p.swept).Abs() < time.Minute {
		return
	}
	p.swept = now
	for a, held := range p.allowed {
		if !held.until.IsZero() && !held.until.After(now) {
			p.drop(a)
		}
	}
}

func (p *passes) save(full bool, now time.Time, put func(key, value []byte)) {
	p.sweep(now)
	if !full {
		for k, v := range p.changed {
			put([]byte(k), v)
		}
	}
	clear(p.changed)
	if !full {
		return
	}
	for a, held := range p.allowed {
		put([]byte(allowKey(a)), held.encode())
	}
	if !p.pause.IsZero() {
		put([]byte(pauseKey), binary.AppendVarint(nil, p.pause.UnixMicro()))
	}
}

// load takes a key if it is one of ours.
func (p *passes) load(key, v []byte, now time.Time) (ours bool, err error) {
	rest, isAllow := strings.CutPrefix(string(key), allowPrefix)
	switch {
	case string(key) == pauseKey:
		until, n := binary.Varint(v)
		if n <= 0 {
			return true, fmt.Errorf("pause: %w", errDamaged)
		}
		if p.pause = time.UnixMicro(until); !p.paused(now) {
			p.pause = time.Time{}
			p.note(pauseKey, nil)
		}
		return true, nil
	case isAllow && len(rest) == 16:
		since, n := binary.Varint(v)
		until, m := binary.Varint(v[max(n, 0):])
		if n <= 0 || m <= 0 {
			return true, fmt.Errorf("allow %q: %w", rest, errDamaged)
		}
		held := pass{since: time.Unix(since, 0), reason: string(v[n+m:])}
		if until != 0 {
			held.until = time.UnixMicro(until)
		}
		p.set(netip.AddrFrom16([16]byte([]byte(rest))).Unmap(), held)
		delete(p.changed, string(key))
		return true, nil
	}
	return false, nil
}

// restored are the actions that bring the back ends up to what was loaded.
func (p *passes) restored(actions []Action, now time.Time) []Action {
	for a, held := range p.allowed {
		if held.until.IsZero() || held.until.After(now) {
			r := held.action(a)
			r.Restored = true
			actions = append(actions, r)
		}
	}
	if p.paused(now) {
		actions = append(actions, Action{Op: Pause, Jail: Manual, Until: p.pause, Restored: true})
	}
	return actions
}
