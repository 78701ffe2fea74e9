package pipelinetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A Backend is a sink under test, fresh and empty, and a look behind it. Only Sink and Held are needed.
type Backend struct {
	Sink pipeline.Sink

	// Held tells what the back end has in force now, seen past the sink: Prefix, Ports and Until of each.
	Held func() ([]pipeline.Action, error)

	// Break makes the back end refuse all work until mend is called.
	Break func() (mend func())

	// Disturb empties the back end as somebody else would, past a Keeper.
	Disturb func()

	Slack time.Duration // how far a held Until may be off; 0 means 1 s
	Many  int           // the bans that it gets at once; 0 means 5,000
}

// TestSink runs the contract of pipeline.Sink against what open returns, and those of pipeline.Keeper
// and pipeline.Adopter where the sink is one. open is called for each test and may use its t.Cleanup.
// Bans are for documentation addresses (RFC 5737, RFC 3849); the longest is for a day.
func TestSink(t *testing.T, open func(t *testing.T) Backend) {
	for _, c := range sinkChecks() {
		t.Run(c.name, func(t *testing.T) {
			b := open(t)
			if !c.applies(&b) {
				t.Logf("%s: does not apply to this back end", c.name) // and is no test that was left out
				return
			}
			if err := c.run(t.Context(), &b); err != nil {
				t.Error(err)
			}
		})
	}
}

// A sinkCheck is one demand of the contract. It returns an error instead of failing a test, so that
// the checks themselves can be tested with sinks that break them.
type sinkCheck struct {
	name    string
	applies func(*Backend) bool
	run     func(context.Context, *Backend) error
}

func sinkChecks() []sinkCheck {
	always := func(*Backend) bool { return true }
	breaks := func(b *Backend) bool { return b.Break != nil }
	keeps := func(b *Backend) bool { _, ok := b.Sink.(pipeline.Keeper); return ok }
	disturbs := func(b *Backend) bool { return keeps(b) && b.Disturb != nil }
	adopts := func(b *Backend) bool { _, ok := b.Sink.(pipeline.Adopter); return ok }
	return []sinkCheck{
		{"has a name", always, checkName},
		{"bans", always, checkBan},
		{"nothing to do", always, checkNothing},
		{"the same ban again", always, checkAgain},
		{"a later end moves the end", always, checkLater},
		{"an earlier end moves the end", always, checkEarlier},
		{"for ever and back", always, checkForever},
		{"unbans", always, checkUnban},
		{"unban of the absent", always, checkUnbanAbsent},
		{"ports and prefixes are apart", always, checkScopes},
		{"an end in the past", always, checkPast},
		{"many at once", always, checkMany},
		{"a done context", always, checkDone},
		{"an error, then again", breaks, checkRetry},
		{"Sync makes it exact", keeps, checkSync},
		{"Watch ends with its context", keeps, checkWatchDone},
		{"Watch overlooks the sink's own work", keeps, checkWatchOwn},
		{"Watch sees others", disturbs, checkWatchOthers},
		{"Held is what was put", adopts, checkHeld},
	}
}

var (
	host4  = netip.MustParsePrefix("192.0.2.7/32")
	other4 = netip.MustParsePrefix("192.0.2.8/32")
	net4   = netip.MustParsePrefix("192.0.2.0/24")
	host6  = netip.MustParsePrefix("2001:db8::7/128")
	net6   = netip.MustParsePrefix("2001:db8::/64")
	ssh    = []pipeline.PortRange{{First: 22, Last: 22}}
	web    = []pipeline.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}, {First: 8000, Last: 8100}}
)

// banFor and lift are the actions of the checks.
func banFor(p netip.Prefix, d time.Duration, ports ...pipeline.PortRange) pipeline.Action {
	return pipeline.Action{Op: pipeline.Ban, Prefix: p, Ports: ports, Jail: "sshd", Until: time.Now().Add(d), Hits: 5}
}

func lift(p netip.Prefix, ports ...pipeline.PortRange) pipeline.Action {
	return pipeline.Action{Op: pipeline.Unban, Prefix: p, Ports: ports, Jail: "sshd"}
}

// hold applies actions and expects the back end to hold want.
func (b *Backend) hold(ctx context.Context, actions []pipeline.Action, want ...pipeline.Action) error {
	if err := b.Sink.Apply(ctx, actions); err != nil {
		return fmt.Errorf("apply %d actions: %w", len(actions), err)
	}
	return b.expect(want)
}

// expect compares what the back end holds with want.
func (b *Backend) expect(want []pipeline.Action) error {
	got, err := b.Held()
	if err != nil {
		return fmt.Errorf("look at the back end: %w", err)
	}
	return b.compare(got, want)
}

func (b *Backend) compare(got, want []pipeline.Action) error {
	got, want = sorted(got), sorted(want)
	if len(got) != len(want) {
		return fmt.Errorf("got %d bans%s, want %d%s", len(got), some(got), len(want), some(want))
	}
	for i := range got {
		if order(got[i], want[i]) != 0 {
			return fmt.Errorf("got%s, want%s", some(got[i:i+1]), some(want[i:i+1]))
		}
		slack := cmp.Or(b.Slack, time.Second)
		off := got[i].Until.Sub(want[i].Until)
		if got[i].Until.IsZero() != want[i].Until.IsZero() || off.Abs() > slack {
			return fmt.Errorf("%s: got until %v, want %v", want[i].Prefix, got[i].Until, want[i].Until)
		}
	}
	return nil
}

func sorted(a []pipeline.Action) []pipeline.Action { return slices.SortedFunc(slices.Values(a), order) }

func order(a, b pipeline.Action) int {
	return cmp.Or(a.Prefix.Compare(b.Prefix), slices.CompareFunc(a.Ports, b.Ports, func(a, b pipeline.PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	}))
}

// some names the first of a, for an error text.
func some(a []pipeline.Action) string {
	text := ""
	for i := range a {
		if i == 3 {
			return text + " …"
		}
		text += " " + a[i].Prefix.String()
		if len(a[i].Ports) > 0 {
			text += " ports " + pipeline.PortsString(a[i].Ports)
		}
	}
	return text
}

func checkName(_ context.Context, b *Backend) error {
	if name := b.Sink.Name(); name == "" || name != b.Sink.Name() {
		return fmt.Errorf("got name %q, want one that stays", name)
	}
	return nil
}

func checkBan(ctx context.Context, b *Backend) error {
	bans := []pipeline.Action{banFor(host4, time.Hour), banFor(host6, 2*time.Hour), banFor(net4, 3*time.Hour), banFor(net6, 24*time.Hour)}
	if err := b.hold(ctx, bans[:1], bans[0]); err != nil {
		return err
	}
	return b.hold(ctx, bans[1:], bans...)
}

func checkNothing(ctx context.Context, b *Backend) error {
	if err := b.hold(ctx, nil); err != nil {
		return err
	}
	ban := banFor(host4, time.Hour)
	if err := b.hold(ctx, []pipeline.Action{ban}, ban); err != nil {
		return err
	}
	return b.hold(ctx, []pipeline.Action{}, ban)
}

func checkAgain(ctx context.Context, b *Backend) error {
	bans := []pipeline.Action{banFor(host4, time.Hour), banFor(host6, time.Hour), banFor(net6, time.Hour, ssh...)}
	for range 3 {
		if err := b.hold(ctx, bans, bans...); err != nil {
			return err
		}
	}
	return nil
}

// A plain second add leaves the old end on Linux before 6.12, and says that all is well.
func checkLater(ctx context.Context, b *Backend) error { return moves(ctx, b, time.Hour, 5*time.Hour) }

func checkEarlier(ctx context.Context, b *Backend) error {
	return moves(ctx, b, 5*time.Hour, 10*time.Minute)
}

func moves(ctx context.Context, b *Backend, from, to time.Duration) error {
	var before, after []pipeline.Action
	for _, p := range []netip.Prefix{host4, host6, net4, net6} {
		before = append(before, banFor(p, from), banFor(p, from, web...))
		after = append(after, banFor(p, to), banFor(p, to, web...))
	}
	return errors.Join(b.hold(ctx, before, before...), b.hold(ctx, after, after...))
}

func checkForever(ctx context.Context, b *Backend) error {
	ban, ever := banFor(host4, time.Hour), banFor(host4, 0)
	ever.Until = time.Time{}
	for _, a := range []pipeline.Action{ever, ban, ever} {
		if err := b.hold(ctx, []pipeline.Action{a}, a); err != nil {
			return fmt.Errorf("until %v: %w", a.Until, err)
		}
	}
	return nil
}

func checkUnban(ctx context.Context, b *Backend) error {
	bans := []pipeline.Action{banFor(host4, time.Hour), banFor(other4, time.Hour), banFor(net4, time.Hour), banFor(host6, time.Hour, ssh...)}
	if err := b.hold(ctx, bans, bans...); err != nil {
		return err
	}
	return b.hold(ctx, []pipeline.Action{lift(host4), lift(host6, ssh...)}, bans[1], bans[2])
}

func checkUnbanAbsent(ctx context.Context, b *Backend) error {
	gone := []pipeline.Action{lift(host4), lift(host6), lift(net4, web...), lift(net6)}
	if err := b.hold(ctx, gone); err != nil {
		return fmt.Errorf("empty back end: %w", err)
	}
	ban, old := banFor(other4, time.Hour), banFor(host4, time.Hour)
	if err := b.hold(ctx, []pipeline.Action{old}, old); err != nil {
		return err
	}
	// The absent one must not take the others in its batch with it.
	return b.hold(ctx, []pipeline.Action{lift(host6), ban, lift(net4, web...), lift(host4), lift(net6)}, ban)
}

func checkScopes(ctx context.Context, b *Backend) error {
	bans := []pipeline.Action{
		banFor(host4, time.Hour), banFor(host4, 2*time.Hour, ssh...), banFor(host4, 3*time.Hour, web...),
		banFor(net4, 4*time.Hour, ssh...), banFor(host6, 5*time.Hour, web...), banFor(net6, 6*time.Hour, ssh...),
	}
	if err := b.hold(ctx, bans, bans...); err != nil {
		return err
	}
	if err := b.hold(ctx, []pipeline.Action{lift(host4, ssh...)}, slices.Delete(slices.Clone(bans), 1, 2)...); err != nil {
		return err
	}
	return b.hold(ctx, []pipeline.Action{lift(host4)}, bans[2:]...)
}

// A ban whose end is past by the time it arrives must not become one without an end, and it
// replaces the one that is there, as any later word does.
func checkPast(ctx context.Context, b *Backend) error {
	keep, old := banFor(host6, time.Hour), banFor(other4, time.Hour)
	if err := b.hold(ctx, []pipeline.Action{old}, old); err != nil {
		return err
	}
	return b.hold(ctx, []pipeline.Action{banFor(host4, -time.Second), banFor(host4, -time.Hour, ssh...), banFor(other4, -time.Nanosecond), keep}, keep)
}

// many is n bans of different hosts, over both families and some of them limited to ports.
func (b *Backend) many() []pipeline.Action {
	n := cmp.Or(b.Many, 5_000)
	bans := make([]pipeline.Action, n)
	for i := range bans {
		addr := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		if i%3 == 0 {
			addr = netip.AddrFrom16([16]byte{0: 0x20, 0x01, 0x0d, 0xb8, 14: byte(i >> 8), 15: byte(i)})
		}
		bans[i] = banFor(netip.PrefixFrom(addr, addr.BitLen()), time.Hour+time.Duration(i%100)*time.Minute)
		if i%7 == 0 {
			bans[i].Ports = ssh
		}
	}
	return bans
}

func checkMany(ctx context.Context, b *Backend) error {
	bans := b.many()
	if err := b.hold(ctx, bans, bans...); err != nil {
		return err
	}
	var next, want []pipeline.Action // every third goes, every third stays, every third moves
	for i, a := range bans {
		switch i % 3 {
		case 0:
			next = append(next, lift(a.Prefix, a.Ports...))
		case 1:
			want = append(want, a)
		case 2:
			a.Until = a.Until.Add(3 * time.Hour)
			next, want = append(next, a), append(want, a)
		}
	}
	return b.hold(ctx, next, want...)
}

func checkDone(ctx context.Context, b *Backend) error {
	bans := b.many()
	done, cancel := context.WithCancel(ctx)
	cancel()
	start := time.Now()
	err := b.Sink.Apply(done, bans)
	if took := time.Since(start); took > 2*time.Second {
		return fmt.Errorf("a done context: Apply took %v, want it to return soon", took)
	}
	if err == nil { // it may have been fast enough, but then it must be true
		return b.expect(bans)
	}
	if refused := new(pipeline.RefusedError); errors.As(err, &refused) {
		return fmt.Errorf("a done context: got %v, want an error that lets the actions be tried again", err)
	}
	return b.hold(ctx, bans, bans...)
}

func checkRetry(ctx context.Context, b *Backend) error {
	old := banFor(other4, time.Hour)
	if err := b.hold(ctx, []pipeline.Action{old}, old); err != nil {
		return err
	}
	actions := []pipeline.Action{banFor(host4, time.Hour), banFor(net6, time.Hour, ssh...), lift(other4)}
	mend := b.Break()
	err := b.Sink.Apply(ctx, actions)
	mend()
	if refused := new(pipeline.RefusedError); err == nil || errors.As(err, &refused) {
		return fmt.Errorf("with its back end broken: got %v, want an error that lets the actions be tried again", err)
	}
	return b.hold(ctx, actions, actions[:2]...)
}
