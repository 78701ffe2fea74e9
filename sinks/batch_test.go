package sinks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// What is written by hand reads back with netlink's own decoder: every message, its list, and in the list the
// elements, each at the place that a refusal would name.
func FuzzElements(f *testing.F) {
	f.Add([]byte("\x00aaaa\x01bbbb\x02cccc\x03dddd\x04eeee\x05ffff"), true)
	f.Add(bytes.Repeat([]byte("\x07ban\x00"), 900), false)
	f.Add([]byte("\x08aaaa\x08bbbb\x08cccc\x0adddd\x0aeeee\x0cffff\x0cgggg\x00hhhh\x00iiii"), false)
	f.Fuzz(func(t *testing.T, data []byte, updates bool) {
		changes := single(changesFrom(data))
		order(changes)
		var b batch
		b.begin(77)
		b.addElements("test", changes, updates)
		if b.empty() {
			return
		}
		last := b.end(false)
		var seen [3][]change // added, deleted, added with a timeout
		at, next := 0, uint32(77)
		for m := range messages(b.buf) {
			if m.seq != next {
				t.Fatalf("got message %d, want %d", m.seq, next)
			}
			next++
			if index := int(m.seq-77) - 1; m.typ&0xff00 == nfTables {
				readBack(t, &b, m, index, &seen)
			}
			at += unix.SizeofNlMsghdr + len(m.data)
		}
		if at != len(b.buf) || next != last+2 {
			t.Fatalf("got %d bytes and messages up to %d, want %d and %d", at, next-1, len(b.buf), last+1)
		}
		var want [3][]change
		for _, c := range changes {
			bare := c
			bare.timeout = 0
			if c.out || !updates {
				want[0], want[1] = append(want[0], bare), append(want[1], bare)
			}
			if !c.out {
				want[2] = append(want[2], c)
			}
		}
		for i := range want {
			same := func(a, b change) bool { return a.addr == b.addr && a.ports == b.ports && a.timeout == b.timeout }
			if !slices.EqualFunc(seen[i], want[i], same) {
				t.Errorf("list %d: got %v, want %v", i, seen[i], want[i])
			}
		}
	})
}

// changesFrom makes changes of five bytes each: kind, then the last bytes of the address.
func changesFrom(data []byte) (changes []change) {
	for len(data) >= 5 && len(changes) < maxChanges {
		kind := data[0]
		addr := netip.AddrFrom4([4]byte(data[1:5]))
		c := change{scope: scope{bits: 32}, out: kind&4 != 0, timeout: uint64(kind)}
		if kind&2 != 0 {
			addr, c.scope = netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 12: data[1], 13: data[2], 14: data[3], 15: data[4]}), scope{v6: true, bits: 128}
		}
		if kind&1 != 0 {
			c.ports = "22"
		}
		c.addr = addr
		changes = append(changes, c)
		data = data[5:]
	}
	return changes
}

// readBack decodes one message of elements and adds them to seen.
func readBack(t *testing.T, b *batch, m message, index int, seen *[3][]change) {
	attrs := decode(t, m.data[4:])
	if len(attrs) != 3 || attrs[0].Type != unix.NFTA_SET_ELEM_LIST_TABLE || attrs[2].Type != unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED {
		t.Fatalf("got %v, want table, set and elements", attrs)
	}
	set := text(attrs[1].Data)
	list := 0
	at := headerLen + attrSize(attrs[0]) + attrSize(attrs[1]) + 4 // of the element in the message, as the kernel names it
	for i, e := range decode(t, attrs[2].Data) {
		inner := decode(t, e.Data)
		addr, ok := netip.AddrFromSlice(decode(t, inner[0].Data)[0].Data)
		if !ok || set != (scope{v6: addr.Is6(), bits: addr.BitLen(), ports: portsOf(set)}).name() {
			t.Fatalf("got %v in %s", addr, set)
		}
		if place, ok := b.blamed(fail{index: index, at: at}); !ok || place != b.marks[index].from+i {
			t.Fatalf("got place %d, %v, want %d", place, ok, b.marks[index].from+i)
		}
		at += attrSize(e)
		c := change{scope: scope{ports: portsOf(set)}, addr: addr}
		if len(inner) > 1 {
			list = 2
			c.timeout = binary.BigEndian.Uint64(inner[1].Data)
			if timed := len(inner) == 3 && bytes.Equal(inner[1].Data, inner[2].Data); timed != (c.timeout > 0) {
				t.Fatalf("got %v, want a timeout and the same time left, or 0 alone", inner)
			}
		}
		if m.typ&0xff == unix.NFT_MSG_DELSETELEM {
			list = 1
		}
		seen[list] = append(seen[list], c)
	}
}

func decode(t *testing.T, b []byte) []netlink.Attribute {
	attrs, err := netlink.UnmarshalAttributes(b)
	if err != nil {
		t.Fatal(err)
	}
	return attrs
}

func attrSize(a netlink.Attribute) int { return (4 + len(a.Data) + 3) &^ 3 }

func portsOf(set string) string {
	s, _ := parseScope(set)
	return s.ports
}

// Attributes are read as netlink's own decoder reads them, whatever comes; where it finds fault ours may
// stop early, but not run away.
func FuzzAttributes(f *testing.F) {
	good, _ := netlink.MarshalAttributes([]netlink.Attribute{{Type: 1, Data: []byte("abc\x00")}, {Type: 2 | unix.NLA_F_NESTED, Data: []byte{1}}})
	f.Add(good)
	f.Add([]byte{3, 0, 1, 0})
	f.Add([]byte{4, 0, 1, 0, 0xff, 0xff, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		want, err := netlink.UnmarshalAttributes(data)
		size := 0
		for _, a := range want {
			size += attrSize(a)
		}
		if size < len(data) { // it skips headers of no length, which the kernel does not write; ours stops
			err = errors.New("headers of no length")
		}
		i := 0
		for typ, value := range attributes(data) {
			if err == nil && (i >= len(want) || typ != want[i].Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) || !bytes.Equal(value, want[i].Data)) {
				t.Fatalf("attribute %d: got %d %q, want %v", i, typ, value, want)
			}
			i++
		}
		if err == nil && i != len(want) {
			t.Errorf("got %d attributes, want %d", i, len(want))
		}
		for m := range messages(data) {
			_ = m.fail()
			_ = changedBy(data)
			readElements(m.data, func(element) {})
			_, _ = (&NFTables{}).concerns(data)
		}
	})
}

func TestReadElements(t *testing.T) {
	for _, c := range []struct {
		name string
		left []byte // NFTA_SET_ELEM_EXPIRATION
		want time.Duration
	}{
		{"for ever", nil, 0},
		{"an hour", binary.BigEndian.AppendUint64(nil, 3_600_000), time.Hour},
		{"just ending", make([]byte, 8), time.Millisecond}, // not for ever
		{"absurd", bytes.Repeat([]byte{0xff}, 8), 1 << 43 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b batch
			b.begin(1)
			list := b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS | unix.NLA_F_NESTED)
			elem := b.nest(unix.NFTA_LIST_ELEM | unix.NLA_F_NESTED)
			key := b.nest(unix.NFTA_SET_ELEM_KEY | unix.NLA_F_NESTED)
			b.attr(unix.NFTA_DATA_VALUE, 192, 0, 2, 7)
			b.unnest(key)
			if c.left != nil {
				b.attr(unix.NFTA_SET_ELEM_EXPIRATION, c.left...)
			}
			b.unnest(elem)
			b.unnest(list)
			var got []element
			readElements(b.buf[headerLen:], func(e element) { got = append(got, e) })
			if len(got) != 1 || got[0].addr.String() != "192.0.2.7" || got[0].left != c.want {
				t.Errorf("got %v, want 192.0.2.7 with %v left", got, c.want)
			}
		})
	}
}

// The largest batch fits the default send buffer, and its lists their 16 bits.
func TestLargestBatch(t *testing.T) {
	changes := make([]change, maxChanges)
	until := time.Now().Add(time.Hour)
	for i := range changes {
		a := ban("2001:db8::1/128", until)
		a.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20, 14: byte(i >> 8), 15: byte(i)}), 128)
		c, err := changesOf(&a, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		changes[i] = c[0]
	}
	var b batch
	b.begin(1)
	b.addElements("a table with a very long name, as long as options let it be", changes, false)
	b.end(false)
	if len(b.buf) > maxBatch {
		t.Errorf("got %d bytes, want at most %d", len(b.buf), maxBatch)
	}
	for m := range messages(b.buf) {
		if len(m.data) > 0xffff {
			t.Errorf("got a message of %d bytes, want a list of at most 65535", len(m.data))
		}
	}
}

// Many sets with one change each have more around each of them: then a batch has fewer.
func TestManySets(t *testing.T) {
	n := newNFTables(t)
	until := time.Now().Add(time.Hour)
	var bans []pipeline.Action
	for i := range 400 {
		a := ban("2001:db8::1/128", until, pipeline.PortRange{First: uint16(i + 1), Last: uint16(i + 1)}, pipeline.PortRange{First: 1000, Last: 1001})
		bans = append(bans, a)
	}
	changes := make([]change, len(bans))
	for i := range bans {
		c, _ := changesOf(&bans[i], time.Now())
		changes[i] = c[0]
	}
	order(changes)
	var b batch
	b.begin(1)
	b.addElements("a table with a very long name, as long as options let it be", part(changes), false)
	b.end(false)
	if len(b.buf) > maxBatch {
		t.Errorf("got %d bytes, want at most %d", len(b.buf), maxBatch)
	}
	if err := n.Apply(t.Context(), bans); err != nil {
		t.Fatal(err)
	}
	expectHeld(t, n, bans...)
}
