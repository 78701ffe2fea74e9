package sinks

import (
	"context"
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

func TestNFTablesContract(t *testing.T) {
	pipelinetest.TestSink(t, func(t *testing.T) pipelinetest.Backend {
		n := newNFTables(t)
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
