package pipeline

import "net/netip"

// A prefixSet answers which of its prefixes, if any, shares an address with another one. Looking up a
// host takes a map access per prefix length that occurs, however many prefixes there are.
type prefixSet struct {
	bits map[int]bool // lengths that occur, with v4 and v6 apart
	all  map[netip.Prefix]struct{}
}

func newPrefixSet(prefixes []netip.Prefix) *prefixSet {
	s := &prefixSet{bits: make(map[int]bool), all: make(map[netip.Prefix]struct{}, len(prefixes))}
	for _, p := range prefixes {
		p = unmapped(p)
		s.bits[p.Bits()] = true
		s.all[p] = struct{}{}
	}
	return s
}

// overlap returns a prefix of the set that contains p or is contained in it.
func (s *prefixSet) overlap(p netip.Prefix) (netip.Prefix, bool) {
	for bits := range s.bits {
		if bits > p.Bits() {
			continue
		}
		q, _ := p.Addr().Prefix(bits)
		if _, ok := s.all[q]; ok {
			return q, true
		}
	}
	if p.IsSingleIP() {
		return netip.Prefix{}, false
	}
	for q := range s.all { // a ban wider than a host: by hand, or of neighbours
		if p.Overlaps(q) {
			return q, true
		}
	}
	return netip.Prefix{}, false
}

// unmapped masks p, and makes a v4 prefix of one that lies in ::ffff:0:0/96: the packets of such an
// address are IPv4.
func unmapped(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// special is who is never banned anywhere: RFC 6890's loopback, link-local and unspecified blocks, multicast,
// and the limited broadcast address.
var special = newPrefixSet([]netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
})
