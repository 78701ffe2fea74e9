package matchers

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// LookupConfirmed returns those addresses of a name whose own names include it.
func LookupConfirmed(ctx context.Context, name string) ([]netip.Addr, error) {
	const most = 8 // of the addresses of a name
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, err
	}
	var confirmed []netip.Addr
	for _, addr := range addrs[:min(len(addrs), most)] {
		addr = addr.Unmap().WithZone("")
		names, err := net.DefaultResolver.LookupAddr(ctx, addr.String())
		if err != nil || !addr.IsGlobalUnicast() {
			continue
		}
		for _, n := range names {
			if strings.EqualFold(strings.TrimSuffix(n, "."), strings.TrimSuffix(name, ".")) {
				confirmed = append(confirmed, addr)
				break
			}
		}
	}
	return confirmed, nil
}

// isHostName reports whether text is a name that may be looked up: labels with dots between them, the last
// one of letters. What some resolver would read as a number is none: 1.2.3, 0x7f.1, 16909060.
func isHostName(text []byte) bool {
	if len(text) > maxNameText {
		return false
	}
	dot := strings.LastIndexByte(string(text), '.')
	if dot < 1 || len(text)-dot < 3 {
		return false
	}
	for i, c := range text {
		if !isAlnum(c) && c != '-' && c != '.' || i > dot && isDigit(c) {
			return false
		}
	}
	return true
}
