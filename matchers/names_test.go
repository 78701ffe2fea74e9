package matchers

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// lookups answers after a second.
func lookups(calls *atomic.Int64) func(context.Context, string) ([]netip.Addr, error) {
	return func(ctx context.Context, name string) ([]netip.Addr, error) {
		calls.Add(1)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		switch name {
		case "one.example.org":
			return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
		case "two.example.org":
			return []netip.Addr{netip.MustParseAddr("192.0.2.8"), netip.MustParseAddr("2001:db8::8")}, nil
		}
		return nil, errors.New("no such host")
	}
}

// A nameRig sends lines through Match, Names and Session.
type nameRig struct {
	program *Program
	names   *Names
	session *Session
	counts  Counts
}

func newNameRig(t *testing.T, jf JailFilter, calls *atomic.Int64) *nameRig {
	t.Helper()
	p, err := NewProgram([]JailFilter{jf})
	if err != nil {
		t.Fatal(err)
	}
	r := &nameRig{program: p, session: &Session{}}
	r.names = &Names{Lookup: lookups(calls), Counts: &r.counts}
	return r
}

func (r *nameRig) send(t *testing.T, lines ...string) string {
	t.Helper()
	b := &pipeline.Batch{Source: "test"}
	for _, l := range lines {
		b.Append([]byte(l), time.Now())
	}
	programs := func(string) *Program { return r.program }
	for _, s := range []pipeline.Stage{&Parse{Programs: programs}, &Match{Programs: programs, Counts: &r.counts}, r.names, r.session} {
		if err := s.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, rec := range b.Records {
		if rec.Kind == pipeline.Hit {
			got = append(got, fmt.Sprintf("%s %q", rec.Addr, rec.Line))
		}
	}
	return strings.Join(got, ", ")
}

var byName = Filter{UseDNS: "yes", FailRegex: rules(`^from <HOST>$`)}

func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := newNameRig(t, inJail("j", byName), &calls)
		steps := []struct {
			after time.Duration
			lines []string
			want  string
		}{
			{0, []string{"from one.example.org", "from 192.0.2.1"}, `192.0.2.1 "from 192.0.2.1"`},
			{0, []string{"from one.example.org"}, ""},
			{2 * time.Second, nil, `192.0.2.7 "from one.example.org", 192.0.2.7 "from one.example.org"`},
			{0, []string{"from one.example.org"}, `192.0.2.7 "from one.example.org"`}, // it is known
			{0, []string{"from two.example.org", "from none.example.org"}, ""},
			{2 * time.Second, nil, `192.0.2.8 "from two.example.org", 2001:db8::8 "from two.example.org"`},
			{0, []string{"from 16909060", "from 0x7f.1", "from 1.2.3", "from localhost", "from -"}, ""},
			{nameTime, []string{"from one.example.org"}, ""}, // it has become old
			{2 * time.Second, nil, `192.0.2.7 "from one.example.org"`},
		}
		for i, step := range steps {
			time.Sleep(step.after)
			synctest.Wait()
			if got := r.send(t, step.lines...); got != step.want {
				t.Errorf("step %d: got %s, want %s", i, got, step.want)
			}
		}
		if n := calls.Load(); n != 4 {
			t.Errorf("got %d lookups, want 4", n)
		}
	})
}

func TestNamesAreNoHostsByDefault(t *testing.T) {
	for _, usedns := range []string{"", "no", "raw"} {
		t.Run(usedns, func(t *testing.T) {
			var calls atomic.Int64
			f := byName
			f.UseDNS = usedns
			r := newNameRig(t, inJail("j", f), &calls)
			if got := r.send(t, "from one.example.org"); got != "" || calls.Load() != 0 {
				t.Errorf("got %s after %d lookups, want nothing after none", got, calls.Load())
			}
		})
	}
}

func TestNamesInSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		jf := sshd()
		jf.Filter.UseDNS = "yes"
		for i := range jf.Filter.FailRegex {
			jf.Filter.FailRegex[i].Regex = strings.ReplaceAll(jf.Filter.FailRegex[i].Regex, "<ADDR>", "<HOST>")
		}
		r := newNameRig(t, jf, &calls)
		r.send(t, " h sshd[1]: Connection from one.example.org")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := r.send(t, ""); got != "" {
			t.Errorf("of a note: got %s", got)
		}
		if got, want := r.send(t, " h sshd[1]: Too many failures"), `192.0.2.7 " h sshd[1]: Too many failures"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestNamesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		r := newNameRig(t, inJail("j", byName), &calls)
		for i := range 2 * maxWaiting {
			r.send(t, fmt.Sprintf("from n%d.example.org", i))
			if len(r.names.waiting) > maxWaiting || r.names.running > maxLookups {
				t.Fatalf("got %d hits waiting and %d lookups, want at most %d and %d", len(r.names.waiting), r.names.running, maxWaiting, maxLookups)
			}
		}
		if n := len(r.names.queue); n > maxWaiting {
			t.Errorf("got %d names queued, want at most %d", n, maxWaiting)
		}
		time.Sleep(time.Minute)
	})
}

// TestNamesResume holds that what waits outlives a restart.
func TestNamesResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		jf := inJail("j", byName)
		jf.Filter.FailRegex[0].Weight = 3
		r, store := newNameRig(t, jf, &calls), saved{}
		r.send(t, "from one.example.org")
		store.take(r.names, false)
		if len(store) != 1 {
			t.Fatalf("got %d saved, want 1", len(store))
		}
		r.names.Save(false, func(key, _ []byte) { t.Errorf("got %x saved again", key) })
		whole := saved{}
		if whole.take(r.names, true); len(whole) != 1 {
			t.Errorf("got %d saved in full, want 1", len(whole))
		}
		next := newNameRig(t, jf, &calls)
		if err := next.names.Load(store.all()); err != nil {
			t.Fatal(err)
		}
		next.send(t)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, want := next.send(t), `192.0.2.7 "from one.example.org"`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if store.take(next.names, false); len(store) != 0 {
			t.Errorf("got %d saved, want none", len(store))
		}
		for _, s := range []saved{{"x": "y"}, {"12345678": "\x01"}, {"12345678": "\x01\x01x\x00\x00\x00\x00\x00"}} {
			if err := new(Names).Load(s.all()); err == nil {
				t.Errorf("%q: got no error", s)
			}
		}
		time.Sleep(time.Minute)
	})
}
