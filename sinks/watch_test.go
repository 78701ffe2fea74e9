package sinks

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// What others do to the table is noticed, and undone by Sync.
func TestOthersAreHealed(t *testing.T) {
	until := time.Now().Add(time.Hour)
	web := pipeline.PortRange{First: 80, Last: 443}
	live := []pipeline.Action{ban("192.0.2.7/32", until), ban("192.0.2.8/32", until), ban("2001:db8::/64", until, web)}
	for _, commands := range []string{
		"flush ruleset",
		"delete table inet test",
		"flush table inet test",
		"flush chain inet test bans",
		"flush chain inet test bans\nadd rule inet test bans accept",
		"flush set inet test ban4",
		"delete element inet test ban4 { 192.0.2.7 }",
		"flush chain inet test bans\ndelete set inet test ban6_net64_port80-443",
		"flush chain inet test bans\ndelete chain inet test bans",
		"add table inet test { flags dormant; }",
		"delete table inet test\nadd table inet test { comment \"" + comment("test") + "\"; }", // restored from a file
	} {
		t.Run(commands, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			core, logs := observer.New(zap.WarnLevel)
			n := newNFTables(t, func(n *NFTables) { n.Logger = zap.New(core) })
			defer n.Close()
			if err := n.Sync(t.Context(), slices.Values(live)); err != nil {
				t.Fatal(err)
			}
			before := structure(t)
			said := make(chan error, 1)
			go func() { said <- n.Watch(t.Context()) }()
			nft(t, commands)
			select {
			case err := <-said:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(passes):
				t.Fatal("Watch did not notice")
			}
			if all := logs.All(); len(all) != 1 || all[0].ContextMap()["by"] != `"nft"` {
				t.Errorf("got %v, want one line that names nft", all)
			}
			if err := n.Sync(t.Context(), slices.Values(live)); err != nil {
				t.Fatal(err)
			}
			if got := structure(t); got != before {
				t.Errorf("got %s, want %s", got, before)
			}
			expectHeld(t, n, live...)
		})
	}
}

// What is none of our business does not wake anybody: other tables, additions, and ends of elements.
func TestWatchOverlooks(t *testing.T) {
	n := newNFTables(t)
	if err := n.Sync(t.Context(), slices.Values([]pipeline.Action{ban("192.0.2.7/32", time.Now().Add(50*time.Millisecond))})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	said := make(chan error, 1)
	go func() { said <- n.Watch(ctx) }()
	nft(t, "add table inet testing\nadd set inet testing ban4 { type ipv4_addr; }\nadd element inet testing ban4 { 192.0.2.7 }\ndelete table inet testing")
	nft(t, "add table ip test\ndelete table ip test")
	nft(t, "insert rule inet test bans ip saddr 192.0.2.99 accept\nadd element inet test allow4 { 192.0.2.99 }")
	if err := <-said; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want Watch to go on", err)
	}
}

// A bulk load of ours neither wakes Watch nor overruns its buffer.
func TestWatchOverlooksBulk(t *testing.T) {
	n := newNFTables(t)
	if err := n.Sync(t.Context(), slices.Values(hostsFrom(0, 20_000))); err != nil {
		t.Fatal(err)
	}
	expectQuiet(t, n)
}

// Flush by another process is its operator's word: the bans are not put back, the next one is.
func TestWatchOverlooksFlush(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	n := newNFTables(t, func(n *NFTables) { n.Logger, n.AuditEvery = zap.New(core), 20*time.Millisecond })
	until := time.Now().Add(time.Hour)
	if err := n.Sync(t.Context(), slices.Values([]pipeline.Action{ban("192.0.2.7/32", until)})); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	said := make(chan error, 1)
	go func() { said <- n.Watch(ctx) }()
	verb := &NFTables{Table: "test"}
	if removed, err := verb.Flush(t.Context()); !removed || err != nil {
		t.Fatalf("got %v, %v, want true", removed, err)
	}
	select {
	case err := <-said:
		t.Fatalf("got %v, want Watch to go on", err)
	case <-time.After(200 * time.Millisecond):
	}
	if all := logs.All(); len(all) != 1 || !strings.Contains(all[0].Message, "removed by hand") {
		t.Errorf("got %v, want one line that says so", all)
	}
	if err := n.Apply(t.Context(), []pipeline.Action{ban("192.0.2.8/32", until)}); err != nil {
		t.Fatal(err)
	}
	expectHeld(t, n, ban("192.0.2.8/32", until))
	cancel()
	if err := <-said; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// Apply that finds the table gone makes it anew, and Watch has the others put back, whenever it is called.
func TestApplyFindsTableGone(t *testing.T) {
	n := newNFTables(t)
	until := time.Now().Add(time.Hour)
	if err := n.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", until)}); err != nil {
		t.Fatal(err)
	}
	nft(t, "delete table inet test")
	n.notices.drain() // as if the notice had been lost
	if err := n.Apply(t.Context(), []pipeline.Action{ban("192.0.2.8/32", until), unban("192.0.2.9/32")}); err != nil {
		t.Fatal(err)
	}
	expectHeld(t, n, ban("192.0.2.8/32", until))
	ctx, cancel := context.WithTimeout(t.Context(), passes)
	defer cancel()
	if err := n.Watch(ctx); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	expectQuiet(t, n)
}

// expectQuiet expects Watch to see nothing more.
func expectQuiet(t *testing.T, n *NFTables) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := n.Watch(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > passes {
		t.Errorf("got %v after %v, want Watch to go on until its context is done", err, time.Since(start))
	}
}

// A Sync puts everything right, so nothing of before counts any more; nor does what we flush ourselves.
func TestWatchAfterSync(t *testing.T) {
	n := newNFTables(t)
	live := []pipeline.Action{ban("192.0.2.7/32", time.Now().Add(time.Hour))}
	for range 2 {
		if err := n.Apply(t.Context(), live); err != nil {
			t.Fatal(err)
		}
		nft(t, "delete table inet test")
		n.notices.drain()
	}
	if err := n.Apply(t.Context(), live); err != nil { // finds the table gone
		t.Fatal(err)
	}
	if err := n.Sync(t.Context(), slices.Values(live)); err != nil {
		t.Fatal(err)
	}
	expectQuiet(t, n)
	if _, err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Apply(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	expectQuiet(t, n)
}

// What has piled up is answered with one Sync.
func TestWatchOnce(t *testing.T) {
	n := newNFTables(t)
	live := []pipeline.Action{ban("192.0.2.7/32", time.Now().Add(time.Hour))}
	if err := n.Sync(t.Context(), slices.Values(live)); err != nil {
		t.Fatal(err)
	}
	nft(t, "delete element inet test ban4 { 192.0.2.7 }")
	nft(t, "flush set inet test ban4")
	nft(t, "flush table inet test")
	nft(t, "delete table inet test")
	if err := n.Watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Sync(t.Context(), slices.Values(live)); err != nil {
		t.Fatal(err)
	}
	expectQuiet(t, n)
}

// The audit finds what no notice told.
func TestAudit(t *testing.T) {
	for _, c := range []struct{ commands, want string }{
		{"flush table inet test", "rule"},
		{"flush chain inet test bans\nadd rule inet test bans drop", "rule"},
		{"flush chain inet test bans\ndelete chain inet test bans\nadd chain inet test bans", "chain"},
		{"delete table inet test", "table"},
		{"add table inet test { flags dormant; }", "table"},
		{"flush chain inet test bans\ndelete chain inet test bans", "chain"},
		{"insert rule inet test bans ip saddr 192.0.2.99 accept", ""},
	} {
		t.Run(c.commands, func(t *testing.T) {
			n := newNFTables(t, func(n *NFTables) { n.AuditEvery = 20 * time.Millisecond })
			if err := n.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Now().Add(time.Hour))}); err != nil {
				t.Fatal(err)
			}
			if what, err := n.audit(); what != "" || err != nil {
				t.Errorf("before: got %q, %v, want nothing", what, err)
			}
			nft(t, c.commands)
			n.notices.drain()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := n.Watch(ctx); (err == nil) != (c.want != "") {
				t.Errorf("got %v, want it to notice %q", err, c.want)
			}
		})
	}
}

// An overrun of the notices means that something may have been missed.
func TestWatchOverrun(t *testing.T) {
	n := newNFTables(t)
	if err := n.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Now().Add(time.Hour))}); err != nil {
		t.Fatal(err)
	}
	other := newNFTables(t, func(n *NFTables) { n.Table = "other" })
	if err := other.Apply(t.Context(), hostsFrom(0, 20_000)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), passes)
	defer cancel()
	if err := n.Watch(ctx); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

// Somebody who undoes our work again and again is answered more and more slowly.
func TestFight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fight
		for _, want := range []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
			start := time.Now()
			if err := f.wait(t.Context()); err != nil || time.Since(start) != want {
				t.Errorf("got %v, %v, want %v", time.Since(start), err, want)
			}
		}
		for range 20 {
			_ = f.wait(t.Context())
		}
		start := time.Now()
		if _ = f.wait(t.Context()); time.Since(start) != time.Minute {
			t.Errorf("got %v, want a minute at most", time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		time.Sleep(3 * time.Minute)
		start = time.Now()
		if _ = f.wait(t.Context()); time.Since(start) != 0 {
			t.Errorf("after a quiet time: got %v, want 0", time.Since(start))
		}
	})
}

// question asks for the table over s.
func question(t *testing.T, s *socket) {
	var b batch
	b.begin(s.seq)
	b.add(unix.NFT_MSG_GETTABLE, 0, "")
	b.attrString(unix.NFTA_TABLE_NAME, "test")
	if err := s.send(b.buf[headerLen:]); err != nil {
		t.Fatal(err)
	}
}

// acknowledged sends a batch over s whose acknowledgement nobody reads.
func acknowledged(t *testing.T, s *socket) {
	var b batch
	b.begin(s.seq + 1)
	w := builder{batch: &b, table: "test"}
	w.addTable(0)
	s.seq = b.end(false) + 1
	if err := s.send(b.buf); err != nil {
		t.Fatal(err)
	}
}

// A socket that is out of step is given up, and the work done over a new one.
func TestOutOfStep(t *testing.T) {
	until := time.Now().Add(time.Hour)
	for name, spoil := range map[string]func(*testing.T, *socket){
		"an answer of before":           question,
		"an acknowledgement of before":  acknowledged,
		"a socket that somebody closed": func(_ *testing.T, s *socket) { s.close() },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNFTables(t)
			first, next := ban("192.0.2.7/32", until), ban("192.0.2.8/32", until)
			if err := n.Apply(t.Context(), []pipeline.Action{first}); err != nil {
				t.Fatal(err)
			}
			was := n.sock
			spoil(t, n.sock)
			if err := n.Apply(t.Context(), []pipeline.Action{next}); err != nil {
				t.Fatal(err)
			}
			if n.sock == was {
				t.Error("Apply: got the same socket, want a new one")
			}
			was = n.sock
			spoil(t, n.sock)
			if err := n.Sync(t.Context(), slices.Values([]pipeline.Action{next})); err != nil {
				t.Fatal(err)
			}
			if n.sock == was {
				t.Error("Sync: got the same socket, want a new one")
			}
			expectHeld(t, n, next)
		})
	}
}
