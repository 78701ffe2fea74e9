package sinks

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// A batch is a run of nf_tables messages in one buffer. The kernel carries them out together or not at
// all (nfnetlink's BATCH_BEGIN and BATCH_END). A buffer is used again and again: in a running
// sink a ban allocates nothing here.
//
// It is written by hand because google/nftables v0.3.0 cannot write a table's comment, a set's
// gc-interval or an element's permanence, wraps element lists that are too long without a word, and
// costs four times the CPU for a single ban.
type batch struct {
	buf   []byte
	marks []mark // one per message between begin and end
	first uint32 // the sequence number of BATCH_BEGIN; the messages follow it
	open  int    // where the current message starts
}

// A mark says what a message was about, for the error that may come back.
type mark struct {
	what  string // for people: "set ban4"
	elems int    // where its list of elements starts within the message; 0: it has none
	size  int    // the bytes of each element in it
	from  int    // the first element's place among the changes of the batch
}

const (
	headerLen = unix.SizeofNlMsghdr + 4 // nlmsghdr, nfgenmsg

	nfTables = unix.NFNL_SUBSYS_NFTABLES << 8

	// The most bytes in a batch of elements: it fits the default send buffer (212,992 bytes) with room to
	// spare. More than the buffer is EMSGSIZE.
	maxBatch = 160 << 10
)

func (b *batch) begin(seq uint32) {
	b.buf, b.marks, b.first = b.buf[:0], b.marks[:0], seq
	b.header(unix.NFNL_MSG_BATCH_BEGIN, 0)
}

// end closes the batch, which then has the sequence numbers up to the one returned. Without its last
// message the kernel checks everything and changes nothing: that is a rehearsal.
func (b *batch) end(rehearsal bool) (last uint32) {
	// One acknowledgement is enough: messages that fail are reported in any case.
	b.flags(b.open, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 0)
	last = b.first + uint32(len(b.marks))
	if !rehearsal {
		b.header(unix.NFNL_MSG_BATCH_END, 0)
	}
	return last
}

func (b *batch) empty() bool { return len(b.marks) == 0 }

// add starts the next message, of the family inet.
func (b *batch) add(typ uint16, flags uint16, what string) {
	b.marks = append(b.marks, mark{what: what})
	b.header(nfTables|typ, flags)
}

func (b *batch) header(typ uint16, flags uint16) {
	b.open = len(b.buf)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, headerLen)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, unix.NLM_F_REQUEST|flags)
	seq := b.first + uint32(len(b.marks))
	if typ == unix.NFNL_MSG_BATCH_END {
		seq++
	}
	b.buf = binary.NativeEndian.AppendUint32(b.buf, seq)
	b.buf = append(b.buf, 0, 0, 0, 0) // port: the kernel fills it in
	if typ&0xff00 == nfTables {
		b.buf = append(b.buf, unix.NFPROTO_INET, unix.NFNETLINK_V0, 0, 0)
	} else {
		b.buf = append(b.buf, unix.NFPROTO_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES)
	}
}

func (b *batch) flags(at int, set, clear uint16) {
	was := binary.NativeEndian.Uint16(b.buf[at+6:])
	binary.NativeEndian.PutUint16(b.buf[at+6:], was&^clear|set)
}

// attr appends an attribute to the open message.
func (b *batch) attr(typ uint16, data ...byte) {
	at := b.nest(typ)
	b.buf = append(b.buf, data...)
	b.unnest(at)
	for len(b.buf)%4 != 0 { // padding is not part of the attribute's length, but of the message's
		b.buf = append(b.buf, 0)
	}
	b.grow()
}

func (b *batch) attrString(typ uint16, s string) {
	at := b.nest(typ)
	b.buf = append(append(b.buf, s...), 0)
	b.unnest(at)
	for len(b.buf)%4 != 0 {
		b.buf = append(b.buf, 0)
	}
	b.grow()
}

// attrUint32 and attrUint64 write big endian, as all of nf_tables' numbers are.
func (b *batch) attrUint32(typ uint16, v uint32) {
	b.buf = binary.NativeEndian.AppendUint16(b.buf, 8)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = binary.BigEndian.AppendUint32(b.buf, v)
	b.grow()
}

func (b *batch) attrUint64(typ uint16, v uint64) {
	b.buf = binary.NativeEndian.AppendUint16(b.buf, 12)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = binary.BigEndian.AppendUint64(b.buf, v)
	b.grow()
}

// nest opens an attribute that ends with unnest.
func (b *batch) nest(typ uint16) (at int) {
	at = len(b.buf)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, 0)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	return at
}

func (b *batch) unnest(at int) {
	// The length has 16 bits. Whoever writes lists keeps them below that; see maxElements.
	binary.NativeEndian.PutUint16(b.buf[at:], uint16(len(b.buf)-at))
	b.grow()
}

// grow brings the open message's length up to date.
func (b *batch) grow() {
	binary.NativeEndian.PutUint32(b.buf[b.open:], uint32(len(b.buf)-b.open))
}

// attributes goes over the attributes in b; what is cut short ends it. The type comes without its flags.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= 4 {
			n := int(binary.NativeEndian.Uint16(b))
			typ := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if n < 4 || n > len(b) || !yield(typ, b[4:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// attribute is the first attribute of a type, or nil.
func attribute(b []byte, typ uint16) []byte {
	for t, data := range attributes(b) {
		if t == typ {
			return data
		}
	}
	return nil
}

// text is an attribute's string without the NUL that ends it.
func text(data []byte) string {
	if n := len(data); n > 0 && data[n-1] == 0 {
		data = data[:n-1]
	}
	return string(data)
}

func number32(data []byte) uint32 {
	if len(data) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(data)
}

func number64(data []byte) uint64 {
	if len(data) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(data)
}
