package sinks

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// What the table looks like, with a jail that is limited to ports and one that bans networks:
//
//	table inet banpipe {
//		comment "banpipe: …"
//		set pause4 { type ipv4_addr; … }
//		set pause6 { type ipv6_addr; … }
//		set allow4 { type ipv4_addr; … }
//		set allow6 { type ipv6_addr; … }
//		set ban4 { type ipv4_addr; size 2097152; timeout 1d; gc-interval 30s; }
//		set ban6 { … }
//		set ban6_net64 { … }
//		set ban4_port80_443 { … }
//		chain bans {
//			type filter hook prerouting priority raw; policy accept;
//			iif "lo" return
//			icmpv6 type { nd-router-solicit, … } return
//			ip saddr & 0.0.0.0 @pause4 return
//			ip6 saddr & :: @pause6 return
//			ip saddr @allow4 return
//			ip6 saddr @allow6 return
//			ip saddr @ban4 counter drop
//			ip6 saddr @ban6 counter drop
//			ip6 saddr & ffff:ffff:ffff:ffff:: @ban6_net64 counter drop
//			tcp dport { 80, 443 } ip saddr @ban4_port80_443 counter drop
//			udp dport { 80, 443 } ip saddr @ban4_port80_443 counter drop
//		}
//	}
const (
	banChain    = "bans"
	refuseChain = "refuse" // with the policy reject only: where offenders are told no

	// An element without an end of its own gets this one: nobody is banned for ever by accident, be it
	// ours or that of somebody who typed "nft add element".
	defaultTimeout = 24 * time.Hour

	// How often the kernel frees ended elements. At its own 1 s a million of them cost 7 % of a core;
	// they do not match any more before they are freed.
	gcInterval = 30 * time.Second

	// The elements that one set may hold. Linux reserves memory for size modulo 65536 of them at
	// once (rhashtable_params.nelem_hint has 16 bits), which is none of this number.
	defaultSize = 2 << 20
)

// Not in x/sys (linux/netfilter/nf_tables.h).
const (
	tableUserdata   = 6  // NFTA_TABLE_USERDATA
	tableOwner      = 7  // NFTA_TABLE_OWNER: the port of the process that alone may change it
	tableDormant    = 1  // NFT_TABLE_F_DORMANT: switched off
	setCount        = 20 // NFTA_SET_COUNT: the elements in it
	udataComment    = 0  // NFTNL_UDATA_TABLE_COMMENT
	icmpxPortUnrech = 1  // NFT_REJECT_ICMPX_PORT_UNREACH
	ctDirection     = 1  // IP_CT_DIR_REPLY
)

// A builder writes the structure of the table into a batch: everything but the elements.
type builder struct {
	*batch
	table  string
	size   uint32
	reject bool
	sets   uint32 // ids given out, by which rules find sets of the same batch
	err    error

	lookups uint32 // rules in the chain with the lookups
}

// comment is the table's comment; its first word is how we know the table again.
func comment(table string) string {
	return ourMark + " keeps its bans here; to undo all: banpipe flush, or nft delete table inet " + table
}

const ourMark = "banpipe:"

func (b *builder) addTable(flags uint16) {
	b.add(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|flags, "table "+b.table)
	b.attrString(unix.NFTA_TABLE_NAME, b.table)
	b.attrUint32(unix.NFTA_TABLE_FLAGS, 0) // wakes a dormant one
	b.attr(tableUserdata, userdata.AppendString(nil, udataComment, comment(b.table))...)
}

// addSet makes a named set of addresses whose elements end by themselves, or leaves the one that is there.
func (b *builder) addSet(name string, v6 bool) {
	key := nftables.TypeIPAddr
	if v6 {
		key = nftables.TypeIP6Addr
	}
	b.newSet(name, unix.NFT_SET_TIMEOUT, key)
	b.attrUint64(unix.NFTA_SET_TIMEOUT, uint64(defaultTimeout.Milliseconds()))
	b.attrUint32(unix.NFTA_SET_GC_INTERVAL, uint32(gcInterval.Milliseconds()))
	desc := b.nest(unix.NFTA_SET_DESC | unix.NLA_F_NESTED)
	b.attrUint32(unix.NFTA_SET_DESC_SIZE, b.size)
	b.unnest(desc)
}

func (b *builder) newSet(name string, flags uint32, key nftables.SetDatatype) (id uint32) {
	b.sets++
	b.add(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, "set "+name)
	b.attrString(unix.NFTA_SET_TABLE, b.table)
	b.attrString(unix.NFTA_SET_NAME, name)
	b.attrUint32(unix.NFTA_SET_ID, b.sets)
	b.attrUint32(unix.NFTA_SET_FLAGS, flags)
	b.attrUint32(unix.NFTA_SET_KEY_TYPE, key.GetNFTMagic())
	b.attrUint32(unix.NFTA_SET_KEY_LEN, key.Bytes)
	return b.sets
}

func (b *builder) delSet(name string) {
	b.add(unix.NFT_MSG_DELSET, 0, "set "+name)
	b.attrString(unix.NFTA_SET_TABLE, b.table)
	b.attrString(unix.NFTA_SET_NAME, name)
}

// addConstants makes the set without a name that a rule's { … } is; ends are the keys behind each range.
func (b *builder) addConstants(key nftables.SetDatatype, ranges bool, elems func(put func(key []byte, end bool))) *expr.Lookup {
	flags := uint32(unix.NFT_SET_ANONYMOUS | unix.NFT_SET_CONSTANT)
	if ranges {
		flags |= unix.NFT_SET_INTERVAL
	}
	const name = "__set%d"
	id := b.newSet(name, flags, key)
	b.add(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, "set "+name)
	b.attrString(unix.NFTA_SET_ELEM_LIST_TABLE, b.table)
	b.attrString(unix.NFTA_SET_ELEM_LIST_SET, name)
	b.attrUint32(unix.NFTA_SET_ELEM_LIST_SET_ID, id)
	list := b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS | unix.NLA_F_NESTED)
	elems(func(key []byte, end bool) {
		elem := b.nest(unix.NFTA_LIST_ELEM | unix.NLA_F_NESTED)
		if end {
			b.attrUint32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
		}
		value := b.nest(unix.NFTA_SET_ELEM_KEY | unix.NLA_F_NESTED)
		b.attr(unix.NFTA_DATA_VALUE, key...)
		b.unnest(value)
		b.unnest(elem)
	})
	b.unnest(list)
	return &expr.Lookup{SourceRegister: 1, SetName: name, SetID: id}
}

func (b *builder) addChain(name string, hook *hook) {
	b.chain(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, name)
	if hook == nil {
		return
	}
	nested := b.nest(unix.NFTA_CHAIN_HOOK | unix.NLA_F_NESTED)
	b.attrUint32(unix.NFTA_HOOK_HOOKNUM, hook.num)
	b.attrUint32(unix.NFTA_HOOK_PRIORITY, uint32(hook.priority))
	b.unnest(nested)
	b.attrUint32(unix.NFTA_CHAIN_POLICY, uint32(nftables.ChainPolicyAccept))
	b.attrString(unix.NFTA_CHAIN_TYPE, "filter")
}

func (b *builder) delChain(name string) { b.chain(unix.NFT_MSG_DELCHAIN, 0, name) }

func (b *builder) chain(typ, flags uint16, name string) {
	b.add(typ, flags, "chain "+name)
	b.attrString(unix.NFTA_CHAIN_TABLE, b.table)
	b.attrString(unix.NFTA_CHAIN_NAME, name)
}

// delRules empties a chain.
func (b *builder) delRules(chain string) {
	b.add(unix.NFT_MSG_DELRULE, 0, "chain "+chain)
	b.attrString(unix.NFTA_RULE_TABLE, b.table)
	b.attrString(unix.NFTA_RULE_CHAIN, chain)
}

func (b *builder) addRule(chain string, exprs ...expr.Any) {
	if chain == banChain {
		b.lookups++
	}
	b.add(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, "a rule of chain "+chain)
	b.attrString(unix.NFTA_RULE_TABLE, b.table)
	b.attrString(unix.NFTA_RULE_CHAIN, chain)
	list := b.nest(unix.NFTA_RULE_EXPRESSIONS | unix.NLA_F_NESTED)
	for _, e := range exprs {
		data, err := expr.Marshal(unix.NFPROTO_INET, e)
		if err != nil && b.err == nil {
			b.err = fmt.Errorf("%T: %w", e, err)
		}
		b.attr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, data...)
	}
	b.unnest(list)
}

// addGuards adds the rules before the lookups: what must never be dropped, whoever is banned.
func (b *builder) addGuards(keepOutgoing bool) {
	pass := &expr.Verdict{Kind: expr.VerdictReturn}
	// lo has the index 1 in every network namespace.
	b.addRule(banChain, &expr.Meta{Key: expr.MetaKeyIIF, Register: 1}, equal(binary.NativeEndian.AppendUint32(nil, 1)), pass)
	// Without neighbour discovery (RFC 4861, types 133 to 136) a banned neighbour on the link cuts IPv6.
	discovery := b.addConstants(nftables.TypeICMP6Type, false, func(put func([]byte, bool)) {
		for typ := byte(133); typ <= 136; typ++ {
			put([]byte{typ}, false)
		}
	})
	b.addRule(banChain, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{unix.IPPROTO_ICMPV6}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}, discovery, pass)
	if keepOutgoing {
		// Answers to connections that were opened from here, or from behind us.
		b.addRule(banChain, &expr.Ct{Key: expr.CtKeyDIRECTION, Register: 1}, equal([]byte{ctDirection}), pass)
	}
	for _, s := range doors() {
		b.addRule(banChain, append(source(s, s.name()), pass)...)
	}
}

// addLookups adds the rules that drop what a scope's set holds: one, or one each for TCP and UDP.
func (b *builder) addLookups(s scope) error {
	ranges, err := s.portRanges()
	if err != nil {
		return err
	}
	verdict := &expr.Verdict{Kind: expr.VerdictDrop}
	if b.reject {
		verdict = &expr.Verdict{Kind: expr.VerdictGoto, Chain: refuseChain}
	}
	end := []expr.Any{&expr.Counter{}, verdict}
	if ranges == nil {
		b.addRule(banChain, append(source(s, s.name()), end...)...)
		return nil
	}
	for _, proto := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		rule := append([]expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{proto}),
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, // destination port
			b.addPorts(ranges),
		}, source(s, s.name())...)
		b.addRule(banChain, append(rule, end...)...)
	}
	return nil
}

// addPorts compares a port with ranges.
func (b *builder) addPorts(ranges []pipeline.PortRange) expr.Any {
	if len(ranges) == 1 && ranges[0].First == ranges[0].Last {
		return equal(binary.BigEndian.AppendUint16(nil, ranges[0].First))
	}
	wide := false
	for _, r := range ranges {
		wide = wide || r.First != r.Last
	}
	return b.addConstants(nftables.TypeInetService, wide, func(put func([]byte, bool)) {
		for _, r := range ranges {
			put(binary.BigEndian.AppendUint16(nil, r.First), false)
			if wide && r.Last < 0xffff { // else it has no end
				put(binary.BigEndian.AppendUint16(nil, r.Last+1), true)
			}
		}
	})
}

// addRefusals fills the chain that says no: a reset for TCP, an ICMP error for the rest.
func (b *builder) addRefusals() {
	b.addRule(refuseChain, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal([]byte{unix.IPPROTO_TCP}), &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
	b.addRule(refuseChain, &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: icmpxPortUnrech})
}

// source compares the masked source address of a packet with a set.
func source(s scope, set string) []expr.Any {
	family, offset := byte(unix.NFPROTO_IPV4), uint32(12)
	if s.v6 {
		family, offset = unix.NFPROTO_IPV6, 8
	}
	n := uint32(s.addrLen())
	exprs := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal([]byte{family}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n},
	}
	if !s.isHost() {
		exprs = append(exprs, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: s.mask(), Xor: make([]byte, n)})
	}
	return append(exprs, &expr.Lookup{SourceRegister: 1, SetName: set})
}

func equal(data []byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
