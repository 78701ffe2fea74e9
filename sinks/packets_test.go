package sinks

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

const (
	echoPort  = 7007
	otherPort = 7008

	here4, offender4, bystander4 = "10.9.0.1", "10.9.0.2", "10.9.0.3"
	here6, offender6, bystander6 = "fd09::1", "fd09::2", "fd09::3"

	dropped = 150 * time.Millisecond // how long an answer is waited for that should not come
	passes  = 5 * time.Second        // and one that should
)

// wire is a peer with an offender's and a bystander's addresses, and echoes to reach from it.
func wire(t *testing.T) *peer {
	p := newPeer(t, []string{here4 + "/24", here6 + "/64"},
		[]string{offender4 + "/24", bystander4 + "/24", offender6 + "/64", bystander6 + "/64"})
	echo(t, echoPort)
	echo(t, otherPort)
	return p
}

// expectPass asks from each address, over TCP and UDP, and expects what want says of them.
func (p *peer) expectPass(t *testing.T, port int, want bool, from ...string) {
	t.Helper()
	var all sync.WaitGroup
	for _, from := range from {
		to := here4
		if strings.Contains(from, ":") {
			to = here6
		}
		for _, network := range []string{"tcp", "udp"} {
			all.Go(func() {
				patience := dropped
				if want {
					patience = passes
				}
				if err := p.ask(network, from, to, port, patience); (err == nil) != want {
					t.Errorf("%s from %s to port %d: got %v, want passing %v", network, from, port, err, want)
				}
			})
		}
	}
	all.Wait()
}

func TestBanDropsPackets(t *testing.T) {
	n, p := newNFTables(t), wire(t)
	p.expectPass(t, echoPort, true, offender4, offender6, bystander4, bystander6)

	var open net.Conn // a connection from before the ban
	p.do(func() {
		var err error
		if open, err = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(offender4)}}).Dial("tcp", net.JoinHostPort(here4, fmt.Sprint(echoPort))); err != nil {
			t.Error(err)
		}
	})
	defer open.Close()
	if err := word(open, passes); err != nil {
		t.Fatalf("before the ban: %v", err)
	}

	start := time.Now()
	const bantime = 2 * time.Second
	until := start.Add(bantime)
	if err := n.Apply(t.Context(), []pipeline.Action{ban(offender4+"/32", until), ban(offender6+"/128", until)}); err != nil {
		t.Fatal(err)
	}
	if err := word(open, dropped); err == nil {
		t.Error("an open connection goes on, want it cut")
	}
	p.expectPass(t, echoPort, false, offender4, offender6)
	p.expectPass(t, echoPort, true, bystander4, bystander6)
	if took := time.Since(start); took > bantime {
		t.Skipf("needs a faster machine: the checks took %v, the ban %v", took, bantime)
	}
	l, err := n.List(t.Context())
	if err != nil || l.Packets == 0 || l.Bytes == 0 || len(l.Bans) != 2 {
		t.Errorf("got %d bans, %d packets and %d bytes dropped, %v, want 2 and some", len(l.Bans), l.Packets, l.Bytes, err)
	}

	// The kernel ends the ban: nobody is left to do it.
	n.Close()
	deadline := until.Add(3 * time.Second)
	for p.ask("udp", offender4, here4, echoPort, dropped) != nil {
		if time.Now().After(deadline) {
			t.Fatal("the ban goes on after its end")
		}
	}
	if early := time.Until(until); early > 50*time.Millisecond {
		t.Errorf("the ban ended %v early", early)
	}
	p.expectPass(t, echoPort, true, offender4, offender6, bystander4, bystander6)
}

func TestUnbanLetsPass(t *testing.T) {
	n, p := newNFTables(t), wire(t)
	until := time.Now().Add(time.Hour)
	if err := n.Apply(t.Context(), []pipeline.Action{ban(offender4+"/32", until), ban(offender6+"/128", until)}); err != nil {
		t.Fatal(err)
	}
	p.expectPass(t, echoPort, false, offender4, offender6)
	if err := n.Apply(t.Context(), []pipeline.Action{unban(offender4 + "/32"), unban(offender6 + "/128")}); err != nil {
		t.Fatal(err)
	}
	p.expectPass(t, echoPort, true, offender4, offender6)
}

func TestPrefixAndPorts(t *testing.T) {
	until := time.Now().Add(time.Hour)
	one := pipeline.PortRange{First: echoPort, Last: echoPort}
	wide := pipeline.PortRange{First: echoPort - 100, Last: echoPort}
	ssh := pipeline.PortRange{First: 22, Last: 22}
	last := pipeline.PortRange{First: 65000, Last: 65535}
	for _, c := range []struct {
		name    string
		actions []pipeline.Action
		echo    bool // what passes of the offender's
		other   bool
		stander bool // what passes of the bystander's
	}{
		{"a port", []pipeline.Action{ban(offender4+"/32", until, one), ban(offender6+"/128", until, one)}, false, true, true},
		{"a range", []pipeline.Action{ban(offender4+"/32", until, wide), ban(offender6+"/128", until, wide)}, false, true, true},
		{"several", []pipeline.Action{ban(offender4+"/32", until, ssh, one, last), ban(offender6+"/128", until, ssh, wide)}, false, true, true},
		{"other ports", []pipeline.Action{ban(offender4+"/32", until, ssh, last), ban(offender6+"/128", until, ssh)}, true, true, true},
		{"a network", []pipeline.Action{ban("10.9.0.0/24", until), ban("fd09::/64", until)}, false, false, false},
		{"half a network", []pipeline.Action{ban("10.9.0.2/32", until), ban("fd09::2/128", until), ban("10.9.0.128/25", until)}, false, false, true},
		{"a network and a port", []pipeline.Action{ban("10.9.0.0/24", until, one), ban("fd09::/64", until, one)}, false, true, false},
		{"another network", []pipeline.Action{ban("10.8.0.0/24", until), ban("fd08::/64", until)}, true, true, true},
		{"IPv4 in IPv6", []pipeline.Action{ban("::ffff:10.9.0.2/128", until), ban(offender6+"/128", until)}, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, p := newNFTables(t), wire(t)
			if err := n.Apply(t.Context(), c.actions); err != nil {
				t.Fatal(err)
			}
			p.expectPass(t, echoPort, c.echo, offender4, offender6)
			p.expectPass(t, otherPort, c.other, offender4, offender6)
			p.expectPass(t, echoPort, c.stander, bystander4, bystander6)
		})
	}
}

// What must pass although its source is banned.
func TestGuards(t *testing.T) {
	n, p := newNFTables(t), wire(t)
	until := time.Now().Add(time.Hour)
	if err := n.Apply(t.Context(), []pipeline.Action{
		ban("127.0.0.1/32", until), ban("::1/128", until), ban(here4+"/32", until),
		ban(offender4+"/32", until), ban("fd09::/64", until), ban("fe80::/10", until),
	}); err != nil {
		t.Fatal(err)
	}
	t.Run("loopback", func(t *testing.T) {
		for _, to := range []string{"127.0.0.1", "::1", here4} {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(to, fmt.Sprint(echoPort)), passes)
			if err != nil {
				t.Errorf("%s: %v", to, err)
				continue
			}
			if err := word(c, passes); err != nil {
				t.Errorf("%s: %v", to, err)
			}
			c.Close()
		}
	})
	t.Run("neighbour discovery", func(t *testing.T) {
		c, err := net.Dial("udp", net.JoinHostPort(offender6, "9"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for deadline := time.Now().Add(passes); ; {
			if _, err := c.Write([]byte("who are you?")); err != nil {
				t.Fatal(err)
			}
			state := run(t, "ip -6 neigh show "+offender6)
			if strings.Contains(state, "lladdr") {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("the neighbour is unknown: %s", state)
			}
		}
	})
	apply := func(t *testing.T, op pipeline.Op, until time.Time, addrs ...string) {
		t.Helper()
		var actions []pipeline.Action
		for _, a := range addrs {
			actions = append(actions, pipeline.Action{Op: op, Prefix: prefixOf(a), Until: until})
		}
		if len(addrs) == 0 {
			actions = []pipeline.Action{{Op: op, Until: until}}
		}
		if err := n.Apply(t.Context(), actions); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("allow", func(t *testing.T) {
		p.expectPass(t, echoPort, false, offender4, offender6)
		apply(t, pipeline.Allow, time.Time{}, offender4, offender6)
		p.expectPass(t, echoPort, true, offender4, offender6)
		p.expectPass(t, echoPort, false, bystander6)
		apply(t, pipeline.Disallow, time.Time{}, offender4, offender6)
		p.expectPass(t, echoPort, false, offender4, offender6)
	})
	t.Run("pause", func(t *testing.T) {
		apply(t, pipeline.Pause, time.Now().Add(time.Hour))
		p.expectPass(t, echoPort, true, offender4, offender6, bystander6)
		apply(t, pipeline.Resume, time.Time{})
		p.expectPass(t, echoPort, false, offender4, offender6, bystander6)
	})
	t.Run("a pause ends by itself", func(t *testing.T) {
		apply(t, pipeline.Pause, time.Now().Add(time.Second))
		p.expectPass(t, echoPort, true, offender4, offender6)
		for end := time.Now().Add(passes); p.ask("udp", offender4, here4, echoPort, dropped) == nil; {
			if time.Now().After(end) {
				t.Fatal("the pause of a second goes on")
			}
		}
		p.expectPass(t, echoPort, false, offender4, offender6)
	})
}

func prefixOf(addr string) netip.Prefix {
	a := netip.MustParseAddr(addr)
	return netip.PrefixFrom(a, a.BitLen())
}

// listening answers at the peer's: here opens the connection.
func (p *peer) listening(t *testing.T, port int) {
	p.do(func() { echo(t, port) })
}

func TestKeepOutgoing(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			n, p := newNFTables(t, func(n *NFTables) { n.KeepOutgoing = keep }), wire(t)
			p.listening(t, 7009)
			until := time.Now().Add(time.Hour)
			if err := n.Apply(t.Context(), []pipeline.Action{ban(offender4+"/32", until), ban(offender6+"/128", until)}); err != nil {
				t.Fatal(err)
			}
			p.expectPass(t, echoPort, false, offender4, offender6)
			for _, to := range []string{offender4, offender6} {
				patience := dropped
				if keep {
					patience = passes
				}
				c, err := net.DialTimeout("tcp", net.JoinHostPort(to, "7009"), patience)
				if (err == nil) != keep {
					t.Errorf("to %s: got %v, want passing %v", to, err, keep)
				}
				if err == nil {
					c.Close()
				}
			}
		})
	}
}

func TestReject(t *testing.T) {
	n, p := newNFTables(t, func(n *NFTables) { n.Policy = "reject" }), wire(t)
	until := time.Now().Add(time.Hour)
	if err := n.Apply(t.Context(), []pipeline.Action{ban(offender4+"/32", until), ban(offender6+"/128", until)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to string }{{offender4, here4}, {offender6, here6}} {
		for _, network := range []string{"tcp", "udp"} {
			if err := p.ask(network, c.from, c.to, echoPort, passes); err == nil || !strings.Contains(err.Error(), "refused") {
				t.Errorf("%s from %s: got %v, want connection refused", network, c.from, err)
			}
		}
	}
	p.expectPass(t, echoPort, true, bystander4, bystander6)
}
