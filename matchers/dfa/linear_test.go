package dfa

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// address is what <ADDR> becomes.
const address = `\[?(?:(?:::[Ff]{4,6}:)?((?:[0-9]{1,3}\.){3}[0-9]{1,3})|((?:[0-9A-Fa-f]{1,4}::?|::){1,7}(?:[0-9A-Fa-f]{1,4}|:)))\]?`

// plainRules are some as filters have them.
func plainRules(n int) []string {
	var rules []string
	for i := range n {
		switch i % 4 {
		case 0:
			rules = append(rules, fmt.Sprintf(`^%s - \S+ \[\] "[A-Z]+ /w%d[^"]*" 404 `, address, i))
		case 1:
			rules = append(rules, fmt.Sprintf(`^\s*sshd\[\d+\]: word%d for (\S+) from %s port \d+$`, i, address))
		case 2:
			rules = append(rules, fmt.Sprintf(`^ \[error\] \d+#\d+: \*\d+ user "[^"]*": word%d, client: %s, server: \S*(?:\n?\z)`, i, address))
		case 3:
			rules = append(rules, fmt.Sprintf(`^%s - .*"word%d[^"]*"$`, address, i))
		}
	}
	return rules
}

// plainLines are some of which one in ten names one of the first rules, and most of those match.
func plainLines(rng *rand.Rand, n, rules int) []Line {
	var lines []Line
	for range n {
		ip, word := fmt.Sprintf("192.0.%d.%d", rng.IntN(256), rng.IntN(256)), 10_000+rng.IntN(90_000)
		if rng.IntN(10) == 0 {
			word = rng.IntN(rules)
		}
		var text string
		switch rng.IntN(4) {
		case 0:
			text = fmt.Sprintf(`%s - - [] "GET /w%d?q=%x HTTP/1.1" 404 153 "-" "Mozilla/5.0 (X11; Linux x86_64)"`, ip, word, rng.Uint64())
		case 1:
			text = fmt.Sprintf(` sshd[%d]: word%d for u%x from %s port %d`, rng.IntN(1<<22), word, rng.Uint32(), ip, rng.IntN(1<<16))
		case 2:
			text = fmt.Sprintf(` [error] 811#811: *%d user "u%d": word%d, client: %s, server: example.com`, rng.Uint32(), rng.IntN(100), word, ip)
		case 3:
			text = fmt.Sprintf(`%s - - [] "POST /%x HTTP/1.1" 200 %d "-" "word%d/%d"`, ip, rng.Uint64(), rng.IntN(1<<20), word, rng.IntN(100))
		}
		cut := strings.IndexByte(text, '[')
		lines = append(lines, Line{Head: []byte(text[:cut]), Tail: []byte(text[cut:])})
	}
	return lines
}

func scanAll(s *Scanner, lines []Line) {
	for len(lines) > 0 {
		n := min(len(lines), 400)
		s.Scan(lines[:n])
		lines = lines[n:]
	}
}

func size(lines []Line) int {
	total := 0
	for _, l := range lines {
		total += len(l.Head) + len(l.Tail) + 2 // the newline, and the end
	}
	return total
}

// TestLongLine holds that a line of 1 MB costs one step for each of its bytes, and few states.
func TestLongLine(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("a", 1<<20), strings.Repeat("1", 1<<20), strings.Repeat("192.0.2.7 - - [] \"", 1<<16), strings.Repeat("\xff", 1<<20), strings.Repeat("é ", 1<<19),
		"192.0.2.7 - - [] \"GET /w0" + strings.Repeat("x\t", 1<<19), " sshd[1]: word1 for " + strings.Repeat("from 192.0.2.7 ", 1<<16),
	} {
		s := scanner(t, append(plainRules(40), `x.*from `+address), Options{})
		lines := []Line{{Head: []byte(text[:20]), Tail: []byte(text[20:])}}
		scanAll(s, lines)
		st := s.Stats()
		if st.Steps > size(lines) || st.Cells > 300 || st.Visits > 1_000_000 || st.Flushes+st.Splits+st.Alone > 0 {
			t.Errorf("%.30q: got %+v for %d bytes", text, st, size(lines))
		}
	}
}

// TestManyLines holds that distinct lines cost a step for each byte, and that states are not made for ever.
func TestManyLines(t *testing.T) {
	long(t)
	const rules, lines = 100, 1_000_000
	s := scanner(t, plainRules(rules), Options{})
	rng := rand.New(rand.NewPCG(1, 2))
	var half Stats
	bytes := 0
	for done := 0; done < lines; done += 10_000 {
		if done == lines/2 {
			half = s.Stats()
		}
		some := plainLines(rng, 10_000, rules)
		scanAll(s, some)
		bytes += size(some)
	}
	st := s.Stats()
	if st.Steps > bytes || st.Cells > 10_000 || st.Cells-half.Cells > 100 || st.Flushes+st.Splits+st.Alone > 0 {
		t.Errorf("got %+v for %d bytes, %+v for half of them", st, bytes, half)
	}
	if size := s.size(); size > maxCache/2 {
		t.Errorf("states take %d bytes", size)
	}
}

// hostileRules have .* between their words.
func hostileRules(n int, start string) []string {
	var rules []string
	for i := range n {
		rules = append(rules, fmt.Sprintf(`%sw%d .*v%d .*from %s`, start, i, i, address))
	}
	return rules
}

// hostileLines are made of the words of the rules.
func hostileLines(rng *rand.Rand, n, rules int) []Line {
	var lines []Line
	for range n {
		var b strings.Builder
		for range 1 + rng.IntN(40) {
			fmt.Fprintf(&b, "%s%d ", []string{"w", "v", "from 192.0.2."}[rng.IntN(3)], rng.IntN(rules))
		}
		lines = append(lines, Line{Head: []byte(b.String())})
	}
	return lines
}

// TestHostileRules holds that rules whose states multiply cost, once they are apart, a step for each byte and
// part: that the second half of the lines makes no more states than it pays for, and that it finds what package
// regexp does. Where they begin makes no difference.
func TestHostileRules(t *testing.T) {
	long(t)
	for _, start := range []string{"", "^.*"} {
		for _, n := range []int{5, 20, 50, 200, 400} {
			t.Run(fmt.Sprint(start, n), func(t *testing.T) { tryHostile(t, append(hostileRules(n, start), plainRules(20)...), n) })
		}
	}
}

func tryHostile(t *testing.T, rules []string, n int) {
	s := scanner(t, rules, Options{})
	rng := rand.New(rand.NewPCG(uint64(n), 3))
	scanAll(s, hostileLines(rng, 4000, n))
	first := s.Stats()
	lines := hostileLines(rng, 4000, n)
	scanAll(s, lines)
	second := s.Stats()
	bytes := size(lines)
	if steps := second.Steps - first.Steps; steps > bytes*len(s.parts) {
		t.Errorf("got %d steps for %d bytes and %d parts", steps, bytes, len(s.parts))
	}
	if work := second.Visits - first.Visits + cellWork*(second.Cells-first.Cells); work > bytes*len(s.parts)/perWork+len(s.parts)*minCredit {
		t.Errorf("got work %d for %d bytes and %d parts", work, bytes, len(s.parts))
	}
	if len(s.parts) > maxParts || s.size() > maxCache+maxCache/8 {
		t.Errorf("got %d parts of %d bytes", len(s.parts), s.size())
	}
	t.Logf("%d parts: %+v, then %+v", len(s.parts), first, second)
	lines = hostileLines(rng, 40, n)
	s.Scan(lines)
	compare(t, s, rules, lines)
}

// TestLoneRule holds that a rule that alone makes states on and on is left to package regexp, that it is named,
// and that it is still found.
func TestLoneRule(t *testing.T) {
	rules := append([]string{`(?:a|b)*a(?:a|b){14}c`}, plainRules(8)...)
	s := scanner(t, rules, Options{})
	rng := rand.New(rand.NewPCG(4, 5))
	var lines []Line
	for range 2000 {
		text := make([]byte, 200)
		for i := range text {
			text[i] = "ab"[rng.IntN(2)]
		}
		lines = append(lines, Line{Head: append(text, 'c')})
	}
	scanAll(s, lines)
	if got := s.Alone(); len(got) != 1 || got[0] != 0 {
		t.Errorf("got %v alone, want rule 0: %+v", got, s.Stats())
	}
	s.Scan(lines[:300])
	compare(t, s, rules, lines[:300])
	if re := regexp.MustCompile(rules[0]); !re.Match(lines[0].join(nil)) && !re.Match(lines[1].join(nil)) {
		t.Error("the lines do not show anything")
	}
}

func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs without -short")
	}
}

// TestScanAllocates holds that lines that have been met before cost no memory.
func TestScanAllocates(t *testing.T) {
	s := scanner(t, plainRules(40), Options{})
	lines := plainLines(rand.New(rand.NewPCG(6, 7)), 400, 40)
	s.Scan(lines)
	if n := testing.AllocsPerRun(10, func() { s.Scan(lines) }); n > 0 {
		t.Errorf("got %v allocations for 400 lines, want none", n)
	}
}
