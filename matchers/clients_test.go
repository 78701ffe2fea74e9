package matchers

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

func TestClientField(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" 200 1`, "192.0.2.7"},
		{`2001:db8::7 - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" 200 1`, "2001:db8::7"},
		{`example.com:80 192.0.2.7 - - [22/Nov/2026:07:23:11 +0000] "GET /`, "192.0.2.7"},
		{`INFO:     192.0.2.7:54321 - "GET / HTTP/1.1" 200 OK`, "192.0.2.7"},
		{`INFO:     [2001:db8::7]:54321 - "GET / HTTP/1.1" 200 OK`, "[2001:db8::7]"},
		{`192.0.2.7:54321 - "GET / HTTP/1.1" 200 OK`, "192.0.2.7"},
		{`2026-11-22 07:23:11 192.0.2.7 GET /`, "192.0.2.7"},
		{`- - - [22/Nov/2026:07:23:11 +0000] "GET 192.0.2.7 HTTP/1.1"`, ""},
		{`a b 192.0.2.7 - -`, ""},
		{`192.0.2.7`, ""},
		{``, ""},
		{`[ x`, ""},
		{`[] x`, ""},
		{`fade:80 x y`, ""},
		{`192.0.2.7x - -`, ""},
	} {
		r := pipeline.Record{Line: []byte(c.line)}
		if strings.HasPrefix(c.line, "2026-") {
			r.Date = pipeline.Span{End: len("2026-11-22 07:23:11")}
		}
		got := string(clientField(&r))
		if _, ok := parseHost([]byte(got)); c.want == "" && ok || c.want != "" && got != c.want {
			t.Errorf("%q: got %q, want %q", c.line, got, c.want)
		}
	}
}

// A site is a log in the making.
type site struct {
	t       *testing.T
	clients *Clients
	match   *Match
	parse   *Parse
	rnd     *rand.Rand
	said    []string
}

func newSite(t *testing.T) *site {
	p, err := NewProgram([]JailFilter{
		{Jail: "web", Filter: Filter{Shape: "access", FailRegex: []Rule{{Regex: `^<ADDR> \S+ \S+ \[\] "[^"]*" 404`}}}},
		{Jail: "again", Filter: Filter{Shape: "access", FailRegex: []Rule{{Regex: `^<ADDR> .* 404`}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	programs := func(string) *Program { return p }
	s := &site{t: t, match: &Match{Programs: programs}, parse: &Parse{Programs: programs}, rnd: rand.New(rand.NewPCG(3, 3))}
	s.clients = &Clients{Programs: programs, Changed: func(source string, addr netip.Addr, held bool) {
		s.said = append(s.said, fmt.Sprint(addr, " ", held))
	}}
	return s
}

// serve logs n requests; most is whose lines make a share of them, in hundredths, of which bad hundredths are offences. Those
// of the others are from many.
func (s *site) serve(n int, most string, share, bad int) {
	s.t.Helper()
	for n > 0 {
		b := &pipeline.Batch{Source: "file:/var/log/nginx/access.log"}
		for ; n > 0 && len(b.Records) < 100; n-- {
			addr, status := fmt.Sprintf("203.0.113.%d", s.rnd.IntN(250)), 200
			if s.rnd.IntN(100) < share {
				addr = most
				if s.rnd.IntN(100) < bad {
					status = 404
				}
			}
			b.Append(fmt.Appendf(nil, `%s - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" %d 1 "-" "x"`, addr, status), time.Now())
		}
		if err := s.parse.Process(s.t.Context(), b); err != nil {
			s.t.Fatal(err)
		}
		s.clients.Before(s.t.Context(), b)
		if err := s.match.Process(s.t.Context(), b); err != nil {
			s.t.Fatal(err)
		}
		s.clients.After(s.t.Context(), b)
	}
}

func TestClients(t *testing.T) {
	type phase struct {
		n          int
		most       string
		share, bad int
		held       string
	}
	for _, c := range []struct {
		name   string
		phases []phase
	}{
		{"a proxy of a private network", []phase{{200, "10.0.0.2", 100, 5, ""}, {200, "10.0.0.2", 100, 5, "10.0.0.2"}}},
		{"loopback", []phase{{400, "127.0.0.1", 90, 20, "127.0.0.1"}}},
		{"IPv6", []phase{{400, "fd00::2", 90, 20, "fd00::2"}}},
		{"a CDN's edge", []phase{{900, "198.51.100.1", 90, 3, ""}, {600, "198.51.100.1", 90, 3, "198.51.100.1"}}},
		{"a lone scanner", []phase{{20_000, "198.51.100.1", 99, 95, ""}}},
		{"a lone scanner in a private network", []phase{{20_000, "10.0.0.2", 99, 95, ""}}},
		{"who hides a third of offences among visits", []phase{{20_000, "198.51.100.1", 99, 33, ""}}},
		{"visits first, offences later", []phase{{3_000, "198.51.100.1", 99, 0, "198.51.100.1"}, {6_000, "198.51.100.1", 99, 95, ""}}},
		{"a log of many", []phase{{20_000, "10.0.0.2", 40, 0, ""}}},
		{"a scan through the proxy", []phase{{5_000, "10.0.0.2", 100, 2, "10.0.0.2"}, {3_000, "10.0.0.2", 100, 100, "10.0.0.2"}}},
		{"the proxy moves", []phase{{5_000, "10.0.0.2", 100, 2, "10.0.0.2"}, {10_000, "10.0.0.3", 100, 2, "10.0.0.3"}}},
		{"it is cured", []phase{{5_000, "10.0.0.2", 100, 2, "10.0.0.2"}, {20_000, "10.0.0.2", 0, 0, ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			for i, p := range c.phases {
				s.serve(p.n, p.most, p.share, p.bad)
				var got []string
				for _, h := range s.clients.Held() {
					got = append(got, h.Addr.String())
				}
				if strings.Join(got, " ") != p.held {
					t.Errorf("phase %d: got %q held, want %q", i, got, p.held)
				}
			}
			if len(s.said) > 3 {
				t.Errorf("got %q said, want no to and fro", s.said)
			}
		})
	}
}

// A quiet log: what was written before is looked at first.
func TestClientsPast(t *testing.T) {
	line := func(status int) []byte {
		return fmt.Appendf(nil, `10.0.0.2 - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" %d 1 "-" "x"`, status)
	}
	for _, c := range []struct {
		name       string
		past, hits int
		want       bool
	}{
		{"a proxy", 1000, 30, true},
		{"a scanner", 1000, 900, false},
		{"too little", 200, 0, false},
		{"nothing", 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			asked := 0
			s.clients.Past = func(source string) (lines [][]byte) {
				asked++
				for i := range c.past {
					status := 200
					if i < c.hits {
						status = 404
					}
					lines = append(lines, line(status))
				}
				return lines
			}
			for range 2 {
				s.serve(1, "10.0.0.2", 100, 0)
				if got := len(s.clients.Held()) > 0; got != c.want || asked != 1 {
					t.Errorf("got held %v, asked %d times, want %v and once", got, asked, c.want)
				}
			}
		})
	}
}

// A jail with a failregex of its own does not say what its log is: the first lines do.
func TestClientsOwnRules(t *testing.T) {
	p, err := NewProgram([]JailFilter{{Jail: "mine", Filter: Filter{FailRegex: []Rule{{Regex: `^<ADDR> .* 404$`}}}}})
	if err != nil {
		t.Fatal(err)
	}
	const access, auth = `10.0.0.2 - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" 200`, `10.0.0.2 web1 sshd[811]: Failed password for root`
	for _, c := range []struct {
		name  string
		first []string
		rest  string
		want  int
	}{
		{"an access log", nil, access, 1},
		{"with something else in it", []string{auth, "", "x"}, access, 1},
		{"another log", nil, auth, 0},
		{"too late", slices.Repeat([]string{auth}, unsureLines), access, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			programs := func(string) *Program { return p }
			clients, parse := &Clients{Programs: programs, Changed: func(string, netip.Addr, bool) {}}, &Parse{Programs: programs}
			for len(c.first) < 1000 {
				c.first = append(c.first, c.rest)
			}
			for lines := range slices.Chunk(c.first, 7) {
				b := &pipeline.Batch{Source: "file:/var/log/some.log"}
				for _, line := range lines {
					b.Append([]byte(line), time.Now())
				}
				if err := parse.Process(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				clients.Before(t.Context(), b)
				b.Keep(func(*pipeline.Record) bool { return false })
				clients.After(t.Context(), b)
			}
			if got := len(clients.Held()); got != c.want {
				t.Errorf("got %d held, want %d", got, c.want)
			}
		})
	}
}

// Lines of JSON name the client in a field; one in eight is looked at.
func TestClientsJSON(t *testing.T) {
	p, err := NewProgram([]JailFilter{{Jail: "caddy", Filter: Filter{
		Shape: "json", Format: "json", Text: []string{"logger", "msg", "request.client_ip", "request.remote_ip", "status"},
		FailRegex: []Rule{{Regex: `^[^\t]*\t[^\t]*\t<ADDR>\t[^\t]*\t401$`}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, addr string
		bad        int // of a hundred
		want       string
	}{
		{"a proxy", "10.0.0.2", 5, "10.0.0.2"},
		{"IPv6", "fd00::2", 5, "fd00::2"},
		{"a scanner", "10.0.0.2", 95, ""},
		{"no address", "example.com", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			programs := func(string) *Program { return p }
			clients, match := &Clients{Programs: programs, Changed: func(string, netip.Addr, bool) {}}, &Match{Programs: programs}
			rnd := rand.New(rand.NewPCG(5, 5))
			for range 20 {
				b := &pipeline.Batch{Source: "file:/var/log/caddy/access.log"}
				for range 100 {
					status := 200
					if rnd.IntN(100) < c.bad {
						status = 401
					}
					b.Append(fmt.Appendf(nil, `{"ts": 1795332191.4, "logger": "http.log.access", "msg": "handled request", "request": {"remote_ip": "198.51.100.1", "client_ip": %q}, "status": %d}`, c.addr, status), time.Now())
				}
				clients.Before(t.Context(), b)
				if err := match.Process(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				clients.After(t.Context(), b)
			}
			got := ""
			for _, h := range clients.Held() {
				got = h.Addr.String()
			}
			if c.addr == "example.com" {
				c.want = "198.51.100.1" // the next field that is one
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Logs of other servers, where one attacker may well have all the lines, are not looked at.
func TestClientsElsewhere(t *testing.T) {
	p, err := NewProgram([]JailFilter{{Jail: "sshd", Filter: Filter{Shape: "syslog", FailRegex: []Rule{{Regex: `from <ADDR>$`}}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, programs := range []func(string) *Program{func(string) *Program { return p }, func(string) *Program { return nil }} {
		c := &Clients{Programs: programs, Changed: func(string, netip.Addr, bool) { t.Error("got a proxy") }}
		b := &pipeline.Batch{Source: "file:/var/log/auth.log"}
		for range 2000 {
			b.Append([]byte("10.0.0.2 x y"), time.Now())
		}
		c.Before(t.Context(), b)
		c.After(t.Context(), b)
	}
}

func TestClientsAllocateNothing(t *testing.T) {
	s := newSite(t)
	b := &pipeline.Batch{Source: "file:/var/log/nginx/access.log"}
	for i := range 100 {
		b.Append(fmt.Appendf(nil, `203.0.113.%d - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" 200 1`, i%7), time.Now())
	}
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		s.clients.Before(ctx, b)
		s.clients.After(ctx, b)
	}); n != 0 {
		t.Errorf("got %v allocations a batch, want none", n)
	}
}

// BenchmarkClients is what it costs a line beside matching.
func BenchmarkClients(b *testing.B) {
	s := newSite(&testing.T{})
	batch := &pipeline.Batch{Source: "file:/var/log/nginx/access.log"}
	for i := range 500 {
		batch.Append(fmt.Appendf(nil, `203.0.113.%d - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" 200 1`, i%77), time.Now())
	}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		s.clients.Before(ctx, batch)
		s.clients.After(ctx, batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*500), "ns/line")
}

// The slow twin: every address counted, halved when the vote's counts are; where it sees a clear majority, so does the vote.
func FuzzClients(f *testing.F) {
	f.Add(uint64(1), uint8(60), uint8(3))
	f.Add(uint64(2), uint8(45), uint8(9))
	f.Add(uint64(3), uint8(99), uint8(1))
	f.Fuzz(func(t *testing.T, seed uint64, share, others uint8) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		k, counts := &client{}, map[string]int{}
		const n = 4000
		for range n {
			word := "10.0.0.2"
			if rnd.IntN(100) >= int(share) {
				word = fmt.Sprintf("203.0.113.%d", rnd.IntN(int(others)+1))
			}
			counts[word]++
			k.count([]byte(word), 1, func() {})
		}
		for word, lines := range counts {
			if 2*lines > n && string(k.text[:k.size]) != word {
				t.Errorf("got %q, want %q, which has %d of %d lines", k.text[:k.size], word, lines, n)
			}
		}
		if addr := string(k.text[:k.size]); k.isProxy() && 2*counts[addr] < n/10 {
			t.Errorf("got %q with %d of %d lines for a proxy", addr, counts[addr], n)
		}
	})
}

// Looking only for the address that has the votes comes to the same as reading each line's.
func TestClientsField(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	words := []string{
		"192.0.2.1", "192.0.2.1:80", "192.0.2.10", "192.0.2.1x", "[2001:db8::1]:443", "2001:db8::1", "[2001:db8::1]", "vhost", "vhost:443", "-", "INFO:", "192.0.2", "",
	}
	fast, slow := &client{}, &client{}
	for range several(20_000) {
		r := &pipeline.Record{Line: fmt.Appendf(nil, "%s %s  %s - -", words[rnd.IntN(len(words))], words[rnd.IntN(len(words))], words[rnd.IntN(len(words))])}
		if rnd.IntN(4) == 0 {
			r.Line = append([]byte("2026-11-22 "), r.Line...)
			r.Date = pipeline.Span{End: 10}
		}
		fast.count(fast.field(r), 1, func() {})
		slow.count(clientField(r), 1, func() {})
		if *fast != *slow {
			t.Fatalf("%q: got %+v, want %+v", r.Line, fast, slow)
		}
	}
}
