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
	addr, ok := parseAddr(text)
	return addr.Unmap().WithZone(""), ok
}

// parseAddr is netip.ParseAddr for bytes. It allocates only for what is seldom in logs: an IPv6 address with
// a zone or with an IPv4 one at its end.
func parseAddr(text []byte) (netip.Addr, bool) {
	for _, c := range text {
		switch c {
		case '.':
			return parseIPv4(text)
		case ':':
			if addr, ok := parseIPv6(text); ok {
				return addr, true
			}
			addr, err := netip.ParseAddr(string(text))
			return addr, err == nil
		}
	}
	return netip.Addr{}, false
}

// parseIPv4 reads four numbers without leading zeros.
func parseIPv4(text []byte) (netip.Addr, bool) {
	var addr [4]byte
	field, value, digits := 0, 0, 0
	for _, c := range text {
		switch {
		case isDigit(c):
			if value, digits = 10*value+int(c-'0'), digits+1; value > 255 || digits > 1 && value < 10 {
				return netip.Addr{}, false
			}
		case c == '.' && digits > 0 && field < 3:
			addr[field] = byte(value)
			field, value, digits = field+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if field < 3 || digits == 0 {
		return netip.Addr{}, false
	}
	addr[field] = byte(value)
	return netip.AddrFrom4(addr), true
}

// parseIPv6 reads groups of hex digits, one run of them left out as "::". What else there may be it does not
// know.
func parseIPv6(text []byte) (netip.Addr, bool) {
	var addr [16]byte
	n, gap := 0, -1 // bytes of addr, and where the left out ones are
	for i := 0; i < len(text); {
		if text[i] == ':' {
			if byteAt(text, i+1) != ':' || gap >= 0 {
				return netip.Addr{}, false
			}
			gap = n
			i += 2
			continue
		}
		value, start := 0, i
		for ; i < len(text) && i < start+4 && isHex(text[i]); i++ {
			value = value<<4 | hexValue(text[i])
		}
		if i == start || n == len(addr) {
			return netip.Addr{}, false
		}
		addr[n], addr[n+1] = byte(value>>8), byte(value)
		n += 2
		if i == len(text) {
			break
		}
		if text[i] != ':' || i+1 == len(text) {
			return netip.Addr{}, false
		}
		if text[i+1] != ':' {
			i++
		}
	}
	if (gap < 0) != (n == len(addr)) {
		return netip.Addr{}, false
	}
	if gap < 0 {
		return netip.AddrFrom16(addr), true
	}
	tail := n - gap
	copy(addr[len(addr)-tail:], addr[gap:n])
	clear(addr[gap : len(addr)-tail])
	return netip.AddrFrom16(addr), true
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

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
func hexValue(c byte) int {
	if isDigit(c) {
		return int(c - '0')
	}
	return int(c|0x20) - 'a' + 10
}
func isAlnum(c byte) bool { return isDigit(c) || c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }
