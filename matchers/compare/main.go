// Compare measures banpipe's engine against others on the same lines in one run: Go's regexp and RE2's Set, rules
// of the shipped filters and of fail2ban's. It is a module of its own, so that the product's go.mod does not name
// RE2.
//
//	go run .                      10, 50 and 200 rules, at 2 and 100 % of attacks
//	go run . -rules 50 -attack 1
//
// Each figure is CPU time of the thread per line, the best of some rounds; the ratios are to the first column.
// What they do for it is not the same: banpipe decides which jails are offended, by whom and when, and copies the
// hits; the set below it, RE2's and regexp say only which rules match. All must say the same.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/banpipe/banpipe/matchers/logtest"
)

func main() {
	rules := flag.Int("rules", 0, "how many rules; 0 measures 10, 50 and 200")
	attack := flag.Float64("attack", -1, "the share of attacks, from 0 to 1; below 0 measures 0.02 and 1")
	flag.Parse()
	counts, shares := []int{10, 50, 200}, []float64{0.02, 1}
	if *rules > 0 {
		counts = []int{*rules}
	}
	if *attack >= 0 {
		shares = []float64{*attack}
	}
	if err := run(counts, shares); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(counts []int, shares []float64) error {
	fmt.Println("ns per line, of CPU time")
	fmt.Println("rules  lines   attack  banpipe  its set  RE2 set   regexp  RE2/set  regexp/set")
	for _, n := range counts {
		jails, err := jails(n)
		if err != nil {
			return err
		}
		e, err := newEngines(jails)
		if err != nil {
			return err
		}
		for _, kind := range logtest.Kinds() {
			for _, share := range shares {
				lines := logtest.Lines(kind, 20_000, logtest.Options{Attack: share})
				if err := e.agree(lines[:300]); err != nil {
					return err
				}
				all := e.matcher(lines)
				set := e.set(lines)
				re2 := e.re2Set(lines[:4000])
				std := e.regexp(lines[:400])
				fmt.Printf("%5d  %-6v  %4v %%  %7d  %7d  %7d  %7d  %7.1f  %10.0f\n", len(e.rules), kind, 100*share, all, set, re2, std, ratio(re2, set), ratio(std, set))
			}
		}
	}
	return nil
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
