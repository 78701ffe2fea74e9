package configs

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// parseIgnore reads one word of ignoreip or trusted_proxies: a prefix, or a name that has to be looked up when the pipeline
// is built ("file:PATH" or a host's).
func parseIgnore(word string) (prefix netip.Prefix, name string, err error) {
	if path, ok := strings.CutPrefix(word, "file:"); ok {
		if !filepath.IsAbs(path) {
			return prefix, "", mistake("", "%q is not an absolute path", path)
		}
		return prefix, word, nil
	}
	if prefix, err := parsePrefix(word); err == nil {
		return prefix, "", nil
	}
	if hostName(word) {
		return prefix, word, nil
	}
	return prefix, "", mistake(`want addresses, networks ("192.168.0.0/16"), host names or "file:/path"`, "%q is none of them", word)
}

// parsePrefix reads an address or a network. Bits behind the mask are dropped ("127.0.0.1/8" is
// 127.0.0.0/8), and an IPv4 address in IPv6 clothes is an IPv4 address: packets from it are IPv4.
func parsePrefix(word string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(word)
	if err != nil {
		addr, err := netip.ParseAddr(strings.Trim(word, "[]"))
		if err != nil {
			return netip.Prefix{}, err
		}
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("%s holds more than IPv4 addresses", prefix)
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	return prefix.Masked(), nil
}

// hostName reports whether word can be the name of a host. What ends in digits cannot (RFC 3696, section
// 2): "999.1.1.1" is a mistyped address, not a name to ask a resolver for.
func hostName(word string) bool {
	ok := func(c byte) bool {
		return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-_.", c) >= 0
	}
	last := strings.TrimSuffix(word, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	return len(word) <= 253 && last != "" && !digits(last) && span(word, ok) == len(word)
}

// ignoreFile reads a file of addresses and networks, one or more to a line, with comments behind '#'.
func ignoreFile(path string) ([]netip.Prefix, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var prefixes []netip.Prefix
	s := bufio.NewScanner(f)
	for line := 1; s.Scan(); line++ {
		text, _, _ := strings.Cut(s.Text(), "#")
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(", \t\r", r) }) {
			prefix, err := parsePrefix(word)
			if err != nil {
				return nil, &Error{File: path, Line: line, Msg: fmt.Sprintf("%q is neither an address nor a network", word)}
			}
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes, s.Err()
}
