package sinks

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/banpipe/banpipe/pipeline"
)

// A scope is what the bans in one kernel set have in common: the family, the length of the prefix and
// the ports. Hash sets that are looked up with a mask stand for prefixes: interval sets refuse
// overlaps, cost O(n) for every change on Linux 6.18, and their merging in user space destroys timeouts.
type scope struct {
	v6    bool
	bits  int    // of the prefix; 32 or 128 is a host
	ports string // pipeline.PortsString; "" is all
	pass  bool   // not bans: hosts that pass; of length 0: everybody does
}

// hosts are the scopes that are always there.
func hosts() []scope { return []scope{{bits: 32}, {v6: true, bits: 128}} }

// doors are the scopes of what is let through; they are always there, too, and their rules stand among the guards.
func doors() []scope {
	return []scope{
		{bits: 0, pass: true},
		{v6: true, bits: 0, pass: true},
		{bits: 32, pass: true},
		{v6: true, bits: 128, pass: true},
	}
}

// always are the scopes whose sets are there whatever is banned.
func always() []scope { return append(doors(), hosts()...) }

// The kernel's limit on names (NFT_NAME_MAXLEN, 256 with the NUL). A set's name carries its ports, since
// nothing else about a set can: its comment has the same limit, and saved rulesets lose other marks.
const maxSetName = 255

// scopeOf says where an action belongs, and its key there: the masked address. An IPv4 address in IPv6 form
// is IPv4, since that is how its packets come.
func scopeOf(a *pipeline.Action) (scope, netip.Addr, error) {
	if !a.Prefix.IsValid() {
		return scope{}, netip.Addr{}, errors.New("no address")
	}
	p := a.Prefix
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	sc := scope{v6: p.Addr().Is6(), bits: p.Bits(), ports: pipeline.PortsString(a.Ports)}
	if n := len(sc.name()); n > maxSetName {
		return scope{}, netip.Addr{}, fmt.Errorf("%d ports and ranges of ports are too many for one set", len(a.Ports))
	}
	// The kernel would refuse the rules with them, and so all others.
	for i, r := range a.Ports {
		if r.First > r.Last || i > 0 && r.First <= a.Ports[i-1].Last {
			return scope{}, netip.Addr{}, fmt.Errorf("ports %s are not sorted and apart", sc.ports)
		}
	}
	return sc, p.Masked().Addr(), nil
}

// addrLen is the bytes of a key.
func (s scope) addrLen() int {
	if s.v6 {
		return 16
	}
	return 4
}

func (s scope) isHost() bool { return s.bits == 8*s.addrLen() }

// name is the name of the set, for people who list the table, and for reading the scope back: "ban4",
// "ban6_net64", "ban4_port22_80-443".
func (s scope) name() string {
	if s.pass {
		return s.passName()
	}
	name := "ban4"
	if s.v6 {
		name = "ban6"
	}
	if !s.isHost() {
		name += "_net" + strconv.Itoa(s.bits)
	}
	if s.ports != "" {
		name += "_port" + strings.ReplaceAll(s.ports, ",", "_")
	}
	return name
}

func (s scope) passName() string {
	name := "allow"
	if !s.isHost() {
		name = "pause"
	}
	if s.v6 {
		return name + "6"
	}
	return name + "4"
}

// parseScope reads a set's name back; ok is false for sets that hold no bans.
func parseScope(name string) (s scope, ok bool) {
	rest, ok := strings.CutPrefix(name, "ban4")
	if ok {
		s.bits = 32
	} else if rest, ok = strings.CutPrefix(name, "ban6"); ok {
		s.v6, s.bits = true, 128
	} else {
		return scope{}, false
	}
	rest, ports, limited := strings.Cut(rest, "_port")
	if limited {
		s.ports = strings.ReplaceAll(ports, "_", ",")
		if ranges, err := s.portRanges(); err != nil || pipeline.PortsString(ranges) != s.ports {
			return scope{}, false
		}
	}
	if bits, ok := strings.CutPrefix(rest, "_net"); ok {
		n, err := strconv.Atoi(bits)
		if err != nil || n < 0 || n >= s.bits {
			return scope{}, false
		}
		s.bits = n
	}
	return s, s.name() == name
}

// portRanges reads the ports back; nil is all.
func (s scope) portRanges() ([]pipeline.PortRange, error) {
	if s.ports == "" {
		return nil, nil
	}
	var ranges []pipeline.PortRange
	next := 0 // the lowest port that may follow
	for word := range strings.SplitSeq(s.ports, ",") {
		first, last, isRange := strings.Cut(word, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("ports %q: %w", word, err)
		}
		if int(from) < next || from > to {
			return nil, fmt.Errorf("ports %q are not sorted and apart", s.ports)
		}
		next = int(to) + 1
		ranges = append(ranges, pipeline.PortRange{First: uint16(from), Last: uint16(to)})
	}
	return ranges, nil
}

// action is what an element of the scope stands for.
func (s scope) action(op pipeline.Op, addr netip.Addr) pipeline.Action {
	ports, _ := s.portRanges()
	return pipeline.Action{Op: op, Prefix: netip.PrefixFrom(addr, s.bits), Ports: ports}
}

// mask is the netmask of the prefix.
func (s scope) mask() []byte {
	mask := make([]byte, s.addrLen())
	for i := range s.bits {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return mask
}

// compareScopes is the order of the sets and their rules: hosts on all ports first, which are looked up
// fastest and match most.
func compareScopes(a, b scope) int {
	return cmp.Or(boolCompare(b.pass, a.pass), cmp.Compare(a.ports, b.ports), boolCompare(a.v6, b.v6), cmp.Compare(b.bits, a.bits))
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
