package sinks

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Probe says in one sentence why bans would not work here, and what to do about it; nil means they would. It
// rehearses in the kernel what the first Apply does, and changes nothing.
func (n *NFTables) Probe(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := n.options()
	if err != nil {
		return err
	}
	s, err := dial()
	if err != nil {
		return explain(err)
	}
	defer s.close()
	var b batch
	l, err := inspect(s, &b, n.table())
	if err != nil {
		return explain(err)
	}
	if err := l.foreign(n.table(), 0); err != nil {
		return err
	}
	keep := make(map[scope]bool) // all that are there
	for _, name := range l.sets {
		if s, ok := parseScope(name); ok {
			keep[s] = true
		}
	}
	b.begin(s.seq + 1)
	// One scope of each form, so that each form of rule is tried.
	if _, err := n.write(&b, l, h, append(hosts(), scope{bits: 24, ports: "22,80-443"}, scope{v6: true, bits: 64, ports: "22"}), keep); err != nil {
		return err
	}
	return explain(unable(s.commit(&b, true)))
}

// Flush removes our table and everything in it, so that nobody is banned any more, with or without a running
// service; removed is false if there was none. A service that runs takes it for a deliberate act: it
// does not put the bans back, but goes on with the next one.
func (n *NFTables) Flush(ctx context.Context) (removed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	s, err := dial()
	if err != nil {
		return false, explain(err)
	}
	defer s.close()
	l, err := inspectTable(s, &n.batch, n.table())
	if err != nil {
		return false, explain(err)
	}
	if !l.exists {
		return false, nil
	}
	if err := l.foreign(n.table(), s.port); err != nil {
		return false, err
	}
	err = n.remove(s, &n.batch, flushSeq-1)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, explain(err)
	}
	n.sets = nil
	return true, nil
}

func (n *NFTables) remove(s *socket, b *batch, seq uint32) error {
	b.begin(seq)
	b.add(unix.NFT_MSG_DELTABLE, 0, "table "+n.table())
	b.attrString(unix.NFTA_TABLE_NAME, n.table())
	return s.commit(b, false)
}

// explain puts an error into words that say what to do.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("no right to change nftables (CAP_NET_ADMIN): run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN: %w", err)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: %w", errNoNFTables, err)
	}
	return err
}

// unable does so for what the kernel says to the structure of our table.
func unable(err error) error {
	for _, errno := range []unix.Errno{unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT} {
		if errors.Is(err, errno) {
			return fmt.Errorf("this kernel's nf_tables cannot do what banpipe needs (Linux 5.10 or later with CONFIG_NF_TABLES_INET): %w", err)
		}
	}
	return err
}
