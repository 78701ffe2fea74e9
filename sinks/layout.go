package sinks

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// A hook is where the chain with our rules stands.
type hook struct {
	num      uint32 // linux/netfilter.h
	priority int32  // linux/netfilter_ipv4.h
}

// conntrack's place at prerouting (NF_IP_PRI_CONNTRACK) and the next usual one behind it.
const (
	priorityRaw       = -300
	priorityConntrack = -200
	priorityMangle    = -150
)

// options are the fields of NFTables, checked.
func (n *NFTables) options() (hook, error) {
	h := hook{priority: cmp.Or(n.Priority, priorityRaw)}
	switch n.Hook {
	case "", "prerouting":
		if n.KeepOutgoing && h.priority <= priorityConntrack {
			h.priority = priorityMangle
		}
	case "input":
		h.num = 1
	case "forward":
		h.num = 2
	default:
		return h, fmt.Errorf("hook %q: want prerouting, input or forward", n.Hook)
	}
	if n.Policy != "" && n.Policy != "drop" && n.Policy != "reject" {
		return h, fmt.Errorf("policy %q: want drop or reject", n.Policy)
	}
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,59}$`).MatchString(n.table()) {
		return h, fmt.Errorf("table %q: want a letter, then letters, digits, _ . or -, at most 60", n.Table)
	}
	return h, nil
}

// A layout is what the kernel has under our table's name.
type layout struct {
	exists  bool
	comment string
	owner   uint32 // the socket that alone may change it; 0 if anybody may
	dormant bool
	sets    []string
	bans    chain // the chain with the lookups
	refuse  chain // and the one that says no
}

// A chain is what the kernel tells of one.
type chain struct {
	exists bool
	hook   hook
	rules  uint32
}

// inspect reads a table's layout.
func inspect(s *socket, b *batch, table string) (l layout, err error) {
	if l, err = inspectTable(s, b, table); err != nil || !l.exists {
		return l, err
	}
	if l.bans, err = inspectChain(s, b, table, banChain); err != nil {
		return l, err
	}
	if l.refuse, err = inspectChain(s, b, table, refuseChain); err != nil {
		return l, err
	}
	found := make(map[string]bool)
	for range maxTries {
		b.begin(s.seq)
		b.add(unix.NFT_MSG_GETSET, 0, "sets of table "+table)
		b.attrString(unix.NFTA_SET_TABLE, table)
		interrupted, err := s.ask(b, unix.NLM_F_DUMP, func(attrs []byte) { found[text(attribute(attrs, unix.NFTA_SET_NAME))] = true })
		if err != nil {
			return l, err
		}
		if !interrupted {
			break
		}
		// Where others change rules all the time there may never be a quiet moment. A set that is
		// overlooked in all tries is found again when it is needed.
	}
	l.sets = slices.Sorted(maps.Keys(found))
	return l, nil
}

func inspectChain(s *socket, b *batch, table, name string) (c chain, err error) {
	b.begin(s.seq)
	b.add(unix.NFT_MSG_GETCHAIN, 0, "chain "+name)
	b.attrString(unix.NFTA_CHAIN_TABLE, table)
	b.attrString(unix.NFTA_CHAIN_NAME, name)
	_, err = s.ask(b, 0, func(attrs []byte) {
		h := attribute(attrs, unix.NFTA_CHAIN_HOOK)
		c = chain{
			exists: true,
			hook:   hook{num: number32(attribute(h, unix.NFTA_HOOK_HOOKNUM)), priority: int32(number32(attribute(h, unix.NFTA_HOOK_PRIORITY)))},
			rules:  number32(attribute(attrs, unix.NFTA_CHAIN_USE)),
		}
	})
	if errors.Is(err, unix.ENOENT) {
		return c, nil
	}
	return c, err
}

func inspectTable(s *socket, b *batch, table string) (l layout, err error) {
	b.begin(s.seq)
	b.add(unix.NFT_MSG_GETTABLE, 0, "table "+table)
	b.attrString(unix.NFTA_TABLE_NAME, table)
	_, err = s.ask(b, 0, func(attrs []byte) {
		l.exists = true
		l.owner = number32(attribute(attrs, tableOwner))
		l.dormant = number32(attribute(attrs, unix.NFTA_TABLE_FLAGS))&tableDormant != 0
		if data := attribute(attrs, tableUserdata); len(data) >= 2 && 2+int(data[1]) <= len(data) {
			l.comment, _ = userdata.GetString(data, udataComment)
		}
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return l, nil
	case errors.Is(err, unix.EINVAL): // what nfnetlink says for a subsystem that is not there
		return l, fmt.Errorf("%w: %w", errNoNFTables, err)
	}
	return l, err
}

var errNoNFTables = errors.New("this kernel has no nf_tables: load it with modprobe nf_tables, or use a kernel with CONFIG_NF_TABLES_INET")

// foreign says why a table is not ours to change, or nil.
func (l layout) foreign(table string, port uint32) error {
	switch {
	case !l.exists:
		return nil
	case !strings.HasPrefix(l.comment, ourMark):
		return fmt.Errorf("table inet %s is somebody else's (its comment does not begin with %q): give banpipe another one with the key table, or remove it with nft delete table inet %[1]s", table, ourMark)
	case l.owner != 0 && l.owner != port:
		return fmt.Errorf("table inet %s is owned by another process that runs (netlink port %d): stop that one first", table, l.owner)
	}
	return nil
}
