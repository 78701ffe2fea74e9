package sinks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// verbs are the calls that must leave what is not ours alone.
func verbs(n *NFTables, ctx context.Context) map[string]func() error {
	return map[string]func() error{
		"Probe": func() error { return n.Probe(ctx) },
		"Apply": func() error { return n.Apply(ctx, []pipeline.Action{ban("192.0.2.7/32", time.Now().Add(time.Hour))}) },
		"Sync":  func() error { return n.Sync(ctx, slices.Values([]pipeline.Action(nil))) },
		"Held":  func() error { _, err := n.Held(ctx); return err },
		"List":  func() error { _, err := n.List(ctx); return err },
		"Flush": func() error { _, err := n.Flush(ctx); return err },
	}
}

func TestForeignTable(t *testing.T) {
	needKernel(t)
	for _, c := range []struct{ name, table string }{
		{"no comment", `table inet foreign { set ban4 { type ipv4_addr; elements = { 192.0.2.1 }; }; }`},
		{"another comment", `table inet foreign { comment "mine, not banpipe: hands off"; chain bans { type filter hook input priority 0; counter accept; }; }`},
	} {
		t.Run(c.name, func(t *testing.T) {
			nft(t, c.table)
			t.Cleanup(func() { nft(t, "delete table inet foreign") })
			before := nft(t, "list ruleset")
			n := &NFTables{Table: "foreign"}
			defer n.Close()
			for name, call := range verbs(n, t.Context()) {
				err := call()
				if err == nil || !strings.Contains(err.Error(), "table inet foreign is somebody else's") || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: got %v, want a sentence that says whose table it is", name, err)
				}
			}
			if after := nft(t, "list ruleset"); after != before {
				t.Errorf("got %s, want it unchanged: %s", after, before)
			}
		})
	}
}

// A table can belong to a socket: then only its process may change it, whatever the comment says.
func TestOwnedTable(t *testing.T) {
	needKernel(t)
	s, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close() // the table goes with it
	const ownerFlag = 2
	var b batch
	b.begin(1)
	w := builder{batch: &b, table: "owned"}
	w.addTable(0)
	owned := strings.Replace(string(b.buf), string([]byte{8, 0, unix.NFTA_TABLE_FLAGS, 0, 0, 0, 0, 0}), string([]byte{8, 0, unix.NFTA_TABLE_FLAGS, 0, 0, 0, 0, ownerFlag}), 1)
	b.buf = []byte(owned)
	if err := s.commit(&b, false); err != nil {
		t.Fatal(err)
	}
	n := &NFTables{Table: "owned"}
	defer n.Close()
	calls := verbs(n, t.Context())
	for _, name := range []string{"Probe", "Apply", "Sync", "Flush"} {
		if err := calls[name](); err == nil || !strings.Contains(err.Error(), "owned by another process") {
			t.Errorf("%s: got %v, want a sentence that says whose table it is", name, err)
		}
	}
}

func TestNoRight(t *testing.T) {
	needKernel(t)
	done := make(chan struct{})
	go func() { // the thread without rights ends with the goroutine
		defer close(done)
		runtime.LockOSThread()
		had := newNFTables(t, func(n *NFTables) { n.Table = "hadrights" })
		action := []pipeline.Action{ban("192.0.2.7/32", time.Now().Add(time.Hour))}
		if err := had.Apply(context.Background(), action); err != nil {
			t.Error(err)
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
			return
		}
		n := &NFTables{Table: "norights"}
		defer n.Close()
		for name, call := range verbs(n, context.Background()) {
			err := call()
			if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %v, want a sentence that names the missing right", name, err)
			}
		}
		// The right was there when the socket was opened, and is gone.
		start := time.Now()
		if err := had.Apply(context.Background(), action); !errors.Is(err, unix.EPERM) || time.Since(start) > passes {
			t.Errorf("got %v after %v, want a sentence that names the missing right", err, time.Since(start))
		}
	}()
	<-done
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		n    *NFTables
		want string // of the error
	}{
		{&NFTables{Hook: "output"}, `hook "output": want prerouting, input or forward`},
		{&NFTables{Policy: "accept"}, `policy "accept": want drop or reject`},
		{&NFTables{Table: "a b"}, `table "a b": want a letter, then letters, digits, _ . or -, at most 60`},
		{&NFTables{Table: strings.Repeat("x", 61)}, "at most 60"},
	} {
		t.Run(c.want, func(t *testing.T) {
			if err := c.n.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	for _, c := range []struct {
		n    *NFTables
		want hook
	}{
		{&NFTables{}, hook{priority: -300}},
		{&NFTables{KeepOutgoing: true}, hook{priority: -150}},
		{&NFTables{KeepOutgoing: true, Priority: -300}, hook{priority: -150}},
		{&NFTables{KeepOutgoing: true, Priority: -10}, hook{priority: -10}},
		{&NFTables{KeepOutgoing: true, Hook: "input"}, hook{num: 1, priority: -300}},
		{&NFTables{Hook: "forward", Priority: 7}, hook{num: 2, priority: 7}},
	} {
		t.Run(fmt.Sprintf("%+v", c.want), func(t *testing.T) {
			if got, err := c.n.options(); err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

// Probe does in the kernel all that the first ban does, and leaves nothing behind.
func TestProbe(t *testing.T) {
	for _, c := range []struct {
		hook, policy string
		keep         bool
	}{{"", "", false}, {"prerouting", "reject", true}, {"input", "drop", false}, {"forward", "reject", false}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			n := newNFTables(t, func(n *NFTables) { n.Hook, n.Policy, n.KeepOutgoing = c.hook, c.policy, c.keep })
			if err := n.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := nft(t, "list ruleset"); got != "" {
				t.Errorf("got %s, want nothing", got)
			}
			if err := n.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Now().Add(time.Hour))}); err != nil {
				t.Fatal(err)
			}
			before := structure(t)
			if err := n.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := structure(t); got != before {
				t.Errorf("got %s, want %s", got, before)
			}
		})
	}
	t.Run("an impossible chain", func(t *testing.T) {
		n := newNFTables(t)
		nft(t, `table inet test { comment "banpipe: a map where the set should be"; map ban4 { type ipv4_addr : verdict; }; }`)
		if err := n.Probe(t.Context()); !errors.Is(err, unix.EEXIST) {
			t.Errorf("got %v, want what the kernel says", err)
		}
	})
}

// structure is a listing without its elements.
func structure(t *testing.T) string {
	return regexp.MustCompile(`(?s)\t\telements = \{.*?\}\n`).ReplaceAllString(nft(t, "list ruleset"), "")
}

// expectHeld compares the addresses that the kernel holds with those of want.
func expectHeld(t *testing.T, n *NFTables, want ...pipeline.Action) {
	t.Helper()
	held, err := n.Held(t.Context())
	if err != nil {
		t.Error(err)
	}
	names := func(actions []pipeline.Action) (names []string) {
		for _, a := range actions {
			names = append(names, a.Prefix.String()+" "+pipeline.PortsString(a.Ports))
		}
		slices.Sort(names)
		return names
	}
	if got, want := names(held), names(want); !slices.Equal(got, want) {
		t.Errorf("got %d bans %.200q, want %d %.200q", len(got), got, len(want), want)
	}
}

func TestFlush(t *testing.T) {
	n := newNFTables(t)
	if removed, err := n.Flush(t.Context()); removed || err != nil {
		t.Errorf("no table: got %v, %v, want false", removed, err)
	}
	until := time.Now().Add(time.Hour)
	if err := n.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", until)}); err != nil {
		t.Fatal(err)
	}
	verb := &NFTables{Table: "test"} // without the one that runs
	defer verb.Close()
	if removed, err := verb.Flush(t.Context()); !removed || err != nil {
		t.Errorf("got %v, %v, want true", removed, err)
	}
	if got := nft(t, "list ruleset"); got != "" {
		t.Errorf("got %s, want nothing", got)
	}
	next := ban("192.0.2.8/32", until)
	if err := n.Apply(t.Context(), []pipeline.Action{next}); err != nil {
		t.Fatal(err)
	}
	expectHeld(t, n, next)
}

// The next run takes the table over, with the elements in it, and under its own options.
func TestRestart(t *testing.T) {
	first := newNFTables(t)
	until := time.Now().Add(time.Hour)
	web := pipeline.PortRange{First: 80, Last: 443}
	old := []pipeline.Action{ban("192.0.2.7/32", until), ban("2001:db8::/64", until, web)}
	if err := first.Apply(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	listing := structure(t)
	first.Close()
	next := ban("192.0.2.8/32", until)
	for _, c := range []struct {
		n    *NFTables
		want []string // in the listing
	}{
		{&NFTables{}, []string{"hook prerouting priority raw; policy accept", "@ban4 counter packets 0 bytes 0 drop"}},
		{&NFTables{Hook: "input", Priority: 5}, []string{"hook input priority filter + 5; policy accept"}},
		{&NFTables{Policy: "reject"}, []string{"@ban4 counter packets 0 bytes 0 goto refuse", "chain refuse {", "reject with tcp reset", "tcp dport 80-443 ip6"}},
		{&NFTables{KeepOutgoing: true}, []string{"hook prerouting priority mangle;", "ct direction reply return"}},
		{&NFTables{}, []string{"hook prerouting priority raw; policy accept", "@ban4 counter packets 0 bytes 0 drop"}},
	} {
		t.Run(fmt.Sprintf("%s %s %v", c.n.Hook, c.n.Policy, c.n.KeepOutgoing), func(t *testing.T) {
			n := c.n
			n.Table = "test"
			defer n.Close()
			if err := n.Apply(t.Context(), []pipeline.Action{next}); err != nil {
				t.Fatal(err)
			}
			got := nft(t, "list ruleset")
			for _, want := range c.want {
				if !strings.Contains(strings.ReplaceAll(got, "{ 80-443 }", "80-443"), want) {
					t.Errorf("got %s, want %s in it", got, want)
				}
			}
			if rules := strings.Count(got, "@ban4 "); rules != 1 {
				t.Errorf("got %d rules for ban4, want 1", rules)
			}
			expectHeld(t, n, append(old, next)...)
			if err := n.Apply(t.Context(), []pipeline.Action{unban("192.0.2.8/32")}); err != nil {
				t.Fatal(err)
			}
		})
	}
	if got := structure(t); got != listing {
		t.Errorf("got %s, want %s", got, listing)
	}
}

// A table with our comment and something else where a set should be: another version's. It is made anew.
func TestOtherLayout(t *testing.T) {
	n := newNFTables(t)
	nft(t, `table inet test { comment "banpipe: of old"; map ban4 { type ipv4_addr : verdict; }; }`)
	next := ban("192.0.2.8/32", time.Now().Add(time.Hour))
	if err := n.Apply(t.Context(), []pipeline.Action{next}); err != nil {
		t.Fatal(err)
	}
	expectHeld(t, n, next)
}

// An administrator's rule that uses a set of ours keeps Sync from removing it, and from nothing else.
func TestSetInUse(t *testing.T) {
	n := newNFTables(t)
	until := time.Now().Add(time.Hour)
	if err := n.Apply(t.Context(), []pipeline.Action{ban("192.0.2.0/24", until)}); err != nil {
		t.Fatal(err)
	}
	nft(t, "add chain inet test mine\nadd rule inet test mine ip saddr @ban4_net24 counter")
	live := []pipeline.Action{ban("192.0.2.8/32", until)}
	if err := n.Sync(t.Context(), slices.Values(live)); err != nil {
		t.Fatal(err)
	}
	expectHeld(t, n, live...)
}

// Elements that the kernel refuses do not take the others with them.
func TestFullSet(t *testing.T) {
	for _, size := range []uint32{8, 200} { // a few too many, and so many that each is sent alone in the end
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			n := newNFTables(t, func(n *NFTables) { n.Size = size })
			until := time.Now().Add(time.Hour)
			old := ban("192.0.2.7/32", until)
			actions := []pipeline.Action{old, ban("2001:db8::7/128", until)}
			if err := n.Apply(t.Context(), actions); err != nil {
				t.Fatal(err)
			}
			actions = nil
			for i := range size + 50 {
				addr := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
				actions = append(actions, pipeline.Action{Prefix: netip.PrefixFrom(addr, 32), Until: until, Jail: "sshd"})
			}
			old.Until = until.Add(2 * time.Hour)
			actions = append(actions, old, ban("2001:db8::8/128", until))
			err := n.Apply(t.Context(), actions)
			var refused *pipeline.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "the set is full") {
				t.Fatalf("got %v, want a refusal that says why", err)
			}
			held, err := n.Held(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			v4, moved, v6 := 0, false, 0
			for _, a := range held {
				if a.Prefix.Addr().Is6() {
					v6++
				} else {
					v4++
				}
				moved = moved || a.Prefix == old.Prefix && a.Until.After(until.Add(time.Hour))
				if slices.ContainsFunc(refused.Actions, func(r pipeline.Action) bool { return r.Prefix == a.Prefix && r.Prefix != old.Prefix }) {
					t.Errorf("%s: held, but refused", a.Prefix)
				}
			}
			if v6 != 2 {
				t.Errorf("got %d bans in the other set, want 2", v6)
			}
			if got := len(held) + len(refused.Actions); got != len(actions)+1 {
				t.Errorf("got %d held and %d refused, want all %d accounted for", len(held), len(refused.Actions), len(actions)+1)
			}
			if v4 < int(size)/2 {
				t.Errorf("got %d bans in the full set, want most of %d", v4, size)
			}
			if !moved {
				t.Error("the end of a ban in the full set did not move")
			}
			if refused.Actions[0].Jail != "sshd" {
				t.Errorf("got %+v, want the action as it came", refused.Actions[0])
			}
		})
	}
}

func TestRefusedActions(t *testing.T) {
	n := newNFTables(t)
	until := time.Now().Add(time.Hour)
	good := ban("192.0.2.7/32", until)
	observed := ban("192.0.2.9/32", until)
	observed.Observe = true
	err := n.Apply(t.Context(), []pipeline.Action{{Until: until}, good, observed, ban("192.0.2.8/32", until, pipeline.PortRange{First: 9, Last: 1})})
	var refused *pipeline.RefusedError
	if !errors.As(err, &refused) || len(refused.Actions) != 2 {
		t.Fatalf("got %v, want two refused", err)
	}
	expectHeld(t, n, good)
}

// Actions for one element in two forms: the later one counts, and the batch does not fail.
func TestSameElementTwice(t *testing.T) {
	n := newNFTables(t)
	until := time.Now().Add(time.Hour)
	for range 2 {
		if err := n.Apply(t.Context(), []pipeline.Action{
			ban("192.0.2.1/24", until), ban("192.0.2.2/24", until), ban("::ffff:192.0.2.7/128", until), unban("192.0.2.7/32"),
			unban("192.0.2.8/32"), ban("::ffff:192.0.2.8/128", until), unban("2001:db8::1/64"), unban("2001:db8::2/64"),
		}); err != nil {
			t.Fatal(err)
		}
		expectHeld(t, n, ban("192.0.2.0/24", until), ban("192.0.2.8/32", until))
	}
}
