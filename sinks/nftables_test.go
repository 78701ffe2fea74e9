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
		left := func() time.Duration {
			if err := n.Apply(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			held, err := n.Held(t.Context())
			if err != nil || len(held) != 1 {
				t.Fatalf("got %v, %v, want one ban", held, err)
			}
			return held[0].Until.Sub(then)
		}
		left()
		for start := time.Now(); time.Since(start) < 200*time.Millisecond; {
			if got := left(); got < time.Hour-100*time.Millisecond {
				t.Fatalf("old kernel %v: got %v left, want an hour", options != nil, got)
			}
		}
		n.Close()
		if _, err := n.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNFTablesListing(t *testing.T) {
	n := newNFTables(t)
	ssh := []pipeline.PortRange{{First: 22, Last: 22}}
	web := []pipeline.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}, {First: 8000, Last: 8100}}
	until := time.Now().Add(time.Hour)
	if err := n.Apply(t.Context(), []pipeline.Action{
		ban("192.0.2.7/32", until), ban("2001:db8::7/128", until), ban("192.0.2.7/24", until, ssh...), ban("2001:db8:1:2::/64", until, web...),
		ban("192.0.2.9/32", time.Time{}),
	}); err != nil {
		t.Fatal(err)
	}
	t.Log(nft(t, "list table inet test"))
}
