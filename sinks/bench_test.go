package sinks

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// cpu is the CPU time of this process so far: steadier than the clock on a shared machine.
func cpu(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measured runs f b.N times and reports its CPU time per element.
func measured(b *testing.B, elements int, f func(i int)) {
	b.ReportAllocs()
	b.ResetTimer()
	start := cpu(b)
	for i := range b.N {
		f(i)
	}
	b.ReportMetric(float64(cpu(b)-start)/float64(b.N)/float64(elements), "cpu-ns/element")
}

// library is the same work with google/nftables on a lasting connection.
type library struct {
	conn *nftables.Conn
	set  *nftables.Set
}

func newLibrary(b *testing.B) library {
	conn, err := nftables.New(nftables.AsLasting())
	if err != nil {
		b.Fatal(err)
	}
	table := conn.AddTable(&nftables.Table{Name: "library", Family: nftables.TableFamilyINet})
	l := library{conn, &nftables.Set{Table: table, Name: "ban4", KeyType: nftables.TypeIPAddr, HasTimeout: true}}
	if err := conn.AddSet(l.set, nil); err != nil {
		b.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.DelTable(table)
		if err := conn.Flush(); err != nil {
			b.Error(err)
		}
		conn.CloseLasting()
	})
	return l
}

// put adds, deletes and adds elements with a timeout.
func (l library) put(b *testing.B, actions []pipeline.Action) {
	const most = 900 // above 2,340 they are lost without a word
	for len(actions) > 0 {
		now := actions[:min(len(actions), most)]
		actions = actions[len(now):]
		keys, elems := make([]nftables.SetElement, len(now)), make([]nftables.SetElement, len(now))
		for i, a := range now {
			keys[i].Key = a.Prefix.Addr().AsSlice()
			elems[i] = nftables.SetElement{Key: keys[i].Key, Timeout: time.Until(a.Until)}
		}
		if err := l.conn.SetAddElements(l.set, keys); err != nil {
			b.Fatal(err)
		}
		if err := l.conn.SetDeleteElements(l.set, keys); err != nil {
			b.Fatal(err)
		}
		if err := l.conn.SetAddElements(l.set, elems); err != nil {
			b.Fatal(err)
		}
		if err := l.conn.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBan is one ban alone, from Apply's call until the kernel drops.
func BenchmarkBan(b *testing.B) {
	action := func(i int) []pipeline.Action {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		return []pipeline.Action{{Prefix: netip.PrefixFrom(addr, 32), Until: time.Now().Add(time.Hour)}}
	}
	for _, c := range []struct {
		name   string
		action func(i int) []pipeline.Action
	}{{"new", action}, {"again", func(int) []pipeline.Action { return action(0) }}} {
		b.Run(c.name+"/NFTables", func(b *testing.B) {
			n := newNFTables(b)
			measured(b, 1, func(i int) {
				if err := n.Apply(b.Context(), c.action(i)); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(c.name+"/library", func(b *testing.B) {
			needKernel(b)
			l := newLibrary(b)
			measured(b, 1, func(i int) { l.put(b, c.action(i)) })
		})
	}
}

func BenchmarkBulk(b *testing.B) {
	const bulk = 10_000
	for _, c := range []struct {
		name string
		bans func(i int) []pipeline.Action
	}{
		{"new", func(i int) []pipeline.Action { return hostsFrom(i%100*bulk, bulk) }}, // up to a million
		{"again", func(int) []pipeline.Action { return hostsFrom(0, bulk) }},
	} {
		b.Run(c.name+"/NFTables", func(b *testing.B) {
			n := newNFTables(b)
			measured(b, bulk, func(i int) {
				if err := n.Apply(b.Context(), c.bans(i)); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(c.name+"/library", func(b *testing.B) {
			needKernel(b)
			l := newLibrary(b)
			measured(b, bulk, func(i int) { l.put(b, c.bans(i)) })
		})
	}
}

// BenchmarkSync finds 10,000 bans as they should be.
func BenchmarkSync(b *testing.B) {
	const bulk = 10_000
	bans := hostsFrom(0, bulk)
	n := newNFTables(b)
	if err := n.Apply(b.Context(), bans); err != nil {
		b.Fatal(err)
	}
	measured(b, bulk, func(int) {
		if err := n.Sync(b.Context(), func(yield func(pipeline.Action) bool) {
			for _, a := range bans {
				if !yield(a) {
					return
				}
			}
		}); err != nil {
			b.Fatal(err)
		}
	})
}
