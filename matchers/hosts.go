package matchers

import (
	"net/netip"
)

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
		for _, g := range m.groups {
			if g.name != name {
				continue
			}
			addr, ok := parseHost(m.text[g.start:g.end])
			if ok && fragment(m.text, g.start, g.end, addr) {
				return netip.Addr{}, true
			}
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// fragment reports whether an address is only a piece of a longer word: 2.3.4.5 of 1.2.3.4.5 or of
// 12.3.4.5, where a greedy .* has left too little, or the 192.0.2.7 of the name 192.0.2.7.example.org,
// which whoever answers for the address can choose (CVE-2009-0362). A port behind a dot or a hyphen is no
// part of the word.
func fragment(text []byte, start, end int, addr netip.Addr) bool {
	before, after := byteAt(text, start-1), byteAt(text, end)
	if addr.Is6() && byteAt(text, start) != '[' {
		return isHex(before) || isAlnum(after) || after == '.' && isDigit(byteAt(text, end+1))
	}
	if isDigit(before) || before == '.' && isDigit(byteAt(text, start-2)) || isAlnum(after) {
		return true
	}
	if after != '.' && after != '-' {
		return false
	}
	for i := end; isAlnum(byteAt(text, i)) || byteAt(text, i) == '.' || byteAt(text, i) == '-'; i++ {
		if text[i] == '.' && isAlnum(byteAt(text, i+1)) && !isDigit(text[i+1]) {
			return true
		}
	}
	return false
}

// byteAt is 0 where there is none.
func byteAt(text []byte, i int) byte {
	if i < 0 || i >= len(text) {
		return 0
	}
	return text[i]
}

func isHex(c byte) bool   { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
func isAlnum(c byte) bool { return isDigit(c) || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
