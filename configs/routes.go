package configs

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// interfaces are the addresses of this machine.
func interfaces() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, host(p.Addr()))
		}
	}
	return own
}

func host(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

// routes reads a file of /proc/net. thread-self and not self: a thread may be in another network namespace
// than the process.
func routes(name string, read func(io.Reader) []netip.Prefix) []netip.Prefix {
	f, err := os.Open("/proc/thread-self/net/" + name)
	if err != nil {
		return nil
	}
	defer f.Close()
	return read(f)
}

const (
	routeGateway = 0x2   // RTF_GATEWAY, linux/route.h
	routeReject  = 0x200 // RTF_REJECT
)

// gateways4 reads /proc/net/route: Iface, Destination, Gateway, Flags, RefCnt, Use, Metric, Mask; addresses
// are numbers in the machine's own byte order.
func gateways4(r io.Reader) []netip.Prefix {
	var found []netip.Prefix
	for s := bufio.NewScanner(r); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" || !routed(f[3]) {
			continue
		}
		n, err := strconv.ParseUint(f[2], 16, 32)
		if err != nil {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(n))
		found = append(found, host(netip.AddrFrom4(b)))
	}
	return found
}

// gateways6 reads /proc/net/ipv6_route: destination and its length, source and its length, next hop,
// metric, references, use, flags, device; addresses are 32 digits in network order.
func gateways6(r io.Reader) []netip.Prefix {
	var found []netip.Prefix
	for s := bufio.NewScanner(r); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 9 || strings.Trim(f[0], "0") != "" || f[1] != "00" || !routed(f[8]) {
			continue
		}
		b, err := hex.DecodeString(f[4])
		if err != nil || len(b) != 16 {
			continue
		}
		found = append(found, host(netip.AddrFrom16([16]byte(b))))
	}
	return found
}

// routed reports whether a route with these flags, in hexadecimal, leads over a gateway.
func routed(flags string) bool {
	n, err := strconv.ParseUint(flags, 16, 32)
	return err == nil && n&routeGateway != 0 && n&routeReject == 0
}
