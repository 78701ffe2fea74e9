package pipeline

import (
	"iter"
	"net/netip"
	"slices"
)

// widths are the lengths that prefixes in a map have, or had once: few. With them all prefixes that an address lies in
// are found without a walk.
type widths struct{ v4, v6 []int } // ascending

func (w *widths) add(p netip.Prefix) {
	all := &w.v6
	if p.Addr().Is4() {
		all = &w.v4
	}
	if i, ok := slices.BinarySearch(*all, p.Bits()); !ok {
		*all = slices.Insert(*all, i, p.Bits())
	}
}

// around yields the prefixes that hold the whole of p, the widest first.
func (w *widths) around(p netip.Prefix) iter.Seq[netip.Prefix] {
	all := w.v6
	if p.Addr().Is4() {
		all = w.v4
	}
	return func(yield func(netip.Prefix) bool) {
		for _, bits := range all {
			if bits > p.Bits() {
				return
			}
			if q, err := p.Addr().Prefix(bits); err == nil && !yield(q) {
				return
			}
		}
	}
}

// hostPrefix is an address as a prefix.
func hostPrefix(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
