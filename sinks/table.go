package sinks

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

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
		return unable(err)
	}
	if err := n.learn(); err != nil {
		return err
	}
	n.rules = rules
	n.sets = make(map[scope]bool, len(all))
	for _, s := range first {
		n.sets[s] = true
	}
	n.log().Info("table is set up", zap.String("table", n.table()), zap.String("hook", cmp.Or(n.Hook, "prerouting")), zap.Int32("priority", h.priority), zap.Int("sets", len(all)))
	return n.extend(all[len(first):])
}

// learn tries, once and in a set that no rule uses, whether this kernel moves the end of an element that is
// added again (Linux 6.12 and later).
func (n *NFTables) learn() error {
	if n.learned {
		return nil
	}
	// Older ones than 5.10 ignore a table's comment. The next run would take the table for somebody else's.
	if l, err := inspectTable(n.sock, &n.batch, n.table()); err != nil {
		return err
	} else if l.exists && l.comment == "" {
		return errors.Join(errors.New("this kernel keeps no comments on tables: banpipe needs Linux 5.10 or later"), n.remove(n.sock, &n.batch, n.sock.seq+1))
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
			return unable(err)
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
