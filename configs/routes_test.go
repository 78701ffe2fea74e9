package configs

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestGateways4(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the lines below are a little-endian machine's")
	}
	const text = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth1	00000000	00000000	0001	0	0	0	00000000	0	0	0
eth0	00000080	FE0200C0	0003	0	0	0	00000080	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
eth2	00000000	0164A8C0	0003	0	0	100	00000000	0	0	0
short	00000000
`
	got := gateways4(strings.NewReader(text))
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.168.100.1/32")}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestGateways6(t *testing.T) {
	const zero = "00000000000000000000000000000000"
	text := strings.ReplaceAll(`fd000000000000000000000000000000 40 ZERO 00 ZERO 00000100 00000001 00000000 00000001     eth0
ZERO 00 ZERO 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth0
ZERO 00 ZERO 00 fe8000000000000000fc00fffe000002 00000400 00000002 00000000 00450003     eth1
ZERO 00 ZERO 00 ZERO ffffffff 00000001 00000000 00200200       lo
20010db8000000000000000000000000 20 ZERO 00 fd000000000000000000000000000009 00000400 00000002 00000000 00000003     eth0
`, "ZERO", zero)
	got := gateways6(strings.NewReader(text))
	want := []netip.Prefix{netip.MustParsePrefix("fd00::1/128"), netip.MustParsePrefix("fe80::fc:ff:fe00:2/128")}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
