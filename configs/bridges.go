package configs

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// A link is what is needed of a network interface.
type link struct {
	index, master int
	name, kind    string // kind is "bridge", "veth", "tun" …; "" for a card
}

// containerBridges are the private networks of the bridges to which only containers and virtual machines are connected:
// what comes from there has come through a proxy, often Docker's own, or is one. A bridge with a card, a
// bond or a VLAN in it is the way to other machines, and its network theirs.
func containerBridges() (all []pipeline.Proxy) {
	rib, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return nil
	}
	for _, l := range innerBridges(links(rib)) {
		i, err := net.InterfaceByIndex(l.index)
		if err != nil {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && p.Addr().IsPrivate() && !p.IsSingleIP() {
				all = append(all, pipeline.Proxy{Prefix: p.Masked(), Self: true, Why: fmt.Sprintf("is the network of %s, a bridge of containers on this machine", l.name)})
			}
		}
	}
	slices.SortFunc(all, func(a, b pipeline.Proxy) int { return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.Why, b.Why)) })
	return all
}

// innerBridges are the bridges without a way out.
func innerBridges(all []link) (inner []link) {
	for _, bridge := range all {
		leadsOut := func(l link) bool {
			return l.master == bridge.index && !slices.Contains([]string{"veth", "tun", "vxlan"}, l.kind)
		}
		if bridge.kind == "bridge" && !slices.ContainsFunc(all, leadsOut) {
			inner = append(inner, bridge)
		}
	}
	return inner
}

// links reads the answer to RTM_GETLINK.
func links(rib []byte) (all []link) {
	messages, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return nil
	}
	for i := range messages {
		m := &messages[i]
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
			continue
		}
		l := link{index: int(int32(binary.NativeEndian.Uint32(m.Data[4:])))} // ifi_index of struct ifinfomsg, linux/rtnetlink.h
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			continue
		}
		for _, a := range attrs {
			switch {
			case a.Attr.Type == unix.IFLA_IFNAME:
				l.name = strings.TrimRight(string(a.Value), "\x00")
			case a.Attr.Type == unix.IFLA_MASTER && len(a.Value) >= 4:
				l.master = int(binary.NativeEndian.Uint32(a.Value))
			case a.Attr.Type == unix.IFLA_LINKINFO:
				l.kind = linkKind(a.Value)
			}
		}
		all = append(all, l)
	}
	return all
}

// linkKind reads IFLA_INFO_KIND out of the attributes in IFLA_LINKINFO.
func linkKind(nested []byte) string {
	for len(nested) >= unix.SizeofRtAttr {
		size, kind := int(binary.NativeEndian.Uint16(nested)), binary.NativeEndian.Uint16(nested[2:])
		if size < unix.SizeofRtAttr || size > len(nested) {
			break
		}
		if kind == unix.IFLA_INFO_KIND {
			return strings.TrimRight(string(nested[unix.SizeofRtAttr:size]), "\x00")
		}
		nested = nested[min((size+3)&^3, len(nested)):]
	}
	return ""
}
