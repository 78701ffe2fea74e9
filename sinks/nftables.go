package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// NFTables bans in the kernel: it keeps the banned addresses in sets of a table of its own, in whose
// elements the kernel itself ends every ban, also when nobody is there any more to do it. The table stays
// when the program ends, and the next one takes it over.
//
// All fields are optional; they must not change after the first call. Apart from Watch, which runs
// beside the others, the methods may be called from any goroutine, and then wait for one another. It needs
// CAP_NET_ADMIN in the network namespace of the calling thread, and Linux 5.10 or later.
type NFTables struct {
	Table string // of the family inet; "" means "banpipe"
	Hook  string // "prerouting" (which "" means), "input" or "forward"

	// Priority is that of the chain at the hook; 0 means -300, which is before conntrack: cheapest, covers
	// forwarded and container ports, and no other chain's accept can undo a drop. (-1 stands in for 0.)
	Priority int32

	// KeepOutgoing lets answers to connections pass that were opened from here, or by containers and VPN
	// clients behind us. The chain then stands behind conntrack: priorities up to -200 become -150.
	KeepOutgoing bool

	// Policy is "drop" (which "" means) or "reject": answer with a TCP reset or an ICMP error.
	Policy string

	Size       uint32           // the elements that one set may hold; 0 means 2,097,152
	AuditEvery time.Duration    // how often Watch looks whether the rules are still there; 0 means 10 s
	Logger     *zap.Logger      // nil means no logs
	Now        func() time.Time // the clock that Until is read by; nil means time.Now

	mu sync.Mutex
	// guarded by mu
	sock    *socket
	notices *notices       // what others change; opened with sock, and kept
	batch   batch          // its memory is used again and again
	sets    map[scope]bool // those that are there; nil: the table is not known to be there
	rules   uint32         // in our chain
	learned bool           // updates is known
	updates bool           // the kernel moves the end of an element that is added again

	fight fight // of Watch only
}

var (
	_ pipeline.Keeper  = (*NFTables)(nil)
	_ pipeline.Adopter = (*NFTables)(nil)
	_ pipeline.Gate    = (*NFTables)(nil)
)

// Name is "nftables".
func (*NFTables) Name() string { return "nftables" }

// Same reports whether o makes the same table in the same way, so that either can go on in the other's place.
func (n *NFTables) Same(o *NFTables) bool {
	return n.table() == o.table() && n.Hook == o.Hook && n.Priority == o.Priority && n.KeepOutgoing == o.KeepOutgoing &&
		n.Policy == o.Policy && n.Size == o.Size && n.AuditEvery == o.AuditEvery
}

func (n *NFTables) table() string { return cmp.Or(n.Table, "banpipe") }

func (n *NFTables) log() *zap.Logger {
	if n.Logger == nil {
		return zap.NewNop()
	}
	return n.Logger.Named("nftables")
}

func (n *NFTables) now() time.Time {
	if n.Now == nil {
		return time.Now()
	}
	return n.Now()
}

// Close lets go of the sockets. The table and the bans in it stay. The value can be used again.
func (n *NFTables) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hangUp()
	if n.notices != nil {
		n.notices.close()
		n.notices = nil
	}
	return nil
}

// Apply bans and unbans. It makes the table, and the sets that are needed, if they are not there. Actions
// that can never be carried out (no address, a full set) come back in a *pipeline.RefusedError. If the table
// has been removed by somebody else, it is made anew with these actions in it, and Watch returns nil so
// that the other bans follow.
func (n *NFTables) Apply(ctx context.Context, actions []pipeline.Action) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var refused refusals
	now := n.now()
	changes := make([]change, 0, len(actions))
	for i := range actions {
		if actions[i].Observe {
			continue
		}
		asked, err := changesOf(&actions[i], now)
		if err != nil {
			refused.add(actions[i], err)
			continue
		}
		for _, c := range asked {
			c.action = &actions[i]
			changes = append(changes, c)
		}
	}
	if err := n.change(ctx, changes, &refused); err != nil {
		return explain(err)
	}
	return refused.err()
}

// change carries changes out, in as many batches as they need.
func (n *NFTables) change(ctx context.Context, changes []change, refused *refusals) error {
	start := time.Now()
	changes = single(changes)
	order(changes)
	for len(changes) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		now := part(changes)
		changes = changes[len(now):]
		passed := time.Since(start) // with many before them, or on a machine under load, it matters
		for i := range now {
			now[i].timeout = left(now[i].timeout, passed)
		}
		if err := n.commit(now, refused); err != nil {
			return err
		}
	}
	return nil
}

// How often a batch is sent again: without the elements that the kernel refused, over a new socket, or
// into a table that has been made anew.
const maxTries = 5

// commit carries out changes in one batch. Elements that the kernel refuses are left out of the next try;
// after some tries each change is sent alone.
func (n *NFTables) commit(changes []change, refused *refusals) (err error) {
	for range maxTries {
		if len(changes) == 0 {
			return nil
		}
		if err = n.try(changes); err == nil {
			return nil
		}
		switch {
		case isTransport(err): // the batch may have been carried out; once more does no harm
			n.hangUp()
		case errors.Is(err, unix.ENOENT):
			n.lost()
		case isElementError(err):
			rest := n.refuse(changes, err, refused)
			if len(rest) == len(changes) {
				return err
			}
			changes = rest
		default:
			n.sets = nil // look anew: the table may be somebody else's now
			return err
		}
	}
	if len(changes) == 1 || !isElementError(err) {
		return err
	}
	for i := range changes {
		if err := n.commit(changes[i:i+1], refused); err != nil {
			return err
		}
	}
	return nil
}

// try sends the changes once, after whatever else must be there for them.
func (n *NFTables) try(changes []change) error {
	if err := n.connect(); err != nil {
		return err
	}
	if err := n.need(changes); err != nil {
		return err
	}
	n.batch.begin(n.sock.seq + 1)
	n.batch.addElements(n.table(), changes, n.updates)
	return n.sock.commit(&n.batch, false)
}

// refuse takes the elements that the kernel named out of changes.
func (n *NFTables) refuse(changes []change, err error, refused *refusals) (rest []change) {
	bad := make(map[int]bool)
	var kernel *kernelError
	errors.As(err, &kernel)
	for _, f := range kernel.fails {
		i, ok := n.batch.blamed(f)
		if !ok || !elementErrno(f.errno) || i >= len(changes) || bad[i] {
			continue
		}
		bad[i] = true
		refused.add(changes[i].asked(), fmt.Errorf("%s: %w", f.what, refusal(f.errno)))
	}
	for i, c := range changes {
		if !bad[i] {
			rest = append(rest, c)
		}
	}
	return rest
}

// elementErrno tells the errors of one element, which will not go away, from those of the machine.
func elementErrno(errno unix.Errno) bool {
	switch errno {
	case unix.ENFILE, unix.EINVAL, unix.ERANGE, unix.EOVERFLOW:
		return true
	}
	return false
}

func isElementError(err error) bool {
	var kernel *kernelError
	return errors.As(err, &kernel) && elementErrno(kernel.fails[0].errno)
}

// refusal puts the one that happens into words.
func refusal(errno unix.Errno) error {
	if errno == unix.ENFILE {
		return fmt.Errorf("the set is full: %w", errno)
	}
	return errno
}

// asked is the action behind a change.
func (c change) asked() pipeline.Action {
	if c.action != nil {
		return *c.action
	}
	op := pipeline.Ban
	if c.out {
		op = pipeline.Unban
	}
	return c.scope.action(op, c.addr)
}

// connect opens the sockets if they are not. The notices come first, so that nothing that others do after
// our first change is missed.
func (n *NFTables) connect() error {
	if n.sock != nil {
		return nil
	}
	sock, err := dial()
	if err != nil {
		return err
	}
	if n.notices == nil {
		if n.notices, err = listen(); err != nil {
			sock.close()
			return err
		}
	}
	if err := n.notices.overlook(sock.port); err != nil {
		sock.close()
		return err
	}
	n.sock = sock
	return nil
}

func (n *NFTables) hangUp() {
	if n.sock != nil {
		n.sock.close()
		n.sock = nil
	}
}

// refusals gathers what goes into a pipeline.RefusedError.
type refusals struct {
	actions []pipeline.Action
	errs    []error // the different ones
}

func (r *refusals) add(a pipeline.Action, err error) {
	r.actions = append(r.actions, a)
	for _, e := range r.errs {
		if e.Error() == err.Error() {
			return
		}
	}
	r.errs = append(r.errs, err)
}

func (r *refusals) err() error {
	if len(r.actions) == 0 {
		return nil
	}
	return &pipeline.RefusedError{Actions: r.actions, Err: errors.Join(r.errs...)}
}
