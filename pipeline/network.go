package pipeline

import (
	"net/netip"
	"slices"
)

// A table may count networks in place of addresses: who has a /64 of IPv6 has all the addresses in it.

// wide reports whether it counts networks.
func (t *table) wide() bool { return t.bits4 < 128 || t.bits6 < 128 }

// spare has the addresses counted one by one in networks that hold somebody who is never banned: such a network cannot
// be banned as a whole, so what one address does in it must not be laid to another's charge.
func (t *table) spare(own []netip.Prefix) {
	t.apart = make(map[[16]byte]struct{})
	for _, p := range slices.Concat(t.ignore, own) {
		p = unmapped(p)
		bits, length := t.bits6, p.Bits()
		if p.Addr().Is4() {
			bits, length = t.bits4, length+96
		}
		if length > bits {
			t.apart[masked(addrKey(p.Addr()), bits)] = struct{}{}
		}
	}
}

// key is what an address is counted as: itself, or the network it lies in.
func (t *table) key(a netip.Addr) [16]byte {
	key, bits := addrKey(a), t.bits6
	if a.Is4() {
		bits = t.bits4
	}
	if bits == 128 {
		return key
	}
	network := masked(key, bits)
	if _, ok := t.apart[network]; ok {
		return key
	}
	return network
}

// masked clears what lies behind the first bits.
func masked(key [16]byte, bits int) [16]byte {
	for i := bits / 8; i < len(key); i++ {
		key[i] &= ^byte(0) << max(0, 8-max(0, bits-8*i))
	}
	return key
}
