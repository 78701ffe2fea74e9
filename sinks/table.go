package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables/userdata"
	"go.uber.org/zap"
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
	if errors.Is(err, unix.ENOENT) {
		return l, nil
	}
	return l, err
}

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

// maxScopes is the number of sets that are made in one batch, with their rules. More would go beyond what
// may be sent at once in a user namespace.
const maxScopes = 64

// write puts into the batch what makes layout l hold our chain and the sets of scopes, with their rules. Of the
// sets that are there, those in keep stay. rules is the number of rules in our chain.
func (n *NFTables) write(b *batch, l layout, h hook, scopes []scope, keep map[scope]bool) (rules uint32, err error) {
	w := n.builder(b)
	if l.exists {
		w.addTable(0)
	} else {
		w.addTable(unix.NLM_F_EXCL)
	}
	if l.bans.exists {
		w.delRules(banChain)
		if l.bans.hook != h { // a chain cannot move
			w.delChain(banChain)
		}
	}
	if l.refuse.exists {
		w.delRules(refuseChain)
		w.delChain(refuseChain)
	}
	for _, name := range l.sets {
		if s, ok := parseScope(name); ok && !keep[s] {
			w.delSet(name)
		}
	}
	for _, s := range doors() {
		w.addSet(s.name(), s.v6)
	}
	if w.reject {
		w.addChain(refuseChain, nil)
		w.addRefusals()
	}
	w.addChain(banChain, &h)
	w.addGuards(n.KeepOutgoing)
	err = w.addScopes(scopes)
	return w.lookups, err
}

func (n *NFTables) builder(b *batch) builder {
	return builder{batch: b, table: n.table(), size: cmp.Or(n.Size, defaultSize), reject: n.Policy == "reject"}
}

func (b *builder) addScopes(scopes []scope) error {
	for _, s := range scopes {
		if s.pass {
			continue // made with the guards
		}
		b.addSet(s.name(), s.v6)
		if err := b.addLookups(s); err != nil {
			return err
		}
	}
	return b.err
}

// build makes the table, or takes over the one that is there with the elements in it; with prune, sets of
// other scopes go. It is one batch, for up to 64 sets: packets meet the old rules or the new ones.
func (n *NFTables) build(scopes []scope, prune bool) error {
	h, err := n.options()
	if err != nil {
		return err
	}
	l, err := inspect(n.sock, &n.batch, n.table())
	if err != nil {
		return err
	}
	if err := l.foreign(n.table(), n.sock.port); err != nil {
		return err
	}
	want := make(map[scope]bool)
	for _, s := range slices.Concat(always(), scopes) {
		want[s] = true
	}
	for _, name := range l.sets {
		if s, ok := parseScope(name); ok && !prune {
			want[s] = true
		}
	}
	all := slices.SortedFunc(maps.Keys(want), compareScopes)
	first := all[:min(len(all), maxScopes)]
	n.batch.begin(n.sock.seq + 1)
	rules, err := n.write(&n.batch, l, h, first, want)
	if err != nil {
		return err
	}
	err = n.sock.commit(&n.batch, false)
	switch {
	case errors.Is(err, unix.EBUSY) && prune: // somebody's own rule uses one of the sets
		return n.build(scopes, false)
	case errors.Is(err, unix.EEXIST) && l.exists: // of another version of this program
		n.log().Warn("the table has another layout and is made anew", zap.String("table", n.table()), zap.Error(err))
		if err := n.remove(n.sock, &n.batch, n.sock.seq+1); err != nil {
			return err
		}
		return n.build(scopes, prune)
	case err != nil:
		return err
	}
	n.rules = rules
	n.sets = make(map[scope]bool, len(all))
	for _, s := range first {
		n.sets[s] = true
	}
	n.log().Info("table is set up", zap.String("table", n.table()), zap.Uint32("hook", h.num), zap.Int32("priority", h.priority), zap.Int("sets", len(all)))
	if err := n.learn(); err != nil {
		return err
	}
	return n.extend(all[len(first):])
}

// learn tries, once and in a set that no rule uses, whether this kernel moves the end of an element that is
// added again (Linux 6.12 and later).
func (n *NFTables) learn() error {
	if n.learned {
		return nil
	}
	const set = "trial"
	w := n.builder(&n.batch)
	trial := []change{{scope: scope{bits: 32}, addr: netip.AddrFrom4([4]byte{192, 0, 2, 1})}}
	for hours := range uint64(2) {
		w.begin(n.sock.seq + 1)
		w.addSet(set, false)
		trial[0].timeout = (hours + 1) * 3_600_000
		w.addList(unix.NFT_MSG_NEWSETELEM, n.table(), set, trial, 0, 1, true)
		if err := n.sock.commit(&n.batch, false); err != nil {
			return err
		}
	}
	n.batch.begin(n.sock.seq)
	n.batch.askElements(n.table(), set)
	updates := false
	if _, err := n.sock.ask(&n.batch, unix.NLM_F_DUMP, func(attrs []byte) {
		readElements(attrs, func(e element) { updates = e.left > 90*time.Minute })
	}); err != nil {
		return err
	}
	w.begin(n.sock.seq + 1)
	w.delSet(set)
	if err := n.sock.commit(&n.batch, false); err != nil {
		return err
	}
	n.learned, n.updates = true, updates
	n.log().Debug("kernel", zap.Bool("updates_elements", updates))
	return nil
}

// need makes what changes need and is not there.
func (n *NFTables) need(changes []change) error {
	var missing []scope
	for i := range changes {
		s := changes[i].scope
		if (i == 0 || changes[i-1].scope != s) && !n.sets[s] {
			missing = append(missing, s)
		}
	}
	return n.extend(missing)
}

// extend adds sets and their rules. The other rules keep their counters.
func (n *NFTables) extend(scopes []scope) error {
	if n.sets == nil {
		return n.build(scopes, false)
	}
	for some := range slices.Chunk(scopes, maxScopes) {
		w := n.builder(&n.batch)
		w.begin(n.sock.seq + 1)
		if err := w.addScopes(some); err != nil {
			return err
		}
		if err := n.sock.commit(&n.batch, false); err != nil {
			return err
		}
		n.rules += w.lookups
		for _, s := range some {
			n.sets[s] = true
		}
	}
	return nil
}

// lost notes that the table is not what we left, and that Watch must have the live bans put back.
func (n *NFTables) lost() {
	n.sets = nil
	if n.notices != nil {
		n.notices.note()
	}
}

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
		return n.explain(err)
	}
	defer s.close()
	var b batch
	l, err := inspect(s, &b, n.table())
	if err != nil {
		return n.explain(err)
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
	if err := s.commit(&b, true); err != nil {
		return n.explain(err)
	}
	return nil
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
		return false, n.explain(err)
	}
	defer s.close()
	l, err := inspectTable(s, &n.batch, n.table())
	if err != nil {
		return false, n.explain(err)
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
		return false, n.explain(err)
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
func (n *NFTables) explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("no right to change nftables (CAP_NET_ADMIN): run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN: %w", err)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("this kernel has no nf_tables: load it with modprobe nf_tables, or use a kernel with CONFIG_NF_TABLES_INET: %w", err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("this kernel's nf_tables cannot do what banpipe needs (Linux 5.9 or later with CONFIG_NF_TABLES_INET): %w", err)
	}
	return err
}
