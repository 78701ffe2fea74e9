package matchers

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// sshd is a small filter with everything that a session goes by.
func sshd() JailFilter {
	return inJail("sshd", Filter{
		PrefRegex: `^<F-MLFID> \S+ sshd\[\d+\]: </F-MLFID><F-CONTENT>.+</F-CONTENT>$`,
		FailRegex: rules(
			`^Failed password for <F-USER>\S+</F-USER> from <ADDR>$`,
			`^<F-NOFAIL>Failed publickey</F-NOFAIL> for <F-USER>\S+</F-USER> from <ADDR>$`,
			`^<F-NOFAIL>Connection from</F-NOFAIL> <ADDR>$`,
			`^Too many failures$`,
			`^<F-MLFFORGET><F-MLFGAINED>Accepted</F-MLFGAINED></F-MLFFORGET> for <F-USER>\S+</F-USER> from <ADDR>$`,
			`^<F-NOFAIL><F-MLFFORGET>Closed</F-MLFFORGET></F-NOFAIL>$`,
		),
	})
}

// A rig sends lines, one a second, through all of the matchers' stages.
type rig struct {
	program *Program
	session *Session
	at      time.Time
}

func newRig(t *testing.T, jf JailFilter) *rig {
	t.Helper()
	p, err := NewProgram([]JailFilter{jf})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{p, &Session{Programs: func(string) *Program { return p }}, noon}
}

// send returns what becomes of a line: the kind and the address of its record, "" if it has none.
func (r *rig) send(t *testing.T, line string) string {
	t.Helper()
	r.at = r.at.Add(time.Second)
	b := &pipeline.Batch{Source: "test"}
	b.Append([]byte(line), r.at)
	programs := func(string) *Program { return r.program }
	for _, s := range []pipeline.Stage{&Parse{Programs: programs}, &Match{Programs: programs}, r.session} {
		if err := s.Process(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.Records) == 0 {
		return ""
	}
	rec := b.Records[0]
	if len(rec.Session) > 0 {
		t.Errorf("%q: Record.Session goes on", line)
	}
	return strings.TrimSpace(fmt.Sprint([...]string{"raw", "hit", "note", "forget", "login"}[rec.Kind], " ", strings.TrimPrefix(rec.Addr.String(), "invalid IP")))
}

func TestSession(t *testing.T) {
	tests := []struct {
		name  string
		lines []string // each "pid text -> what becomes of it"
	}{
		{"a failure with an address", []string{"1 Failed password for bob from 192.0.2.7 -> hit 192.0.2.7", "1 Failed password for bob from 192.0.2.7 -> hit 192.0.2.7"}},
		{"the address comes first", []string{"1 Connection from 192.0.2.7 -> note 192.0.2.7", "1 Too many failures -> hit 192.0.2.7"}},
		{"the address comes last", []string{"1 Too many failures -> note", "1 Connection from 192.0.2.7 -> hit 192.0.2.7"}},
		{"another connection", []string{"1 Connection from 192.0.2.7 -> note 192.0.2.7", "2 Too many failures -> note"}},
		{"no failure yet", []string{"1 Failed publickey for bob from 192.0.2.7 -> note 192.0.2.7", "1 Failed publickey for bob from 192.0.2.7 -> note 192.0.2.7", "1 Too many failures -> hit 192.0.2.7"}},
		{"a login that wins", []string{"1 Failed publickey for bob from 192.0.2.7 -> note 192.0.2.7", "1 Accepted for bob from 192.0.2.7 -> login 192.0.2.7", "1 Closed -> note"}},
		{"it takes back no hit", []string{"1 Failed password for bob from 192.0.2.7 -> hit 192.0.2.7", "1 Accepted for bob from 192.0.2.7 -> login 192.0.2.7"}},
		{"but does not excuse other names", []string{"1 Failed publickey for eve from 192.0.2.7 -> note 192.0.2.7", "1 Accepted for bob from 192.0.2.7 -> hit 192.0.2.7"}},
		{"it excuses what is pending", []string{"1 Too many failures -> note", "1 Accepted for bob from 192.0.2.7 -> login 192.0.2.7"}},
		{"a second name is a failure", []string{"1 Failed publickey for bob from 192.0.2.7 -> note 192.0.2.7", "1 Failed publickey for eve from 192.0.2.7 -> hit 192.0.2.7"}},
		{"a closed connection is forgotten", []string{"1 Connection from 192.0.2.7 -> note 192.0.2.7", "1 Closed -> note", "1 Too many failures -> note"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, sshd())
			for _, l := range tt.lines {
				text, want, _ := strings.Cut(l, " -> ")
				pid, text, _ := strings.Cut(text, " ")
				if got := r.send(t, " host sshd["+pid+"]: "+text); got != want {
					t.Errorf("%s: got %q, want %q", l, got, want)
				}
			}
		})
	}
}

func TestSessionForgets(t *testing.T) {
	r := newRig(t, sshd())
	r.send(t, " host sshd[1]: Connection from 192.0.2.7")
	r.at = r.at.Add(sessionTime)
	if got := r.send(t, " host sshd[1]: Too many failures"); got != "note" {
		t.Errorf("after %v: got %q, want %q", sessionTime, got, "note")
	}
	for i := range 3 * maxSessions {
		r.send(t, fmt.Sprintf(" host sshd[%d]: Connection from 192.0.2.7", i))
		if i%2 == 0 {
			r.send(t, fmt.Sprintf(" host sshd[%d]: Closed", i))
		}
	}
	c := r.session.jails["sshd"]
	if len(c.byID) > maxSessions || len(c.order) > 2*maxSessions {
		t.Errorf("got %d connections, %d in order; want at most %d", len(c.byID), len(c.order), maxSessions)
	}
}

func TestSessionLongID(t *testing.T) {
	r := newRig(t, inJail("j", Filter{FailRegex: rules(`^<F-MLFID>\S+</F-MLFID> failed$`, `^<F-MLFID>\S+</F-MLFID> is <ADDR>$`)}))
	id := strings.Repeat("x", 10_000)
	r.send(t, id+"y failed")
	if got := r.send(t, id+"z is 192.0.2.7"); got != "hit 192.0.2.7" {
		t.Errorf("of another id: got %q, want %q", got, "hit 192.0.2.7")
	}
	for key := range r.session.jails["j"].byID {
		if len(key) > maxID {
			t.Errorf("got an id of %d bytes, want at most %d", len(key), maxID)
		}
	}
}

// saved is what a Stateful stage has saved, as a store keeps it.
type saved map[string]string

func (s saved) take(stage pipeline.Stateful, full bool) {
	if full {
		clear(s)
	}
	stage.Save(full, func(key, value []byte) {
		if value == nil {
			delete(s, string(key))
		} else {
			s[string(key)] = string(value)
		}
	})
}

func (s saved) all() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for k, v := range s {
			if !yield([]byte(k), []byte(v)) {
				return
			}
		}
	}
}

// TestSessionResumes cuts a run behind every line: what is saved must do for the rest.
func TestSessionResumes(t *testing.T) {
	lines := []string{
		" h sshd[1]: Too many failures", " h sshd[2]: Connection from 192.0.2.2", " h sshd[3]: Failed publickey for bob from 192.0.2.3",
		" h sshd[1]: Connection from 192.0.2.1", " h sshd[3]: Accepted for eve from 192.0.2.3", " h sshd[2]: Too many failures",
		" h sshd[2]: Closed", " h sshd[2]: Too many failures", " h sshd[1]: Too many failures", " h sshd[3]: Too many failures",
	}
	multi := inJail("multi", Filter{MaxLines: 4, FailRegex: rules(`^ h sshd\[1\]: Too many failures<SKIPLINES> h sshd\[\d\]: \S+ from <ADDR>$`)})
	for _, jf := range []JailFilter{sshd(), multi} {
		whole := newRig(t, jf)
		var want []string
		for _, l := range lines {
			want = append(want, whole.send(t, l))
		}
		for cut := range lines {
			for _, full := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %d %v", jf.Jail, cut, full), func(t *testing.T) {
					r, store := newRig(t, jf), saved{}
					for i, l := range lines {
						if i == cut {
							if full {
								store = saved{} // a store that has lost everything
							}
							store.take(r.session, full)
							next := &Session{Programs: r.session.Programs}
							if err := next.Load(store.all()); err != nil {
								t.Fatal(err)
							}
							r.session = next
						}
						if got := r.send(t, l); got != want[i] {
							t.Errorf("%d %s: got %q, want %q", i, l, got, want[i])
						}
						if i < cut {
							store.take(r.session, false)
						}
					}
				})
			}
		}
	}
}

func TestSessionLoadDamaged(t *testing.T) {
	for _, s := range []saved{{"j": "x"}, {"j\x00id": ""}, {"j\x00id": "\x01\x00"}, {"j\x00id": "\x02\x00\x00\x00\x00\x00"}, {"j\x00id": "\x01\x00\x00\x00\x00\xff"}} {
		if err := new(Session).Load(s.all()); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%q: got %v, want damaged", s, err)
		}
	}
}

func TestLineBuffer(t *testing.T) {
	jf := inJail("mongo", Filter{MaxLines: 3, FailRegex: rules(`^ \[conn(?P<id>\d+)\] failed<SKIPLINES> \[conn(?P=id)\] from <ADDR>$`), IgnoreRegex: rules(`192\.0\.2\.9`)})
	tests := []struct {
		name  string
		lines []string
		want  []string
	}{
		{"one after the other", []string{" [conn1] failed", " [conn1] from 192.0.2.7"}, []string{"", "hit 192.0.2.7"}},
		{"with a line between", []string{" [conn1] failed", " x", " [conn1] from 192.0.2.7"}, []string{"", "", "hit 192.0.2.7"}},
		{"too far apart", []string{" [conn1] failed", " x", " y", " [conn1] from 192.0.2.7"}, []string{"", "", "", ""}},
		{"lines are used once", []string{" [conn1] failed", " [conn1] from 192.0.2.7", " [conn1] from 192.0.2.7"}, []string{"", "hit 192.0.2.7", ""}},
		{"lines that were skipped are not", []string{" [conn1] failed", " [conn2] failed", " [conn1] from 192.0.2.7", " [conn2] from 192.0.2.8"}, []string{"", "", "hit 192.0.2.7", "hit 192.0.2.8"}},
		{"lines before the match stay", []string{" [conn2] failed", " [conn1] failed", " [conn1] from 192.0.2.7", " [conn2] from 192.0.2.8"}, []string{"", "", "hit 192.0.2.7", "hit 192.0.2.8"}},
		{"another one", []string{" [conn1] failed", " [conn2] from 192.0.2.7"}, []string{"", ""}},
		{"ignored", []string{" [conn1] failed", " [conn1] from 192.0.2.9"}, []string{"", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, jf)
			for i, l := range tt.lines {
				if got := r.send(t, l); got != tt.want[i] {
					t.Errorf("%s: got %q, want %q", l, got, tt.want[i])
				}
			}
		})
	}
}

func TestLineBufferIsBounded(t *testing.T) {
	r := newRig(t, inJail("j", Filter{MaxLines: 1000, FailRegex: rules(`^x\n<ADDR>$`)}))
	for range 100 {
		r.send(t, strings.Repeat("y", 10_000))
	}
	size := 0
	for _, b := range r.session.buffers {
		for _, l := range b.lines {
			size += len(l)
		}
	}
	if size > bufferBytes {
		t.Errorf("got %d bytes, want at most %d", size, bufferBytes)
	}
}
