package sinks

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// A wanted is what Sync wants of one element.
type wanted struct {
	timeout uint64 // in milliseconds; 0 means for ever
	seen    bool   // the kernel has it
	fine    bool   // and with this end
}

// An end that is off by less is left alone: the kernel counts in jiffies, of up to 10 ms.
const endSlack = time.Second

// Sync makes the kernel hold exactly the live bans, each with the time that it has left: it makes the table if
// need be, reads all elements and changes those that differ. Sets that no live ban needs go, but for
// those of hosts on all ports.
//
// Reading costs the square of the elements in one set (the kernel walks a hash from its start for each piece
// of 32 KiB): 0.4 s for 100,000, over a minute for 1,000,000; twice that where the kernel does not count elements.
func (n *NFTables) Sync(ctx context.Context, live iter.Seq[pipeline.Action]) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	start, now := time.Now(), n.now()
	want := make(map[scope]map[netip.Addr]wanted)
	for _, s := range always() {
		want[s] = make(map[netip.Addr]wanted)
	}
	var refused refusals
	for a := range live {
		if a.Observe {
			continue
		}
		changes, err := changesOf(&a, now)
		if err != nil {
			refused.add(a, err)
		}
		for _, c := range changes {
			if c.out {
				continue
			}
			if want[c.scope] == nil {
				want[c.scope] = make(map[netip.Addr]wanted)
			}
			want[c.scope][c.addr] = wanted{timeout: c.timeout}
		}
	}
	var err error
	for range maxTries {
		err = n.sync(ctx, want, start, &refused)
		switch {
		case err == nil:
			return refused.err()
		case errors.Is(err, unix.ENOENT):
			n.sets = nil
		case isTransport(err):
			n.hangUp()
		default:
			return explain(err)
		}
	}
	return explain(err)
}

func (n *NFTables) sync(ctx context.Context, want map[scope]map[netip.Addr]wanted, start time.Time, refused *refusals) error {
	if err := n.connect(); err != nil {
		return err
	}
	if err := n.shape(slices.SortedFunc(maps.Keys(want), compareScopes)); err != nil {
		return err
	}
	n.notices.gone.Store(false) // whatever was lost comes back now
	for _, s := range slices.SortedFunc(maps.Keys(n.sets), compareScopes) {
		changes, err := n.differences(ctx, s, want[s], start)
		if err != nil {
			return err
		}
		if err := n.change(ctx, changes, refused); err != nil {
			return err
		}
	}
	return nil
}

// shape makes the table have the sets of scopes, if possible no others, and all rules. Where nothing
// is amiss it leaves the rules and their counters alone.
func (n *NFTables) shape(scopes []scope) error {
	if n.sets == nil {
		return n.build(scopes, true)
	}
	what, err := n.examine()
	if err != nil {
		return err
	}
	surplus := slices.ContainsFunc(slices.Collect(maps.Keys(n.sets)), func(s scope) bool { return !slices.Contains(scopes, s) })
	if what != "" || surplus {
		return n.build(scopes, true)
	}
	return n.extend(slices.DeleteFunc(scopes, func(s scope) bool { return n.sets[s] }))
}

// differences compares a set with what it should hold. The end of each was reckoned at the time start.
func (n *NFTables) differences(ctx context.Context, s scope, want map[netip.Addr]wanted, start time.Time) (changes []change, err error) {
	for addr, w := range want {
		w.seen, w.fine = false, false
		want[addr] = w
	}
	surplus := make(map[netip.Addr]bool)
	if err := n.survey(ctx, s, func(e element) (first bool) {
		w, ok := want[e.addr]
		if !ok {
			first = !surplus[e.addr]
			surplus[e.addr] = true
			return first
		}
		first = !w.seen
		w.seen, w.fine = true, w.holds(e, time.Since(start))
		want[e.addr] = w
		return first
	}); err != nil {
		return nil, err
	}
	for addr := range surplus {
		changes = append(changes, change{scope: s, addr: addr, out: true})
	}
	for addr, w := range want {
		if !w.fine { // if it was missed, to put it again does no harm
			changes = append(changes, change{scope: s, addr: addr, timeout: left(w.timeout, time.Since(start))})
		}
	}
	return changes, nil
}

// left is what is left of a timeout after a while; at least 1 ms, since 0 is for ever.
func left(timeout uint64, passed time.Duration) uint64 {
	if timeout == 0 {
		return 0
	}
	return uint64(max(1, int64(timeout)-passed.Milliseconds()))
}

// holds reports whether the kernel has the element as it should be.
func (w wanted) holds(e element, passed time.Duration) bool {
	if w.timeout == 0 || e.left == 0 {
		return w.timeout == 0 && e.left == 0
	}
	off := e.left + passed - time.Duration(w.timeout)*time.Millisecond
	return off.Abs() < endSlack
}

// survey goes over the elements of a set, some of them more than once; each tells whether it sees one for the first
// time. A single pass may miss elements, and the kernel need not say so: it walks the hash anew for each
// piece, and the hash changes its shape some time after many were added. So passes follow until
// there are as many as the kernel counts, or one has brought nothing new.
//
// Where others change rules all the time every pass is interrupted. Then the last has to do.
func (n *NFTables) survey(ctx context.Context, s scope, each func(element) (first bool)) error {
	count, counts, err := n.count(s)
	if err != nil {
		return err
	}
	seen := 0
	for try := range maxTries {
		if err := ctx.Err(); err != nil {
			return err
		}
		before := seen
		n.batch.begin(n.sock.seq)
		n.batch.askElements(n.table(), s.name())
		interrupted, err := n.sock.ask(&n.batch, unix.NLM_F_DUMP, func(attrs []byte) {
			readElements(attrs, func(e element) {
				if each(e) {
					seen++
				}
			})
		})
		if err != nil {
			return err
		}
		if complete := counts && seen >= count || try > 0 && seen == before; complete && !interrupted {
			return nil
		}
	}
	return nil
}

// count is the number of elements in a set, those included that have ended and are not freed yet. Older kernels
// do not count.
func (n *NFTables) count(s scope) (count int, ok bool, err error) {
	n.batch.begin(n.sock.seq)
	n.batch.add(unix.NFT_MSG_GETSET, 0, "set "+s.name())
	n.batch.attrString(unix.NFTA_SET_TABLE, n.table())
	n.batch.attrString(unix.NFTA_SET_NAME, s.name())
	_, err = n.sock.ask(&n.batch, 0, func(attrs []byte) {
		data := attribute(attrs, setCount)
		count, ok = int(number32(data)), len(data) >= 4
	})
	return count, ok, err
}

// Held reads the bans that the kernel holds, of whatever run: Prefix, Ports, Until, and pipeline.RestoredJail, since elements
// have no room for the jail.
func (n *NFTables) Held(ctx context.Context) (held []pipeline.Action, err error) {
	err = n.read(ctx, parseScope, func(a pipeline.Action) {
		a.Jail, a.Restored = pipeline.RestoredJail, true
		held = append(held, a)
	})
	return held, err
}

// Passing reads who is let through. A pause has an element of each family; they end together.
func (n *NFTables) Passing(ctx context.Context) (passing []pipeline.Action, err error) {
	door := func(name string) (scope, bool) {
		i := slices.IndexFunc(doors(), func(s scope) bool { return s.name() == name })
		return doors()[max(i, 0)], i >= 0
	}
	var pause pipeline.Action
	err = n.read(ctx, door, func(a pipeline.Action) {
		a.Jail, a.Restored, a.Op = pipeline.Manual, true, pipeline.Allow
		if a.Prefix.IsSingleIP() {
			passing = append(passing, a)
		} else if a.Until.After(pause.Until) {
			pause, pause.Op, pause.Prefix = a, pipeline.Pause, netip.Prefix{}
		}
	})
	if !pause.Until.IsZero() { // one without an end is not ours
		passing = append(passing, pause)
	}
	return passing, err
}

// read gives each what is in our sets, those whose names parse.
func (n *NFTables) read(ctx context.Context, parse func(name string) (scope, bool), each func(pipeline.Action)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.connect(); err != nil {
		return explain(err)
	}
	l, err := inspect(n.sock, &n.batch, n.table())
	if err != nil || !l.exists {
		return explain(err)
	}
	if err := l.foreign(n.table(), 0); err != nil {
		return err
	}
	for _, name := range l.sets {
		s, ok := parse(name)
		if !ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		now := n.now()
		found := make(map[netip.Addr]time.Duration)
		if err := n.survey(ctx, s, func(e element) bool {
			_, again := found[e.addr]
			found[e.addr] = e.left
			return !again
		}); err != nil {
			return explain(err)
		}
		for addr, left := range found {
			a := s.action(pipeline.Ban, addr)
			if left > 0 {
				a.Until = now.Add(left)
			}
			each(a)
		}
	}
	return nil
}

// A Listing is what the kernel holds in our table.
type Listing struct {
	Bans           []pipeline.Action // as Held has them, sorted by Prefix
	Packets, Bytes uint64            // dropped or rejected since the rules were made
}

// List reads what the kernel holds: for `banpipe list` without a service.
func (n *NFTables) List(ctx context.Context) (Listing, error) {
	var l Listing
	var err error
	if l.Bans, err = n.Held(ctx); err != nil {
		return l, err
	}
	slices.SortStableFunc(l.Bans, func(a, b pipeline.Action) int { return a.Prefix.Compare(b.Prefix) })
	l.Packets, l.Bytes, err = n.Dropped(ctx)
	return l, err
}

// Dropped is how many packets and bytes were dropped or rejected since the rules were made. It looks at rules only,
// however many bans there are.
func (n *NFTables) Dropped(ctx context.Context) (packets, bytes uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	table := &nftables.Table{Name: n.table(), Family: nftables.TableFamilyINet}
	rules, err := (&nftables.Conn{}).GetRules(table, &nftables.Chain{Name: banChain, Table: table})
	if errors.Is(err, unix.ENOENT) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("rules of table %s: %w", n.table(), err)
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			if c, ok := e.(*expr.Counter); ok {
				packets += c.Packets
				bytes += c.Bytes
			}
		}
	}
	return packets, bytes, nil
}
