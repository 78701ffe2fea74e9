package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var (
	someone = netip.MustParseAddr("192.0.2.7")
	another = netip.MustParseAddr("2001:db8::7")
)

// hitAt sends one hit through w and returns its count.
func hitAt(w *Window, jail string, addr netip.Addr, at time.Time, weight int) int {
	b := &Batch{Records: []Record{{Kind: Hit, Jail: jail, Addr: addr, Time: at, Weight: weight}}}
	if err := w.Process(context.Background(), b); err != nil {
		panic(err)
	}
	return b.Records[0].Hits
}

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		name string
		jail Jail
		at   []float64 // seconds
		want []int
	}{
		{"counts up and starts anew", Jail{MaxRetry: 3}, []float64{0, 1, 2, 3, 4, 5}, []int{1, 2, 3, 1, 2, 3}},
		{"both ends of findtime count", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{0, 5, 10}, []int{1, 2, 3}},
		{"a microsecond more does not", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{0, 5, 10.000001}, []int{1, 2, 2}},
		{"it slides, it does not tumble", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{0, 8, 12, 17}, []int{1, 2, 2, 3}},
		{"fail2ban's estimate would ban here", Jail{MaxRetry: 5, FindTime: 10 * time.Second}, []float64{0, 0, 0, 0, 10.1, 10.2}, []int{1, 2, 3, 4, 1, 2}},
		{"maxretry 1", Jail{MaxRetry: 1}, []float64{0, 0}, []int{1, 1}},
		{"out of order, inside", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{10, 0, 5}, []int{1, 2, 3}},
		{"out of order, between two windows", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{20, 0, 10}, []int{1, 1, 2}},
		{"defaults", Jail{}, []float64{0, 100, 200, 300, 600}, []int{1, 2, 3, 4, 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &Window{Jails: map[string]Jail{"j": c.jail}}
			for i, s := range c.at {
				at := t0.Add(time.Duration(s * float64(time.Second)))
				if got := hitAt(w, "j", someone, at, 1); got != c.want[i] {
					t.Errorf("hit %d at %v s: got %d, want %d", i, s, got, c.want[i])
				}
			}
		})
	}
}

func TestWindowWeights(t *testing.T) {
	w := &Window{Jails: map[string]Jail{"j": {MaxRetry: 5}}}
	for i, c := range []struct{ weight, want int }{{2, 2}, {0, 3}, {1, 4}, {3, 7}, {5, 5}, {1, 1}} {
		if got := hitAt(w, "j", someone, t0, c.weight); got != c.want {
			t.Errorf("hit %d of weight %d: got %d, want %d", i, c.weight, got, c.want)
		}
	}
}

func TestWindowKeepsApart(t *testing.T) {
	w := &Window{Jails: map[string]Jail{"a": {}, "b": {}}}
	for _, c := range []struct {
		jail string
		addr netip.Addr
		want int
	}{{"a", someone, 1}, {"b", someone, 1}, {"a", another, 1}, {"a", someone, 2}, {"unknown", someone, 0}} {
		if got := hitAt(w, c.jail, c.addr, t0, 1); got != c.want {
			t.Errorf("%s in %s: got %d, want %d", c.addr, c.jail, got, c.want)
		}
	}
}

func TestWindowForgets(t *testing.T) {
	for name, forget := range map[string]Batch{
		"a login that won":        {Records: []Record{{Kind: Forget, Jail: "a", Addr: someone}}},
		"an unban by hand":        {Actions: []Action{unban("192.0.2.7/32", "a")}},
		"an unban from all jails": {Actions: []Action{unban("192.0.2.7/32", "")}},
		"an unban of the net":     {Actions: []Action{unban("192.0.2.0/24", "a")}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &Window{Jails: map[string]Jail{"a": {}}}
			hitAt(w, "a", someone, t0, 1)
			hitAt(w, "a", another, t0, 1)
			if err := w.Process(t.Context(), &forget); err != nil {
				t.Fatal(err)
			}
			if got := hitAt(w, "a", someone, t0, 1); got != 1 {
				t.Errorf("got %d, want 1", got)
			}
			if got := hitAt(w, "a", another, t0, 1); got != 2 {
				t.Errorf("the other address: got %d, want 2", got)
			}
		})
	}
}

// Where a jail is full, stale addresses go first, then those with one offence.
func TestWindowBound(t *testing.T) {
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	w := &Window{Jails: map[string]Jail{"j": {MaxTracked: 10, MaxRetry: 10, FindTime: time.Minute}}}
	hitAt(w, "j", addr(0), t0, 1)
	hitAt(w, "j", addr(0), t0, 1) // two offences, long ago
	later := t0.Add(time.Hour)
	for range 3 {
		hitAt(w, "j", addr(1), later, 1) // an attacker
	}
	for i := range 1000 {
		hitAt(w, "j", addr(100+i), later, 1) // a crowd of forged addresses
	}
	if n := w.Tracked("j"); n != 10 {
		t.Errorf("got %d addresses, want 10", n)
	}
	if got := hitAt(w, "j", addr(1), later, 1); got != 4 {
		t.Errorf("the attacker among the crowd: got %d hits, want 4", got)
	}
	if got := hitAt(w, "j", addr(0), later, 1); got != 1 {
		t.Errorf("the stale address: got %d hits, want 1", got)
	}
}

func TestWindowExpires(t *testing.T) {
	now := t0
	w := &Window{Jails: map[string]Jail{"j": {FindTime: time.Minute}}, Now: func() time.Time { return now }}
	for i := range 100 {
		hitAt(w, "j", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), t0, 1)
	}
	now = t0.Add(2 * time.Hour)
	for i := range 200 {
		hitAt(w, "j", netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}), now, 1)
	}
	if n := w.Tracked("j"); n != 200 {
		t.Errorf("got %d addresses, want the 200 young ones", n)
	}
}

// slowWindow is the twin of a table: every offence since the last ban in a list.
type slowWindow struct {
	maxRetry int
	findTime time.Duration
	hits     map[netip.Addr][]slowHit
}

type slowHit struct {
	at     time.Time
	weight int
}

func (s *slowWindow) hit(addr netip.Addr, at time.Time, weight int) int {
	s.hits[addr] = append(s.hits[addr], slowHit{at, weight})
	best := 0
	for _, first := range s.hits[addr] {
		sum := 0
		end := first.at.Add(s.findTime)
		for _, h := range s.hits[addr] {
			if !h.at.Before(first.at) && !h.at.After(end) {
				sum += h.weight
			}
		}
		if !at.Before(first.at) && !at.After(end) {
			best = max(best, sum)
		}
	}
	if best >= s.maxRetry {
		delete(s.hits, addr)
	}
	return best
}

// FuzzWindow compares Window with its twin over ordered streams, saving and loading in between.
func FuzzWindow(f *testing.F) {
	f.Add(uint64(1), uint8(5), uint16(600))
	f.Add(uint64(2), uint8(1), uint16(1))
	f.Add(uint64(3), uint8(40), uint16(30))
	f.Fuzz(func(t *testing.T, seed uint64, maxRetry uint8, findSeconds uint16) {
		j := Jail{MaxRetry: int(maxRetry)%64 + 1, FindTime: time.Duration(findSeconds%1000+1) * time.Second}
		// Half of them count networks of four, less the one that holds 10.0.0.5.
		counted := func(a netip.Addr) netip.Addr { return a }
		if seed%2 == 0 {
			j.Prefix4, j.Ignore = 30, prefixes("10.0.0.5/32")
			counted = func(a netip.Addr) netip.Addr {
				if n := a.As4()[3]; n < 4 || n > 7 {
					return netip.AddrFrom4([4]byte{10, 0, 0, n &^ 3})
				}
				return a
			}
		}
		rnd := rand.New(rand.NewPCG(seed, 1))
		at := t0
		now := func() time.Time { return at }
		jails := map[string]Jail{"j": j}
		fast := &Window{Jails: jails, Now: now}
		slow := &slowWindow{j.MaxRetry, j.FindTime, make(map[netip.Addr][]slowHit)}
		saved := make(map[string][]byte)
		load(t, fast, saved)
		for i := range 2000 {
			at = at.Add(time.Duration(rnd.Int64N(int64(j.FindTime) / 8)))
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(20))})
			weight := 1 + rnd.IntN(3)
			if rnd.IntN(100) == 0 {
				forget := &Batch{Records: []Record{{Kind: Forget, Jail: "j", Addr: addr}}}
				if err := fast.Process(t.Context(), forget); err != nil {
					t.Fatal(err)
				}
				delete(slow.hits, counted(addr))
			}
			got, want := hitAt(fast, "j", addr, at, weight), slow.hit(counted(addr), at, weight)
			if (got >= j.MaxRetry) != (want >= j.MaxRetry) {
				t.Fatalf("hit %d: got %d, want %d, of %d", i, got, want, j.MaxRetry)
			}
			if rnd.IntN(50) == 0 { // a restart
				save(fast, rnd.IntN(10) == 0, saved)
				fast = &Window{Jails: jails, Now: now}
				load(t, fast, saved)
			}
		}
	})
}

// save does what a store does with a checkpoint.
func save(s Stateful, full bool, saved map[string][]byte) {
	if full {
		clear(saved)
	}
	s.Save(full, func(k, v []byte) {
		if v == nil {
			delete(saved, string(k))
		} else {
			saved[string(k)] = append([]byte{}, v...)
		}
	})
}

func load(t testing.TB, s Stateful, saved map[string][]byte) {
	t.Helper()
	if err := s.Load(pairs(maps.Clone(saved))); err != nil {
		t.Fatal(err)
	}
}

func pairs(saved map[string][]byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range saved {
			if !yield([]byte(k), v) {
				return
			}
		}
	}
}

// Only what changed is saved, and what is saved is complete.
func TestWindowSavesChanges(t *testing.T) {
	w := &Window{Jails: map[string]Jail{"j": {MaxRetry: 3}}}
	saved := make(map[string][]byte)
	load(t, w, saved)
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
	count := func() (puts, deletes int) {
		w.Save(false, func(k, v []byte) {
			if v == nil {
				deletes++
			} else {
				puts++
			}
		})
		return
	}
	for i := range 100 {
		hitAt(w, "j", addr(i), t0, 1)
	}
	steps := []struct {
		name          string
		do            func()
		puts, deletes int
	}{
		{"the first time", func() {}, 100, 0},
		{"nothing happened", func() {}, 0, 0},
		{"one hit", func() { hitAt(w, "j", addr(1), t0, 1) }, 1, 0},
		{"a ban", func() { hitAt(w, "j", addr(1), t0, 1) }, 0, 1},
		{"a ban of somebody new", func() { hitAt(w, "j", addr(200), t0, 3) }, 0, 0},
		{"a ban and back again", func() { hitAt(w, "j", addr(2), t0, 3); hitAt(w, "j", addr(2), t0, 1) }, 1, 1},
	}
	for _, s := range steps {
		s.do()
		if puts, deletes := count(); puts != s.puts || deletes != s.deletes {
			t.Errorf("%s: got %d puts and %d deletes, want %d and %d", s.name, puts, deletes, s.puts, s.deletes)
		}
	}
}

func TestWindowLoadDamaged(t *testing.T) {
	good := append([]byte("j\x00"), make([]byte, 16)...)
	for name, c := range map[string]struct{ k, v []byte }{
		"short key":     {[]byte("j\x00"), nil},
		"no separator":  {make([]byte, 40)[:0:0], nil},
		"endless value": {good, []byte{0xff}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &Window{Jails: map[string]Jail{"j": {}}}
			if err := w.Load(pairs(map[string][]byte{string(c.k): c.v})); err == nil {
				t.Error("got no error")
			}
		})
	}
}

// What is saved for a jail that is no longer there goes.
func TestWindowDropsGoneJails(t *testing.T) {
	w := &Window{Jails: map[string]Jail{"old": {}}}
	saved := make(map[string][]byte)
	load(t, w, saved)
	hitAt(w, "old", someone, t0, 1)
	save(w, false, saved)
	w = &Window{Jails: map[string]Jail{"new": {}}}
	load(t, w, saved)
	save(w, false, saved)
	if len(saved) != 0 {
		t.Errorf("got %q, want nothing", saved)
	}
}

// A million tracked addresses: ns per hit, bytes of heap per address.
func BenchmarkWindow(b *testing.B) {
	const tracked = 1_000_000
	w := &Window{Jails: map[string]Jail{"j": {MaxRetry: 5, MaxTracked: 2 * tracked}}}
	addr := func(i int) netip.Addr {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i)*2654435761)
		return netip.AddrFrom4(a)
	}
	before := heapInUse()
	batch := &Batch{}
	for range 4 {
		for i := range tracked {
			hitInto(batch, addr(i), t0)
			if batch.Full() {
				w.Process(b.Context(), batch)
				batch.Reset()
			}
		}
	}
	w.Process(b.Context(), batch)
	perAddr := float64(heapInUse()-before) / float64(w.Tracked("j"))
	b.ReportAllocs()
	at, i := t0, 0
	for b.Loop() {
		batch.Reset()
		for range maxRecords {
			// Every hit is too late to complete anything: the window stays at four offences each.
			if i%tracked == 0 {
				at = at.Add(time.Hour)
			}
			hitInto(batch, addr(i%tracked), at)
			i++
		}
		w.Process(b.Context(), batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(i), "ns/hit")
	b.ReportMetric(perAddr, "B/addr")
	if w.Tracked("j") < tracked*99/100 {
		b.Fatal(fmt.Sprint("tracked ", w.Tracked("j")))
	}
}

func hitInto(b *Batch, addr netip.Addr, at time.Time) {
	r := b.Append(nil, at)
	r.Kind, r.Jail, r.Addr, r.Weight = Hit, "j", addr, 1
}

// A million tracked addresses of which 10,000 have changed: how long a checkpoint holds up the stage.
func BenchmarkWindowSave(b *testing.B) {
	const tracked, changed = 1_000_000, 10_000
	w := &Window{Jails: map[string]Jail{"j": {MaxRetry: 5, MaxTracked: 2 * tracked}}}
	if err := w.Load(func(func(k, v []byte) bool) {}); err != nil {
		b.Fatal(err)
	}
	addr := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
	}
	batch := &Batch{}
	hit := func(from, n, step int, at time.Time) {
		for i := range n {
			hitInto(batch, addr(from+i*step), at)
			if batch.Full() || i == n-1 {
				w.Process(b.Context(), batch)
				batch.Reset()
			}
		}
	}
	hit(0, tracked, 1, t0)
	w.Save(false, func(k, v []byte) {})
	b.ReportAllocs()
	at := t0
	for b.Loop() {
		b.StopTimer()
		at = at.Add(time.Hour)
		hit(0, changed, tracked/changed, at)
		c := &checkpoint{}
		b.StartTimer()
		w.Save(false, c.put(w.Name()))
		if len(c.Changes) != changed {
			b.Fatalf("got %d changes, want %d", len(c.Changes), changed)
		}
	}
}
