package sinks

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

func TestScope(t *testing.T) {
	ssh := pipeline.PortRange{First: 22, Last: 22}
	web := pipeline.PortRange{First: 80, Last: 443}
	for _, c := range []struct {
		prefix string
		ports  []pipeline.PortRange
		name   string
		key    string
	}{
		{"192.0.2.7/32", nil, "ban4", "192.0.2.7"},
		{"2001:db8::7/128", nil, "ban6", "2001:db8::7"},
		{"192.0.2.7/24", nil, "ban4_net24", "192.0.2.0"},
		{"2001:db8:1:2:3::/64", nil, "ban6_net64", "2001:db8:1:2::"},
		{"::ffff:192.0.2.7/128", nil, "ban4", "192.0.2.7"},
		{"::ffff:192.0.2.7/120", nil, "ban4_net24", "192.0.2.0"},
		{"::/0", nil, "ban6_net0", "::"},
		{"0.0.0.0/0", []pipeline.PortRange{ssh}, "ban4_net0_port22", "0.0.0.0"},
		{"192.0.2.7/32", []pipeline.PortRange{ssh, web}, "ban4_port22_80-443", "192.0.2.7"},
		{"2001:db8::/32", []pipeline.PortRange{web}, "ban6_net32_port80-443", "2001:db8::"},
	} {
		t.Run(c.prefix+" "+pipeline.PortsString(c.ports), func(t *testing.T) {
			a := pipeline.Action{Prefix: netip.MustParsePrefix(c.prefix), Ports: c.ports}
			sc, key, err := scopeOf(&a)
			if err != nil || sc.name() != c.name || key.String() != c.key {
				t.Fatalf("got %s, %s, %v, want %s, %s", sc.name(), key, err, c.name, c.key)
			}
			back, ok := parseScope(sc.name())
			if !ok || back != sc {
				t.Errorf("read back: got %+v, %v, want %+v", back, ok, sc)
			}
			if ports, err := back.portRanges(); err != nil || !slices.Equal(ports, c.ports) {
				t.Errorf("ports read back: got %v, %v, want %v", ports, err, c.ports)
			}
			if got, want := sc.action(pipeline.Ban, key).Prefix, netip.PrefixFrom(key, sc.bits); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestScopeRefused(t *testing.T) {
	var many []pipeline.PortRange
	for p := uint16(10_000); p < 10_100; p += 2 {
		many = append(many, pipeline.PortRange{First: p, Last: p})
	}
	for _, c := range []struct {
		name   string
		action pipeline.Action
	}{
		{"no address", pipeline.Action{}},
		{"50 ports", ban("192.0.2.7/32", time.Time{}, many...)},
		{"ports not sorted", ban("192.0.2.7/32", time.Time{}, pipeline.PortRange{First: 80, Last: 80}, pipeline.PortRange{First: 22, Last: 22})},
		{"ports overlap", ban("192.0.2.7/32", time.Time{}, pipeline.PortRange{First: 80, Last: 90}, pipeline.PortRange{First: 90, Last: 99})},
		{"ports backwards", ban("192.0.2.7/32", time.Time{}, pipeline.PortRange{First: 2, Last: 1})},
	} {
		t.Run(c.name, func(t *testing.T) {
			if sc, _, err := scopeOf(&c.action); err == nil {
				t.Errorf("got %+v, want an error", sc)
			}
		})
	}
}

func TestParseScopeForeign(t *testing.T) {
	for _, name := range []string{
		"", "allow4", "ban", "ban5", "ban4_", "ban4_net", "ban4_net32", "ban4_net-1", "ban4_net024", "ban6_net128", "ban4_port", "ban4_port22_",
		"ban4_port99999", "ban4_port443-80", "ban4_port22_net24", "ban4x", "ban4_port022", "ban4_port22-22", "ban4_port80_22", "ban4_port22_22", strings.Repeat("ban4", 100),
	} {
		t.Run(name, func(t *testing.T) {
			if sc, ok := parseScope(name); ok {
				t.Errorf("got %+v, want none", sc)
			}
		})
	}
}

// A name that is read as a scope is that scope's name: no two sets stand for one scope.
func FuzzParseScope(f *testing.F) {
	f.Add("ban4_net24_port22_80-443")
	f.Add("ban6_net64")
	f.Fuzz(func(t *testing.T, name string) {
		if sc, ok := parseScope(name); ok && sc.name() != name {
			t.Errorf("%q: got %q back", name, sc.name())
		}
	})
}
