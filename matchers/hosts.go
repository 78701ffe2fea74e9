package matchers

import "net/netip"

// parseHost reads the address that a filter has found. Only what is written as an address is one: a name,
// a number or an octal form is no host, however some resolver might read it. A mapped address is the IPv4
// one, brackets and zones are cut.
func parseHost(text []byte) (netip.Addr, bool) {
	const longest = 64 // bytes; the longest address has 45, with a zone some more
	if len(text) > 1 && text[0] == '[' && text[len(text)-1] == ']' {
		text = text[1 : len(text)-1]
	}
	if len(text) > longest {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(string(text))
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

// host is who a match blames: the first of ip4, ip6, the name and the id that took part. named says that
// there is one; it may still be no address.
func (m *match) host() (addr netip.Addr, named bool) {
	for _, name := range [...]string{groupIP4, groupIP6, groupDNS, groupID} {
		if text := m.get(name); text != nil {
			addr, _ = parseHost(text)
			return addr, true
		}
	}
	return netip.Addr{}, false
}
