package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// seenAt sends one hit with a value through w and returns its count.
func seenAt(w *Window, addr netip.Addr, at time.Time, weight int, key string) int {
	b := &Batch{Records: []Record{{Kind: Hit, Jail: "j", Addr: addr, Time: at, Weight: weight, Key: []byte(key)}}}
	if err := w.Process(context.Background(), b); err != nil {
		panic(err)
	}
	return b.Records[0].Hits
}

func TestWindowDistinct(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, c := range []struct {
		name string
		jail Jail
		at   []float64 // seconds
		keys []string
		want []int
	}{
		{"the same port again and again", Jail{MaxRetry: 3}, []float64{0, 1, 2, 3}, []string{"22", "22", "22", "22"}, []int{1, 1, 1, 1}},
		{"different ports", Jail{MaxRetry: 3}, []float64{0, 1, 2, 3}, []string{"22", "23", "24", "25"}, []int{1, 2, 3, 1}},
		{"a port that comes again is young again", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{0, 5, 9, 15}, []string{"22", "23", "22", "24"}, []int{1, 2, 2, 3}},
		{"an old one does not count", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{0, 5, 11}, []string{"22", "23", "24"}, []int{1, 2, 2}},
		{"of many the oldest goes", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{0, 5, 11, 15}, []string{"22", "23", "24", "25"}, []int{1, 2, 2, 3}},
		{"out of order, inside", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{10, 0, 5}, []string{"1", "2", "3"}, []int{1, 2, 3}},
		{"out of order, the same", Jail{MaxRetry: 3, FindTime: 10 * time.Second}, []float64{10, 0, 15}, []string{"1", "1", "2"}, []int{1, 1, 2}},
		{"no value is a value", Jail{MaxRetry: 2}, []float64{0, 1, 2}, []string{"", "", "\x00"}, []int{1, 1, 2}},
		{"long values", Jail{MaxRetry: 3}, []float64{0, 1, 2}, []string{long, long + "y", "y" + long}, []int{1, 2, 3}},
		{"maxretry 1", Jail{MaxRetry: 1}, []float64{0, 0}, []string{"22", "22"}, []int{1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.jail.Distinct = true
			w := &Window{Jails: map[string]Jail{"j": c.jail}}
			for i, s := range c.at {
				at := t0.Add(time.Duration(s * float64(time.Second)))
				if got := seenAt(w, someone, at, 1, c.keys[i]); got != c.want[i] {
					t.Errorf("hit %d, of %q at %v s: got %d, want %d", i, c.keys[i], s, got, c.want[i])
				}
			}
		})
	}
}

// slowDistinct is the twin of a table with distinct: for each address every hit since the last ban.
type slowDistinct struct {
	maxRetry int
	findTime time.Duration
	hits     map[netip.Addr][]slowValue
}

type slowValue struct {
	at     time.Time
	weight int
	key    string
}

// hit counts, in the findTime up to at, the latest hit of each value.
func (s *slowDistinct) hit(addr netip.Addr, at time.Time, weight int, key string) int {
	s.hits[addr] = append(s.hits[addr], slowValue{at, weight, key})
	latest := map[string]int{}
	for _, h := range s.hits[addr] {
		if at.Sub(h.at) <= s.findTime {
			latest[h.key] = h.weight
		}
	}
	sum := 0
	for _, w := range latest {
		sum += w
	}
	if sum >= s.maxRetry {
		delete(s.hits, addr)
	}
	return sum
}

// FuzzWindowDistinct compares Window with its twin over ordered streams, saving and loading in between.
func FuzzWindowDistinct(f *testing.F) {
	f.Add(uint64(1), uint8(5), uint16(600), uint8(10))
	f.Add(uint64(2), uint8(1), uint16(1), uint8(1))
	f.Add(uint64(3), uint8(40), uint16(30), uint8(200))
	f.Fuzz(func(t *testing.T, seed uint64, maxRetry uint8, findSeconds uint16, values uint8) {
		j := Jail{MaxRetry: int(maxRetry)%64 + 1, FindTime: time.Duration(findSeconds%1000+1) * time.Second, Distinct: true}
		rnd := rand.New(rand.NewPCG(seed, 1))
		at := t0
		now := func() time.Time { return at }
		jails := map[string]Jail{"j": j}
		fast := &Window{Jails: jails, Now: now}
		slow := &slowDistinct{j.MaxRetry, j.FindTime, make(map[netip.Addr][]slowValue)}
		saved := make(map[string][]byte)
		load(t, fast, saved)
		for i := range 1000 {
			at = at.Add(time.Duration(rnd.Int64N(int64(j.FindTime) / 8)))
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(10))})
			weight := 1 + rnd.IntN(3)
			key := fmt.Sprint(1 << rnd.IntN(int(values)%60+1))
			got, want := seenAt(fast, addr, at, weight, key), slow.hit(addr, at, weight, key)
			if (got >= j.MaxRetry) != (want >= j.MaxRetry) || got > want {
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

// A jail whose distinct was set, or taken away, starts anew.
func TestWindowDistinctChanged(t *testing.T) {
	for _, before := range []bool{true, false} {
		w := &Window{Jails: map[string]Jail{"j": {Distinct: before}}}
		saved := make(map[string][]byte)
		load(t, w, saved)
		seenAt(w, someone, t0, 1, "22")
		seenAt(w, someone, t0, 1, "23")
		save(w, false, saved)
		w = &Window{Jails: map[string]Jail{"j": {Distinct: !before}}}
		load(t, w, saved)
		if got := seenAt(w, someone, t0, 1, "24"); got != 1 {
			t.Errorf("distinct %v, then %v: got %d, want 1", before, !before, got)
		}
	}
}

// Different values in a full jail: those with one value go first.
func TestWindowDistinctBound(t *testing.T) {
	w := &Window{Jails: map[string]Jail{"j": {MaxTracked: 10, MaxRetry: 10, Distinct: true}}}
	seenAt(w, someone, t0, 1, "22")
	seenAt(w, someone, t0, 1, "23")
	for i := range 1000 {
		seenAt(w, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), t0, 1, "80")
	}
	if got := seenAt(w, someone, t0, 1, "24"); got != 3 || w.Tracked("j") != 10 {
		t.Errorf("got %d values and %d addresses, want 3 and 10", got, w.Tracked("j"))
	}
}
