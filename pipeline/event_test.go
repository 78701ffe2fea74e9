package pipeline

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestSamples holds what is told of a ban, the last five lines of an address or a network in a jail, against a walk over all
// that the ring has.
func TestSamples(t *testing.T) {
	s := samples{added: math.MaxUint32 - samplesKept - 100} // so that the numbers run out in between
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []Record
	prefixes := []netip.Prefix{netip.MustParsePrefix("192.0.2.3/32"), netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("198.51.100.1/32")}
	for n := range 3 * samplesKept {
		r := Record{Jail: []string{"a", "b"}[rnd.IntN(2)], Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(rnd.IntN(200))}), Line: fmt.Append(nil, n)}
		if rnd.IntN(9) == 0 {
			r.Addr = netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::1", rnd.IntN(30)))
		}
		all = append(all, r)
		if s.add(&r); s.added == 1 {
			all = []Record{r}
		}
		if n%97 != 0 {
			continue
		}
		for _, p := range prefixes {
			var want []string
			for _, r := range all[max(0, len(all)-samplesKept):] {
				if r.Jail == "a" && p.Contains(r.Addr) {
					want = append(want, string(r.Line))
				}
			}
			want = want[max(0, len(want)-samplesPerBan):]
			if got := s.of("a", p); !slices.Equal(got, want) {
				t.Fatalf("%v after %d: got %v, want %v", p, n, got, want)
			}
		}
	}
}
