package sinks

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

// newNFTables gives a sink with a table of its own, which goes with the test.
func newNFTables(t testing.TB, options ...func(*NFTables)) *NFTables {
	needKernel(t)
	n := &NFTables{Table: "test"}
	for _, option := range options {
		option(n)
	}
	t.Cleanup(func() {
		if _, err := n.Flush(context.Background()); err != nil {
			t.Error(err)
		}
		n.Close()
	})
	return n
}

func TestNFTablesContract(t *testing.T) { contract(t) }

// The same as on a kernel before 6.12, which does not move the end of an element that is added again.
func TestNFTablesContractOldKernel(t *testing.T) { contract(t, oldKernel) }

func oldKernel(n *NFTables) { n.learned = true }

func contract(t *testing.T, options ...func(*NFTables)) {
	pipelinetest.TestSink(t, func(t *testing.T) pipelinetest.Backend {
		n := newNFTables(t, options...)
		other := &NFTables{Table: n.Table} // the look behind it: another program's
		t.Cleanup(func() { other.Close() })
		return pipelinetest.Backend{
			Sink:  n,
			Slack: 2 * time.Second,
			Held:  func() ([]pipeline.Action, error) { return other.Held(t.Context()) },
			Break: func() func() {
				nft(t, "add table inet test\ndelete table inet test\nadd table inet test")
				return func() { nft(t, "delete table inet test") }
			},
			Disturb: func() { nft(t, "delete table inet test") },
		}
	})
}

// The kernel is asked what it can do; what it says is what it does.
func TestLearn(t *testing.T) {
	n := newNFTables(t)
	if err := n.Apply(t.Context(), []pipeline.Action{ban("192.0.2.7/32", time.Now().Add(time.Hour))}); err != nil {
		t.Fatal(err)
	}
	nft(t, "add element inet test ban4 { 192.0.2.7 timeout 5h }")
	held, err := n.Held(t.Context())
	if err != nil || len(held) != 1 || !n.learned {
		t.Fatalf("got %v, %v, want one ban", held, err)
	}
	if moves := time.Until(held[0].Until) > 4*time.Hour; n.updates != moves {
		t.Errorf("got updates %v, want %v", n.updates, moves)
	}
	if listing := nft(t, "list ruleset"); strings.Contains(listing, "trial") {
		t.Errorf("got %s, want no trial left", listing)
	}
}

// A ban for as long as the one before begins anew: the timeout is the same, the end is not.
func TestSameTimeoutAgain(t *testing.T) {
	for _, options := range [][]func(*NFTables){nil, {oldKernel}} {
		then := time.Now()
		n := newNFTables(t, append(options, func(n *NFTables) { n.Now = func() time.Time { return then } })...)
		again := []pipeline.Action{ban("192.0.2.7/32", then.Add(time.Hour))}
		for begin := time.Now(); time.Since(begin) < 200*time.Millisecond; {
			start := time.Now()
			if err := n.Apply(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			held, err := n.Held(t.Context())
			if err != nil || len(held) != 1 {
				t.Fatalf("got %v, %v, want one ban", held, err)
			}
			const jiffies = 20 * time.Millisecond
			if left, want := held[0].Until.Sub(then), time.Hour-time.Since(start)-jiffies; left < want {
				t.Fatalf("old kernel %v: got %v left, want %v", options != nil, left, want)
			}
		}
		n.Close()
		if _, err := n.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// What the nft program shows of the table can be read, saved, and loaded again; the next run takes it over.
func TestListing(t *testing.T) {
	n := newNFTables(t)
	ssh := []pipeline.PortRange{{First: 22, Last: 22}}
	web := []pipeline.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}, {First: 8000, Last: 8100}}
	until := time.Now().Add(time.Hour)
	bans := []pipeline.Action{
		ban("192.0.2.7/32", until), ban("2001:db8::7/128", until), ban("192.0.2.0/24", until, ssh...), ban("2001:db8:1:2::/64", until, web...),
		ban("192.0.2.9/32", time.Time{}),
	}
	if err := n.Apply(t.Context(), bans); err != nil {
		t.Fatal(err)
	}
	listing := nft(t, "list table inet test")
	for _, want := range []string{
		`comment "banpipe: keeps its bans here; to undo all: banpipe flush, or nft delete table inet test"`,
		"set allow4 {", "set allow6 {", "type ipv4_addr", "type ipv6_addr", "size 2097152", "timeout 1d", "gc-interval 30s",
		"type filter hook prerouting priority raw; policy accept;",
		`iif "lo" return`,
		"icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } return",
		"ip saddr @allow4 return", "ip6 saddr @allow6 return",
		"ip saddr @ban4 counter packets 0 bytes 0 drop", "ip6 saddr @ban6 counter packets 0 bytes 0 drop",
		"tcp dport 22 ip saddr & 255.255.255.0 == @ban4_net24_port22 counter packets 0 bytes 0 drop",
		"udp dport 22 ip saddr & 255.255.255.0 == @ban4_net24_port22 counter packets 0 bytes 0 drop",
		"udp dport { 80, 443, 8000-8100 } ip6 saddr & ffff:ffff:ffff:ffff:: == @ban6_net64_port80_443_8000-8100 counter packets 0 bytes 0 drop",
	} {
		if !strings.Contains(listing, want) {
			t.Errorf("got %s, want %s in it", listing, want)
		}
	}
	if _, err := n.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	nft(t, listing)
	expectHeld(t, n, bans...)
	next := ban("192.0.2.8/32", until)
	if err := n.Apply(t.Context(), []pipeline.Action{next}); err != nil {
		t.Fatal(err)
	}
	expectHeld(t, n, append(bans, next)...)
}
