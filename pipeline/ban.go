package pipeline

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

func (k banKey) bytes() []byte { return append([]byte(k.jail+"\x00"), k.prefix.String()...) }

func parseBanKey(b []byte) (banKey, error) {
	jail, text, ok := bytes.Cut(b, []byte{0})
	p, err := netip.ParsePrefix(string(text))
	if !ok || err != nil {
		return banKey{}, fmt.Errorf("ban key %q is damaged", b)
	}
	return banKey{string(jail), p}, nil
}

// banVersion is the first byte of a saved ban.
const banVersion = 1

// encodeBan writes what the key does not say: version, flags (1 observe, 2 endless), end in unix µs,
// hits, ports, reason. Some 30 bytes, where JSON takes 150: a store may hold a million.
func encodeBan(a Action) []byte {
	var flags byte
	if a.Observe {
		flags |= 1
	}
	until := int64(0)
	if a.Until.IsZero() {
		flags |= 2
	} else {
		until = a.Until.UnixMicro()
	}
	v := binary.AppendVarint([]byte{banVersion, flags}, until)
	v = binary.AppendUvarint(v, uint64(a.Hits))
	v = binary.AppendUvarint(v, uint64(len(a.Ports)))
	for _, r := range a.Ports {
		v = binary.BigEndian.AppendUint16(v, r.First)
		v = binary.BigEndian.AppendUint16(v, r.Last)
	}
	return append(v, a.Reason...)
}

var errDamaged = errors.New("damaged value")

func decodeBan(v []byte) (Action, error) {
	if len(v) < 2 || v[0] != banVersion {
		return Action{}, errDamaged
	}
	a := Action{Op: Ban, Observe: v[1]&1 != 0}
	endless := v[1]&2 != 0
	r := bytes.NewReader(v[2:])
	until, err := binary.ReadVarint(r)
	hits, err2 := binary.ReadUvarint(r)
	n, err3 := binary.ReadUvarint(r)
	if errors.Join(err, err2, err3) != nil || n > uint64(r.Len()/4) {
		return Action{}, errDamaged
	}
	if !endless {
		a.Until = time.UnixMicro(until)
	}
	a.Hits = int(hits)
	rest := v[len(v)-r.Len():]
	for range n {
		a.Ports = append(a.Ports, PortRange{binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])})
		rest = rest[4:]
	}
	a.Reason = string(rest)
	return a, nil
}
