package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banpipe/banpipe/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// feed is a source of batches that a test sends.
type feed chan []string

func (feed) Name() string { return "feed" }

func (f feed) Read(ctx context.Context, b *pipeline.Batch) error {
	select {
	case lines, ok := <-f:
		if !ok {
			return io.EOF
		}
		b.Source, b.Live = "file:feed", true
		for _, l := range lines {
			b.Append([]byte(l), time.Now())
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// blame makes a hit in jail "sshd" of every line that is an address.
func blame(_ context.Context, b *pipeline.Batch) error {
	for i := range b.Records {
		if a, err := netip.ParseAddr(string(b.Records[i].Line)); err == nil {
			b.Records[i].Kind, b.Records[i].Jail, b.Records[i].Addr = pipeline.Hit, "sshd", a
		}
	}
	return nil
}

// A back is a sink that holds bans and can let packets through.
type back struct {
	mu   sync.Mutex
	held map[string]bool // "op prefix"
}

func (*back) Name() string { return "back" }

func (*back) Passing(context.Context) ([]pipeline.Action, error) { return nil, nil }

func (k *back) Apply(_ context.Context, actions []pipeline.Action) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		k.held = make(map[string]bool)
	}
	for _, a := range actions {
		switch a.Op {
		case pipeline.Unban, pipeline.Disallow, pipeline.Resume:
			delete(k.held, (a.Op-1).String()+" "+a.Prefix.String())
		default:
			k.held[a.Op.String()+" "+a.Prefix.String()] = true
		}
	}
	return nil
}

func (k *back) holds(what string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held[what]
}

func (k *back) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.held)
}

// A bench is a pipeline that runs, and its handler.
type bench struct {
	*Handler
	feed   feed
	back   *back
	window *pipeline.Window
	decide *pipeline.Decide
	ended  chan error
}

func start(t testing.TB, last ...pipeline.Stage) *bench {
	jails := map[string]pipeline.Jail{"sshd": {MaxRetry: 2, BanTime: time.Hour, MaxTracked: 2_000_000, Ignore: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}}
	b := &bench{
		feed: make(feed), back: &back{}, ended: make(chan error, 1),
		window: &pipeline.Window{Jails: jails},
		decide: &pipeline.Decide{Jails: jails, Own: func() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.9.0.1/32")} }},
	}
	store := &pipeline.MemStore{}
	p := &pipeline.Pipeline{
		Sources: []pipeline.Source{b.feed}, Stages: append([]pipeline.Stage{pipeline.StageFunc(blame), b.window, b.decide}, last...),
		Outputs: []pipeline.Output{{Sink: b.back}}, Store: store,
	}
	b.Handler = &Handler{
		Pipeline: func() *pipeline.Pipeline { return p }, Started: time.Now(),
		History: func(time.Time) iter.Seq2[pipeline.Event, error] {
			return func(yield func(pipeline.Event, error) bool) {
				e := pipeline.Event{Time: time.Now(), Lines: []string{"\x1b[31mline\xff"}, Action: pipeline.Action{Prefix: netip.MustParsePrefix("192.0.2.7/32"), Jail: "sshd"}}
				_ = yield(e, nil)
			}
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { b.ended <- p.Run(ctx) }()
	for p.Do(ctx) == pipeline.ErrNotRunning {
		runtime.Gosched()
	}
	t.Cleanup(func() {
		cancel()
		if err := <-b.ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

// ask calls the handler and reads the answer into out.
func (b *bench) ask(t testing.TB, method, path, body string, out any) int {
	t.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
	}
	return w.Code
}

func (b *bench) offend(lines ...string) { b.feed <- lines }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestOrders(t *testing.T) {
	b := start(t)
	b.offend("192.0.2.7", "192.0.2.7", "192.0.2.8")
	eventually(t, "a ban", func() bool { return b.back.holds("ban 192.0.2.7/32") })
	for _, c := range []struct {
		path, body string
		code       int
		want       string // in the answer
	}{
		{"ban", `{"addrs":["192.0.2.9"]}`, 200, `"op":"ban","prefix":"192.0.2.9/32","jail":"manual"`},
		{"ban", `{"addrs":["::ffff:192.0.2.9","192.0.2.9"]}`, 200, `{"results":[{"addr":"192.0.2.9","done":true`},
		{"ban", `{"addrs":["192.0.2.10","10.9.0.1"],"for_seconds":60}`, 422, `"addr":"10.9.0.1","done":false,"error":"ban 10.9.0.1/32: 10.9.0.1/32 is this machine's own`},
		{"ban", `{"addrs":["203.0.113.9"]}`, 422, "ignoreip"},
		{"ban", `{"addrs":["203.0.113.9"],"force":true}`, 200, `"done":true`},
		{"ban", `{"addrs":["198.51.100.0/24"],"spare":["198.51.100.9"]}`, 422, "you are connected"},
		{"ban", `{"addrs":["198.51.100.0/24"],"jail":"sshd","for_seconds":-1}`, 200, `"jail":"sshd","hits":0`},
		{"ban", `{"addrs":["0.0.0.0/1"]}`, 422, "wider than"},
		{"ban", `{"addrs":["192.0.2.9"],"for_seconds":0}`, 400, "for_seconds"},
		{"ban", `{"addrs":["192.0.2.9"],"for_seconds":1e300}`, 400, "for_seconds"},
		{"ban", `{"addrs":["192.0.2.9"],"all":true}`, 400, "everybody"},
		{"ban", `{"addrs":["192.0.2.9"],"jail":"nosuch"}`, 404, "no jail"},
		{"ban", `{}`, 400, "at least one address"},
		{"ban", ``, 400, "at least one address"},
		{"ban", `{"addrs":["1.2.3.4"],"adrs":1}`, 400, "adrs"},
		{"ban", `{"addrs":["1.2.3.4"]}{}`, 400, "something follows"},
		{"ban", `{"addrs":`, 400, "body"},
		{"ban", `[1]`, 400, "body"},
		{"ban", "\x00\xff", 400, "body"},
		{"unban", `{"addrs":["192.0.2.8"]}`, 200, NotBanned},
		{"unban", `{"addrs":["198.51.100.3"]}`, 200, "198.51.100.0/24, banned by jail sshd, still keeps it out"},
		{"unban", `{"addrs":["198.51.100.3"],"all":true}`, 400, "at once"},
		{"allow", `{"addrs":["192.0.2.7"],"for_seconds":60}`, 200, `"op":"allow"`},
		{"allow", `{"addrs":["192.0.2.0/24"]}`, 422, "want one address"},
		{"allow", `{"addrs":["192.0.2.7"],"jail":"sshd"}`, 400, "it knows addrs"},
		{"ban", `{"addrs":["192.0.2.7"]}`, 422, "it is allowed until"},
		{"disallow", `{"addrs":["192.0.2.7"]}`, 200, `"op":"disallow"`},
		{"disallow", `{"addrs":["192.0.2.7"]}`, 200, `it was not allowed`},
		{"unban", `{"addrs":["192.0.2.8"],"jail":"nosuch"}`, 404, `there is no jail`},
		{"unban", `{"all":true,"jail":"nosuch"}`, 404, `there is no jail`},
		{"unban", `{"addrs":["192.0.2.8"],"jail":"manual"}`, 200, NotBanned},
		{"pause", `{}`, 200, `"op":"pause"`},
		{"pause", `{"for_seconds":-1}`, 400, "it has to end"},
		{"pause", `{"for_seconds":86401}`, 400, "it has to end"},
		{"pause", `{"addrs":["192.0.2.7"]}`, 400, "for everybody"},
		{"resume", ``, 200, `"op":"resume"`},
		{"resume", ``, 200, `there was no pause`},
		{"flush", ``, 501, "cannot do that"},
		{"reload", ``, 501, "cannot do that"},
		{"confirm", ``, 501, "cannot do that"},
		{"nosuch", ``, 404, "there is no POST"},
		{"unban", `{"all":true,"jail":"sshd"}`, 200, `"addr":"198.51.100.0/24"`},
		{"unban", `{"all":true}`, 200, `"addr":"203.0.113.9"`},
	} {
		t.Run(c.path+" "+c.body, func(t *testing.T) {
			var raw json.RawMessage
			if code := b.ask(t, "POST", "/v1/"+c.path, c.body, &raw); code != c.code || !strings.Contains(string(raw), c.want) {
				t.Errorf("got %d and %s, want %d and %s", code, raw, c.code, c.want)
			}
		})
	}
	eventually(t, "nobody banned", func() bool { return b.back.count() == 0 })
	if n := b.window.Tracked("sshd"); n != 0 {
		t.Errorf("got %d tracked addresses, want none: unban and allow clear the window", n)
	}
}

func TestQuestions(t *testing.T) {
	b := start(t)
	b.offend("192.0.2.7", "192.0.2.7", "192.0.2.8")
	b.offend("\x1b]0;title\x07\xff")
	b.ask(t, "POST", "/v1/ban", `{"addrs":["198.51.100.0/24"],"for_seconds":-1}`, &Results{})
	for _, c := range []struct {
		path string
		code int
		want string
	}{
		{"status", 200, `"tracked":1,"hits_total":3,"bans":1,"bans_total":1`},
		{"status", 200, `"last_line":"\u001b]0;title\u0007\ufffd"`},
		{"status?jail=sshd&addrs=1", 200, `"addrs":["192.0.2.7"]`},
		{"status?jail=nosuch", 404, "no jail"},
		{"bans", 200, `{"bans":[{"op":"ban","prefix":"192.0.2.7/32","jail":"sshd","until":"`},
		{"bans?jail=manual", 200, `{"bans":[{"op":"ban","prefix":"198.51.100.0/24","jail":"manual","hits":0`},
		{"bans?jail=nosuch", 404, "no jail"},
		{"bans?op=allow", 200, `{"bans":[]}`},
		{"bans?op=unban", 400, "op"},
		{"why?addr=192.0.2.7", 200, `"banned":true`},
		{"why?addr=198.51.100.7", 200, `"banned":true,"by":[{"op":"ban","prefix":"198.51.100.0/24"`},
		{"why?addr=203.0.113.7", 200, `"banned":false,"by":[],"saved_by":["jail sshd: 203.0.113.0/24 is in ignoreip"]`},
		{"why?addr=10.9.0.1", 200, "own address"},
		{"why?addr=192.0.2.0/24", 400, "want one address"},
		{"why", 400, "want one address"},
		{"history", 200, `"lines":["\u001b[31mline\ufffd"]`},
		{"history?addr=192.0.2.8", 200, `{"events":[]}`},
		{"history?count=addr", 200, `{"events":[],"counts":[{"key":"192.0.2.7","bans":1}]}`},
		{"history?count=day&jail=sshd", 200, ` sshd","bans":1}]}`},
		{"history?count=jail", 400, "want addr or day"},
		{"history?since=x", 400, "since"},
		{"history?limit=0", 400, "limit"},
		{"nosuch", 404, "there is no GET"},
	} {
		t.Run(c.path, func(t *testing.T) {
			var raw json.RawMessage
			if code := b.ask(t, "GET", "/v1/"+c.path, "", &raw); code != c.code || !strings.Contains(string(raw), c.want) {
				t.Errorf("got %d and %s, want %d and %s", code, raw, c.code, c.want)
			}
		})
	}
}

// The wire form of an action is the one that every output has, and more behind it.
func TestActionForm(t *testing.T) {
	a := pipeline.Action{Prefix: netip.MustParsePrefix("192.0.2.7/32"), Jail: "sshd", Until: time.Now().Add(time.Hour), Since: time.Now(), Hits: 5, Reason: "x", Ports: []pipeline.PortRange{{First: 22, Last: 22}}, Observe: true, Restored: true}
	plain, err1 := json.Marshal(a)
	ours, err2 := json.Marshal(NewAction(a, time.Now()))
	if err := errors.Join(err1, err2); err != nil || !strings.HasPrefix(string(ours), strings.TrimSuffix(string(plain), "}")) {
		t.Errorf("got %s, %v, want %s and more", ours, err, plain)
	}
}

// serve puts the handler behind a real socket.
func (b *bench) serve(t *testing.T) (client *http.Client, path string) {
	path = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: b}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(func() { transport.CloseIdleConnections(); server.Close(); <-done })
	return &http.Client{Transport: transport}, path
}

func TestEndlessBody(t *testing.T) {
	b := start(t)
	client, _ := b.serve(t)
	endless := io.MultiReader(strings.NewReader(`{"addrs":["`), zeros{})
	resp, err := client.Post("http://x/v1/ban", "application/json", endless)
	if err != nil {
		return // hung up on, while it was still writing
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %s, want %d", resp.Status, http.StatusBadRequest)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func TestEvents(t *testing.T) {
	b := start(t)
	client, _ := b.serve(t)
	resp, err := client.Get("http://x/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	next := func() string {
		for in.Scan() {
			if s, ok := strings.CutPrefix(in.Text(), "data: "); ok {
				return s
			}
		}
		return fmt.Sprint("the end: ", in.Err())
	}
	b.offend("192.0.2.7", "192.0.2.7")
	if got := next(); !strings.Contains(got, `"op":"ban","prefix":"192.0.2.7/32"`) || !strings.Contains(got, `"lines":["192.0.2.7","192.0.2.7"]`) {
		t.Errorf("got %s, want the ban with its lines", got)
	}
	b.ask(t, "POST", "/v1/unban", `{"addrs":["192.0.2.7"]}`, &Results{})
	if got := next(); !strings.Contains(got, `"op":"unban","prefix":"192.0.2.7/32"`) {
		t.Errorf("got %s, want the unban", got)
	}
}

// A reader of events who does not read holds up nobody, and learns that he missed some.
func TestSlowReader(t *testing.T) {
	b := start(t)
	client, path := b.serve(t)
	_ = client
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	in := bufio.NewReader(conn)
	for line := ""; line != ": watching\n"; {
		if line, err = in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		var addrs []string
		for j := range 250 {
			addrs = append(addrs, fmt.Sprintf("%q", fmt.Sprintf("198.18.%d.%d", i, j)))
		}
		if code := b.ask(t, "POST", "/v1/ban", `{"addrs":[`+strings.Join(addrs, ",")+`]}`, &Results{}); code != 200 {
			t.Fatalf("got %d, want 200", code)
		}
	}
	eventually(t, "all bans", func() bool { return b.back.count() == 5000 })
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for missed := false; !missed; {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("got %v before a word on what was missed", err)
		}
		missed = strings.HasPrefix(line, "event: missed")
	}
}

// A thousand requests at once are all answered, the stream goes on, and memory comes back.
func TestManyAtOnce(t *testing.T) {
	b := start(t)
	client, _ := b.serve(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var wg sync.WaitGroup
	codes := make([]int, 1000)
	for i := range codes {
		wg.Go(func() {
			body := fmt.Sprintf(`{"addrs":["198.18.%d.%d"],"for_seconds":60}`, i/250, i%250)
			resp, err := client.Post("http://x/v1/ban", "application/json", strings.NewReader(body))
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				codes[i] = resp.StatusCode
			}
		})
	}
	b.offend("192.0.2.7", "192.0.2.7")
	eventually(t, "a ban from the log", func() bool { return b.back.holds("ban 192.0.2.7/32") })
	wg.Wait()
	if i := slices.IndexFunc(codes, func(c int) bool { return c != 200 }); i >= 0 {
		t.Errorf("request %d: got %d, want 200", i, codes[i])
	}
	eventually(t, "all bans", func() bool { return b.back.count() == 1001 })
	client.CloseIdleConnections()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
		t.Errorf("got %d MiB more than before", grown>>20)
	}
}
