package sinks

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// hostsFrom is n bans of different IPv4 hosts for an hour.
func hostsFrom(start, n int) []pipeline.Action {
	until := time.Now().Add(time.Hour)
	bans := make([]pipeline.Action, n)
	for i := range bans {
		k := start + i
		addr := netip.AddrFrom4([4]byte{10, byte(k >> 16), byte(k >> 8), byte(k)})
		bans[i] = pipeline.Action{Prefix: netip.PrefixFrom(addr, 32), Until: until, Jail: "sshd"}
	}
	return bans
}

// Sync changes what differs, and only that: the others keep their elements, the rules their counters.
func TestSyncChangesOnlyWhatDiffers(t *testing.T) {
	n := newNFTables(t)
	bans := hostsFrom(0, 20_000)
	if err := n.Apply(t.Context(), bans); err != nil {
		t.Fatal(err)
	}
	rules := nft(t, "list chain inet test bans")
	watcher := newNFTables(t) // sees what n does, since it is another socket
	if err := watcher.connect(); err != nil {
		t.Fatal(err)
	}
	if err := n.Sync(t.Context(), slices.Values(bans)); err != nil {
		t.Fatal(err)
	}
	live := slices.Concat(bans[1:], hostsFrom(20_000, 1))
	live[0].Until = live[0].Until.Add(time.Hour)
	if err := n.Sync(t.Context(), slices.Values(live)); err != nil {
		t.Fatal(err)
	}
	if err := watcher.notices.file.SetReadDeadline(time.Now().Add(passes)); err != nil {
		t.Fatal(err)
	}
	b, err := watcher.notices.read()
	if err != nil {
		t.Fatal(err)
	}
	elems := 0
	for range messages(b) {
		elems++
	}
	want := 2 + 3 + 3 // one out (add, delete), one moved and one new (add, delete, add)
	if n.updates {
		want = 2 + 1 + 1
	}
	if elems != want {
		t.Errorf("got %d changes of elements, want %d", elems, want)
	}
	if got := nft(t, "list chain inet test bans"); got != rules {
		t.Errorf("got rules %s, want %s", got, rules)
	}
	expectHeld(t, n, live...)
}

// Sets that nobody needs go, and come back when they are needed.
func TestSyncRemovesSets(t *testing.T) {
	n := newNFTables(t)
	until := time.Now().Add(time.Hour)
	web := pipeline.PortRange{First: 80, Last: 80}
	wide := ban("192.0.2.0/24", until, web)
	for _, c := range []struct {
		live []pipeline.Action
		want bool
	}{{[]pipeline.Action{wide}, true}, {nil, false}, {[]pipeline.Action{wide}, true}} {
		if err := n.Sync(t.Context(), slices.Values(c.live)); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(nft(t, "list ruleset"), "ban4_net24_port80"); got != c.want {
			t.Errorf("%d live: got the set %v, want %v", len(c.live), got, c.want)
		}
	}
}

// While another program changes rules without a pause, dumps are interrupted; nothing may get lost.
func TestSyncAmongOthers(t *testing.T) {
	n, other := newNFTables(t), newNFTables(t, func(n *NFTables) { n.Table = "other" })
	bans := hostsFrom(0, 5_000)
	if err := n.Apply(t.Context(), bans); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			err = other.Apply(ctx, hostsFrom(0, 1))
		}
		done <- err
	}()
	live := bans[100:]
	for range 5 {
		if err := n.Sync(t.Context(), slices.Values(live)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	expectHeld(t, n, live...)
}

func TestSyncRefuses(t *testing.T) {
	n := newNFTables(t)
	live := append(hostsFrom(0, 2), pipeline.Action{Until: time.Now().Add(time.Hour)})
	var refused *pipeline.RefusedError
	if err := n.Sync(t.Context(), slices.Values(live)); !errors.As(err, &refused) || len(refused.Actions) != 1 {
		t.Errorf("got %v, want one refused", err)
	}
	expectHeld(t, n, live[:2]...)
}

// The clock that Until is read by is the pipeline's: old logs are replayed at the time they were written.
func TestNow(t *testing.T) {
	then := time.Date(2020, 2, 2, 2, 2, 2, 0, time.UTC)
	n := newNFTables(t, func(n *NFTables) { n.Now = func() time.Time { return then } })
	bans := []pipeline.Action{ban("192.0.2.7/32", then.Add(time.Hour)), ban("192.0.2.8/32", then), ban("192.0.2.9/32", then.Add(100*365*24*time.Hour))}
	for name, put := range map[string]func() error{
		"Apply": func() error { return n.Apply(t.Context(), bans) },
		"Sync":  func() error { return n.Sync(t.Context(), slices.Values(bans)) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := put(); err != nil {
				t.Fatal(err)
			}
			l, err := n.List(t.Context())
			if err != nil || len(l.Bans) != 2 {
				t.Fatalf("got %v, %v, want two bans", l.Bans, err)
			}
			if off := l.Bans[0].Until.Sub(bans[0].Until); off.Abs() > 2*time.Second {
				t.Errorf("got until %v, want %v", l.Bans[0].Until, bans[0].Until)
			}
			if off := l.Bans[1].Until.Sub(then.Add(maxTimeout)); off.Abs() > 2*time.Second {
				t.Errorf("got until %v, want it cut to a year", l.Bans[1].Until)
			}
		})
	}
}

func TestTimeoutFor(t *testing.T) {
	for _, c := range []struct {
		left time.Duration
		want uint64
	}{
		{1, 1},
		{time.Microsecond, 1},
		{time.Millisecond, 1},
		{time.Millisecond + 1, 2},
		{time.Hour, 3_600_000},
		{maxTimeout, 31_536_000_000},
		{1 << 62, 31_536_000_000},
		{1<<63 - 1, 31_536_000_000},
		{0, 1},
		{-1, 1},
	} {
		t.Run(c.left.String(), func(t *testing.T) {
			if got := timeoutFor(c.left); got != c.want {
				t.Errorf("got %d ms, want %d", got, c.want)
			}
		})
	}
}
