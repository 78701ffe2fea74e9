package pipeline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A banKey names a live ban: jails hold an address independently of one another.
type banKey struct {
	jail   string
	prefix netip.Prefix
}

// A liveBan is what Decide knows of a live one. It is kept small, since there may be a million.
type liveBan struct {
	since   int64 // unix s; 0: nobody knows
	until   time.Time
	ports   []PortRange
	reason  string
	hits    int
	observe bool
	forced  bool
}

func newLiveBan(a Action) liveBan {
	b := liveBan{until: a.Until, ports: a.Ports, reason: a.Reason, hits: a.Hits, observe: a.Observe, forced: a.Forced}
	if !a.Since.IsZero() {
		b.since = a.Since.Unix()
	}
	return b
}

// action is the ban in full.
func (b liveBan) action(k banKey) Action {
	a := Action{
		Op: Ban, Prefix: k.prefix, Ports: b.ports, Jail: k.jail, Until: b.until,
		Hits: b.hits, Observe: b.observe, Forced: b.forced, Reason: b.reason,
	}
	if b.since != 0 {
		a.Since = time.Unix(b.since, 0)
	}
	return a
}

// bytes is the key in the state: the jail, a zero byte, the 16 bytes of the address (v4 mapped into v6), the
// length of the prefix there.
func (k banKey) bytes() []byte {
	a, bits := k.prefix.Addr(), k.prefix.Bits()
	if a.Is4() {
		bits += 96
	}
	b := append([]byte(k.jail), 0)
	addr := addrKey(a)
	b = append(b, addr[:]...)
	return append(b, byte(bits))
}

// parseBanKey reads it back. A jail that is the one before keeps its string: there may be a million keys.
func parseBanKey(b []byte, before string) (banKey, error) {
	cut := len(b) - 18
	if cut < 0 || b[cut] != 0 || b[len(b)-1] > 128 {
		return banKey{}, fmt.Errorf("ban key %q is damaged", b)
	}
	k := banKey{jail: before}
	if string(b[:cut]) != before {
		k.jail = string(b[:cut])
	}
	k.prefix = unmapped(netip.PrefixFrom(netip.AddrFrom16([16]byte(b[cut+1:])), int(b[len(b)-1])))
	return k, nil
}

// banVersion is the first byte of a saved ban.
const banVersion = 1

// The flags of a saved ban.
const (
	savedObserve = 1 << iota
	savedEndless
	savedForced
	savedSince // there is a beginning
)

// encode writes what the key does not say: version, flags, end in unix µs, beginning in unix s, hits, ports, reason. Some 30 bytes, where JSON takes 150.
func (b liveBan) encode() []byte {
	var flags byte
	if b.observe {
		flags |= savedObserve
	}
	if b.forced {
		flags |= savedForced
	}
	if b.since != 0 {
		flags |= savedSince
	}
	until := int64(0)
	if b.until.IsZero() {
		flags |= savedEndless
	} else {
		until = b.until.UnixMicro()
	}
	v := binary.AppendVarint([]byte{banVersion, flags}, until)
	if b.since != 0 {
		v = binary.AppendVarint(v, b.since)
	}
	v = binary.AppendUvarint(v, uint64(b.hits))
	v = binary.AppendUvarint(v, uint64(len(b.ports)))
	for _, r := range b.ports {
		v = binary.BigEndian.AppendUint16(v, r.First)
		v = binary.BigEndian.AppendUint16(v, r.Last)
	}
	return append(v, b.reason...)
}

var errDamaged = errors.New("damaged value")

// decodeBan reads what encode wrote. A reason that is the one before keeps its string.
func decodeBan(v []byte, before string) (liveBan, error) {
	if len(v) < 2 || v[0] != banVersion {
		return liveBan{}, errDamaged
	}
	b := liveBan{observe: v[1]&savedObserve != 0, forced: v[1]&savedForced != 0}
	endless := v[1]&savedEndless != 0
	rest := v[2:]
	until, n := binary.Varint(rest)
	rest = rest[max(n, 0):]
	if v[1]&savedSince != 0 {
		since, n := binary.Varint(rest)
		if n <= 0 {
			return liveBan{}, errDamaged
		}
		b.since, rest = since, rest[n:]
	}
	hits, m := binary.Uvarint(rest)
	rest = rest[max(m, 0):]
	ports, o := binary.Uvarint(rest)
	rest = rest[max(o, 0):]
	if n <= 0 || m <= 0 || o <= 0 || ports > uint64(len(rest)/4) {
		return liveBan{}, errDamaged
	}
	if !endless {
		b.until = time.UnixMicro(until)
	}
	b.hits = int(hits)
	for range ports {
		b.ports = append(b.ports, PortRange{binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])})
		rest = rest[4:]
	}
	if b.reason = before; string(rest) != before {
		b.reason = string(rest)
	}
	return b, nil
}
