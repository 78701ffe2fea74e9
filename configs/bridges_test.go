package configs

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestInnerBridges(t *testing.T) {
	all := []link{
		{index: 1, name: "lo"},
		{index: 2, name: "eth0"},
		{index: 3, name: "docker0", kind: "bridge"},
		{index: 4, name: "veth1", kind: "veth", master: 3},
		{index: 5, name: "vmbr0", kind: "bridge"}, // a host of virtual machines, with the way out in it
		{index: 6, name: "eth1", master: 5},
		{index: 7, name: "tap0", kind: "tun", master: 5},
		{index: 8, name: "virbr0", kind: "bridge"},
		{index: 9, name: "vnet0", kind: "tun", master: 8},
		{index: 10, name: "br-lan", kind: "bridge"},
		{index: 11, name: "bond0.7", kind: "vlan", master: 10},
		{index: 12, name: "br-empty", kind: "bridge"},
	}
	var got []string
	for _, l := range innerBridges(all) {
		got = append(got, l.name)
	}
	if want := []string{"docker0", "virbr0", "br-empty"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLinkKind(t *testing.T) {
	for _, c := range []struct{ nested, want string }{
		{"", ""},
		{"\x0b\x00\x01\x00bridge\x00\x00", "bridge"},
		{"\x06\x00\x02\x00ab\x00\x00\x09\x00\x01\x00veth\x00", "veth"},
		{"\x03\x00\x01\x00", ""},
		{"\xff\x00\x01\x00brid", ""},
		{"\x05\x00\x02\x00a", ""},
	} {
		if got := linkKind([]byte(c.nested)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.nested, got, c.want)
		}
	}
}

// TestContainerBridges asks a real kernel.
func TestContainerBridges(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for args := range strings.SplitSeq(`link add br-c type bridge
addr add 172.30.0.1/16 dev br-c
addr add fd00:30::1/64 dev br-c nodad
addr add 203.0.113.9/24 dev br-c
link add v1 type veth peer name v2
link set v1 master br-c
link add br-lan type bridge
addr add 192.168.7.1/24 dev br-lan
link add d1 type ifb
link set d1 master br-lan`, "\n") {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", args, err, out)
		}
	}
	var got []netip.Prefix
	for _, x := range containerBridges() {
		got = append(got, x.Prefix)
		if !strings.Contains(x.Why, "br-c") {
			t.Errorf("got %q, want the bridge named", x.Why)
		}
	}
	if want := []netip.Prefix{netip.MustParsePrefix("172.30.0.0/16"), netip.MustParsePrefix("fd00:30::/64")}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: no public network, and none that leads out", got, want)
	}
}
