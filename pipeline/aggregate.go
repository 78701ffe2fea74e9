package pipeline

import "net/netip"

// An Aggregate says when neighbours are banned together: as soon as After of them in one network have live bans of a jail, the
// network gets one, too.
type Aggregate struct {
	V4, V6 int // lengths of the networks' prefixes; 0: never, of that family
	After  int // live bans; less than 2: never
}

// of is the network that a banned prefix belongs to; false if there is none that is wider than it.
func (g Aggregate) of(p netip.Prefix) (netip.Prefix, bool) {
	bits := g.V6
	if p.Addr().Is4() {
		bits = g.V4
	}
	if g.After < 2 || bits <= 0 || bits >= p.Bits() {
		return netip.Prefix{}, false
	}
	wide, err := p.Addr().Prefix(bits)
	return wide, err == nil
}

// neighbours are the live bans by the network that they would be banned with.
type neighbours map[banKey]int

func (n neighbours) add(j *Jail, k banKey, by int) {
	if j == nil {
		return
	}
	wide, ok := j.Aggregate.of(k.prefix)
	if !ok {
		return
	}
	w := banKey{k.jail, wide}
	if n[w] += by; n[w] <= 0 {
		delete(n, w)
	}
}
