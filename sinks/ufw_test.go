package sinks

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/pipelinetest"
)

// A fakeUFW does what ufw 0.36.2 does, as far as UFW uses it, over a file with one rule a line in a folder of its own, which has the
// same files as /etc/ufw. It fails while there is a file called broken, and writes all its commands to calls. It is a
// script, since this program, with -race, takes half a second to start.
type fakeUFW struct{ dir string }

const ufwScript = `#!/bin/sh
dir=$1; shift
rules=$dir/user.rules
test -e "$dir/broken" && { echo "ERROR: problem running" >&2; exit 1; }
case "$*" in
status)
	if test -e "$dir/ufw.conf"; then echo "Status: active"; else echo "Status: inactive"; fi
	exit ;;
"show added")
	echo "Added user rules (see 'ufw status' for running firewall):"
	while read -r line; do echo "ufw $line"; done < "$rules"
	exit ;;
esac
echo "$*" >> "$dir/calls"
verb=$1
case $verb in prepend|delete) shift ;; esac
action=$1 key=; shift
while test "$1" != comment; do key="$key $1"; shift; done
rule="$action$key comment '$2'"
case $key in *::*) test -e "$dir/no-ipv6" && { echo "ERROR: Adding IPv6 rule failed: IPv6 not enabled" >&2; exit 1; } ;; esac
old=
while read -r line; do
	about=${line%% comment \'*}
	test " ${about#* }" = "$key" && old=$line
done < "$rules"
case $verb in
delete) test "$old" = "$rule" || { echo "Could not delete non-existent rule"; exit; } ;;
prepend) test -z "$old" || { echo "Skipping inserting existing rule"; exit; } ;;
esac
{
	test $verb = prepend && echo "$rule"
	while read -r line; do
		if test "$line" != "$old"; then echo "$line"; elif test $verb != delete; then echo "$rule"; fi
	done < "$rules"
	test $verb = deny && test -z "$old" && echo "$rule"
} > "$dir/new"
mv "$dir/new" "$rules"
echo "Rule updated"
`

func newFakeUFW(t testing.TB, rules ...string) fakeUFW {
	t.Helper()
	f := fakeUFW{t.TempDir()}
	f.write(rules)
	f.file("ufw.conf", "ENABLED=yes")
	f.file("ufw", ufwScript)
	return f
}

func (f fakeUFW) sink() *UFW {
	return &UFW{Command: []string{"sh", filepath.Join(f.dir, "ufw"), f.dir}, Dir: f.dir, Poll: 5 * time.Millisecond}
}

func (f fakeUFW) file(name, text string) {
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o644); err != nil {
		panic(err)
	}
}

func (f fakeUFW) read() []string {
	text, err := os.ReadFile(filepath.Join(f.dir, "user.rules"))
	if err != nil {
		panic(err)
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}

func (f fakeUFW) write(rules []string) {
	f.file("new", strings.Join(append(slices.Clone(rules), ""), "\n"))
	if err := os.Rename(filepath.Join(f.dir, "new"), filepath.Join(f.dir, "user.rules")); err != nil {
		panic(err)
	}
}

// calls are the commands since it was last asked, less those that only look.
func (f fakeUFW) calls() string {
	path := filepath.Join(f.dir, "calls")
	text, _ := os.ReadFile(path)
	os.Remove(path)
	return string(text)
}

// ufwBackend is what the contract needs of a ufw, real or not.
func ufwBackend(t *testing.T, u *UFW, expire bool) pipelinetest.Backend {
	other := &UFW{Command: u.Command, Dir: u.Dir} // the look behind it: another program's
	b := pipelinetest.Backend{
		Sink: u, Slack: 2 * time.Second,
		Held: func() ([]pipeline.Action, error) { return other.Held(t.Context()) },
		Disturb: func() {
			if _, err := other.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		},
	}
	if expire {
		b.Sink = &Expire{Sink: u}
	}
	return b
}

func TestUFWContract(t *testing.T) {
	pipelinetest.TestSink(t, func(t *testing.T) pipelinetest.Backend {
		f := newFakeUFW(t, "allow OpenSSH", "deny from 198.51.100.7 comment 'mine'")
		b := ufwBackend(t, f.sink(), true)
		b.Many = 20
		b.Break = func() func() {
			f.file("broken", "")
			return func() { os.Remove(filepath.Join(f.dir, "broken")) }
		}
		t.Cleanup(func() {
			if rules := f.read(); !slices.Contains(rules, "allow OpenSSH") || !slices.Contains(rules, "deny from 198.51.100.7 comment 'mine'") {
				t.Errorf("got %q, want the administrator's rules in it", rules)
			}
		})
		return b
	})
}

func TestUFWKeys(t *testing.T) {
	many := make([]pipeline.PortRange, 16)
	for i := range many {
		many[i] = pipeline.PortRange{First: uint16(2 * i), Last: uint16(2 * i)}
	}
	web := []pipeline.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8100}}
	for _, c := range []struct {
		prefix string
		ports  []pipeline.PortRange
		want   string
	}{
		{"192.0.2.7/32", nil, "from 192.0.2.7"},
		{"192.0.2.0/24", nil, "from 192.0.2.0/24"},
		{"2001:db8::7/128", nil, "from 2001:db8::7"},
		{"::ffff:192.0.2.7/128", nil, "from 192.0.2.7"},
		{"2001:db8::/64", []pipeline.PortRange{{First: 22, Last: 22}}, "from 2001:db8::/64 to any port 22"},
		{"192.0.2.7/32", web, "from 192.0.2.7 to any port 80,8000:8100 proto tcp|from 192.0.2.7 to any port 80,8000:8100 proto udp"},
		{"192.0.2.7/32", web[1:], "from 192.0.2.7 to any port 8000:8100 proto tcp|from 192.0.2.7 to any port 8000:8100 proto udp"},
		{"192.0.2.7/32", many, "error ports 0,2,4,6,8,10,12,14,16,18,20,22,24,26,28,30: ufw takes 15 in one rule, a range counts for two"},
		{"0.0.0.0/0", nil, "error a ban of everybody"},
	} {
		keys, err := ufwKeys(&pipeline.Action{Prefix: netip.MustParsePrefix(c.prefix), Ports: c.ports})
		got := strings.Join(keys, "|")
		if err != nil {
			got = "error " + err.Error()
		}
		if got != c.want {
			t.Errorf("%s %v: got %q, want %q", c.prefix, c.ports, got, c.want)
		}
	}
}

// What "ufw show added" printed, ufw 0.36.2, and what is in it for us.
func TestParseUFWRules(t *testing.T) {
	rules := parseUFWRules([]byte(`Added user rules (see 'ufw status' for running firewall):
ufw deny from 192.0.2.0/24 to any port 80,443,8000:8100 proto tcp comment 'banpipe: web until 2026-11-23T07:23:11Z ports 80,443,8000-8100'
ufw allow OpenSSH
ufw deny log from 192.0.2.9
ufw allow in on eth0 from 192.0.2.10
ufw limit 22/tcp comment 'banpipe: is great'
ufw reject from ::192.0.2.1 comment 'banpipe: sshd for ever'
ufw deny from 2001:db8::7 comment 'banpipe: sshd for ever'
ufw deny from 2001:db8::8 comment 'banpipe: sshd for ever ports 9-1'
ufw route deny from 192.0.2.11 comment 'banpipe: sshd for ever'
ufw deny out from 192.0.2.12
`))
	for key, want := range map[string]string{
		"from 192.0.2.0/24 to any port 80,443,8000:8100 proto tcp": "deny ours=true banpipe: web until 2026-11-23T07:23:11Z ports 80,443,8000-8100",
		"from 192.0.2.9":   "deny ours=false",
		"from ::c000:201":  "reject ours=false",
		"from 2001:db8::7": "deny ours=true banpipe: sshd for ever",
		"from 2001:db8::8": "deny ours=false",
	} {
		r, ok := rules[key]
		got := fmt.Sprintf("%s ours=%v", r.action, r.ours)
		if r.ours {
			got += " " + r.mark.String()
		}
		if !ok || got != want {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
		delete(rules, key)
	}
	if len(rules) > 0 {
		t.Errorf("got more: %v", rules)
	}
}

// Whatever a comment holds, what is taken for our mark is what we would write.
func FuzzUFWMark(f *testing.F) {
	for _, s := range []string{"banpipe: sshd for ever", "banpipe: web until 2026-11-23T07:23:11Z ports 80,443-500", "banpipe: sshd until 2026", "by Fail2Ban"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := parseUFWMark(s)
		if ok && m.String() != s {
			t.Errorf("got %q, want %q", m.String(), s)
		}
		a := pipeline.Action{Jail: s}
		if got, ok := parseUFWMark(ufwMarkOf(&a).String()); !ok || got.jail != plainWord(s) {
			t.Errorf("jail %q: got %+v, %v", s, got, ok)
		}
	})
}

// The commands, in the order in which they must come: bans, lifts, ends that move.
func TestUFWCommands(t *testing.T) {
	f := newFakeUFW(t)
	u := f.sink()
	until := time.Date(2126, 11, 23, 7, 23, 10, 5, time.UTC)
	web := []pipeline.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}}
	apply := func(want string, actions ...pipeline.Action) {
		t.Helper()
		if err := u.Apply(t.Context(), actions); err != nil {
			t.Error(err)
		}
		if got := f.calls(); got != want {
			t.Errorf("got commands\n%swant\n%s", got, want)
		}
	}
	apply("prepend deny from 192.0.2.1 comment banpipe: sshd until 2126-11-23T07:23:11Z\n"+
		"prepend deny from 2001:db8::7 to any port 80,443 proto tcp comment banpipe: sshd for ever ports 80,443\n"+
		"prepend deny from 2001:db8::7 to any port 80,443 proto udp comment banpipe: sshd for ever ports 80,443\n",
		ban("192.0.2.1/32", until), ban("2001:db8::7/128", time.Time{}, web...))
	apply("", ban("192.0.2.1/32", until), unban("192.0.2.99/32"))
	bad := ban("192.0.2.3/32", time.Time{})
	bad.Jail = "x' $(id)\n-"
	apply("prepend deny from 192.0.2.3 comment banpipe: x____id__- for ever\n"+
		"delete deny from 2001:db8::7 to any port 80,443 proto tcp comment banpipe: sshd for ever ports 80,443\n"+
		"delete deny from 2001:db8::7 to any port 80,443 proto udp comment banpipe: sshd for ever ports 80,443\n"+
		"deny from 192.0.2.1 comment banpipe: sshd until 2126-11-23T08:23:11Z\n",
		ban("192.0.2.1/32", until.Add(time.Hour)), unban("2001:db8::7/128", web...), bad)
}

// Somebody's own rules stand: one that blocks will do, one that allows is in the way, and none is deleted or changed.
func TestUFWSomebodysRules(t *testing.T) {
	own := []string{"allow from 192.0.2.1", "deny from 192.0.2.2 comment 'mine'", "reject from 192.0.2.3", "allow 22/tcp", "deny log from 192.0.2.4"}
	f := newFakeUFW(t, own...)
	u := f.sink()
	var actions []pipeline.Action
	for i := range 5 {
		actions = append(actions, ban(fmt.Sprintf("192.0.2.%d/32", i+1), time.Time{}))
	}
	err := u.Apply(t.Context(), actions)
	refused := (*pipeline.RefusedError)(nil)
	if !errors.As(err, &refused) || len(refused.Actions) != 1 || !strings.Contains(err.Error(), `"ufw allow from 192.0.2.1" is somebody's own rule`) {
		t.Errorf("got %v, want the first refused", err)
	}
	if got, want := f.calls(), "prepend deny from 192.0.2.5 comment banpipe: sshd for ever\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for i := range actions {
		actions[i].Op = pipeline.Unban
	}
	if err := u.Apply(t.Context(), actions); err != nil {
		t.Error(err)
	}
	if got := f.read(); !slices.Equal(got, own) {
		t.Errorf("got %q, want %q", got, own)
	}
}

// Watch tells of what concerns us, and of nothing else.
func TestUFWWatch(t *testing.T) {
	const ours = "deny from 192.0.2.7 comment 'banpipe: sshd for ever'"
	theirs := []string{"deny from 192.0.2.8", "allow OpenSSH"}
	for _, c := range []struct {
		what string
		do   func(f fakeUFW)
		want string // what Watch names; "" if it goes on
	}{
		{"another rule", func(f fakeUFW) { f.write(append([]string{"allow 80"}, f.read()...)) }, ""},
		{"other order", func(f fakeUFW) { f.write([]string{theirs[1], theirs[0], ours}) }, ""},
		{"ours is gone", func(f fakeUFW) { f.write(theirs) }, "rule"},
		{"ours is made to allow", func(f fakeUFW) { f.write(append([]string{strings.Replace(ours, "deny", "allow", 1)}, theirs...)) }, "rule"},
		{"ours has another comment", func(f fakeUFW) { f.write(append([]string{"deny from 192.0.2.7 comment 'x'"}, theirs...)) }, "rule"},
		{"one of an old backup", func(f fakeUFW) { f.write(append([]string{strings.Replace(ours, ".7", ".6", 1)}, f.read()...)) }, "rule"},
		{"theirs that we lean on", func(f fakeUFW) { f.write([]string{ours, theirs[1]}) }, "rule"},
		{"switched off", func(f fakeUFW) { os.Remove(filepath.Join(f.dir, "ufw.conf")) }, "ufw is switched off"},
	} {
		t.Run(c.what, func(t *testing.T) {
			f := newFakeUFW(t, theirs...)
			u := f.sink()
			live := []pipeline.Action{ban("192.0.2.7/32", time.Time{}), ban("192.0.2.8/32", time.Time{})}
			if err := u.Sync(t.Context(), slices.Values(live)); err != nil {
				t.Fatal(err)
			}
			c.do(f)
			got, err := u.notice(t.Context(), false)
			if err != nil || got != c.want {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
			err = u.Sync(t.Context(), slices.Values(live))
			if c.want == "ufw is switched off" {
				if !errors.Is(err, errInactive) {
					t.Errorf("got %v, want that it is", err)
				}
				return
			}
			rules := parseUFWRules([]byte("ufw " + strings.Join(f.read(), "\nufw ")))
			if err == nil && (!rules["from 192.0.2.7"].blocks() || !rules["from 192.0.2.8"].blocks() || rules["from 192.0.2.6"].ours) {
				t.Errorf("got %q, want the live bans", f.read())
			}
			if made := c.what == "ours is made to allow"; made != (err != nil) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A rule for each of too many bans would slow the machine down; those that are there stay.
func TestUFWBound(t *testing.T) {
	f := newFakeUFW(t)
	u := f.sink()
	u.MaxRules = 3
	web := []pipeline.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}}
	err := u.Apply(t.Context(), []pipeline.Action{ban("192.0.2.1/32", time.Time{}), ban("192.0.2.2/32", time.Time{}, web...), ban("192.0.2.3/32", time.Time{})})
	refused := (*pipeline.RefusedError)(nil)
	if !errors.As(err, &refused) || len(refused.Actions) != 1 || !strings.Contains(err.Error(), `the limit of 3 rules (max_rules) is reached`) || !strings.Contains(err.Error(), "nftables") {
		t.Fatalf("got %v, want the third refused, and a better sink named", err)
	}
	if err := u.Apply(t.Context(), []pipeline.Action{ban("192.0.2.3/32", time.Time{}), unban("192.0.2.1/32")}); err != nil || len(f.read()) != 3 {
		t.Errorf("got %v and %q, want room for it", err, f.read())
	}
}

// Where ufw leaves IPv6 alone, those bans are refused and the others made.
func TestUFWWithoutIPv6(t *testing.T) {
	f := newFakeUFW(t)
	f.file("no-ipv6", "")
	err := f.sink().Apply(t.Context(), []pipeline.Action{ban("2001:db8::7/128", time.Time{}), ban("192.0.2.1/32", time.Time{})})
	refused := (*pipeline.RefusedError)(nil)
	if !errors.As(err, &refused) || len(refused.Actions) != 1 || len(f.read()) != 1 {
		t.Errorf("got %v and %q, want one refused and one made", err, f.read())
	}
}

func TestUFWKillers(t *testing.T) {
	web := []pipeline.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8100}}
	for _, c := range []struct{ how, prefix, ports, want string }{
		{"ss", "192.0.2.7/32", "", "ss -H -K -t dst 192.0.2.7/32"},
		{"ss", "2001:db8::/64", "x", "ss -H -K -t dst 2001:db8::/64 ( ( sport >= :80 and sport <= :80 ) or ( sport >= :8000 and sport <= :8100 ) )"},
		{"conntrack", "2001:db8::7/128", "", "conntrack -D -f ipv6 -s 2001:db8::7"},
		{"conntrack", "192.0.2.0/24", "x", "conntrack -D -f ipv4 -s 192.0.2.0/24 -p tcp --dport 80|conntrack -D -f ipv4 -s 192.0.2.0/24 -p udp --dport 80"},
	} {
		a := ban(c.prefix, time.Time{})
		if c.ports != "" {
			a.Ports = web
		}
		var got []string
		for _, argv := range killers(c.how, &a) {
			got = append(got, strings.Join(argv, " "))
		}
		if got := strings.Join(got, "|"); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.how, c.prefix, got, c.want)
		}
	}
}
