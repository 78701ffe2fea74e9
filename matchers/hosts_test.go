package matchers

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	tests := []struct{ text, want string }{
		{"192.0.2.7", "192.0.2.7"},
		{"2001:db8::7", "2001:db8::7"},
		{"2001:DB8:0:0:0:0:0:7", "2001:db8::7"},
		{"[2001:db8::7]", "2001:db8::7"},
		{"[192.0.2.7]", "192.0.2.7"},
		{"fe80::7%eth0", "fe80::7"},
		{"::ffff:192.0.2.7", "192.0.2.7"},
		{"::ffff:c000:207", "192.0.2.7"},
		{"16909060", ""},
		{"0x01020304", ""},
		{"1.2.3", ""},
		{"010.020.030.040", ""},
		{"192.0.2.07", ""},
		{"999.1.1.1", ""},
		{"1.2.3.4.5", ""},
		{"192.0.2.7:22", ""},
		{"192.0.2.0/24", ""},
		{"2001:db8::7::1", ""},
		{"12345::1", ""},
		{"localhost", ""},
		{"example.org", ""},
		{"22", ""},
		{"", ""},
		{"[]", ""},
		{strings.Repeat("1", 1000), ""},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			got, ok := parseHost([]byte(tt.text))
			if ok != (tt.want != "") || ok != got.IsValid() || ok && got.String() != tt.want {
				t.Errorf("got %v %v, want %q", got, ok, tt.want)
			}
		})
	}
}

// FuzzParseAddr holds that addresses are what netip says, and that common ones cost no memory.
func FuzzParseAddr(f *testing.F) {
	for _, seed := range []string{
		"192.0.2.7", "192.0.2.07", "0.0.0.0", "256.1.1.1", "1.2.3.", "1..2.3", "2001:db8::7", "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
		"::2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", ":::", "1:::2", ":1", "1:", "12345::", "::ffff:192.0.2.7", "fe80::1%eth0", "::%", "g::", "1.2.3.4%x", "a.b", "a", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := parseAddr(text)
		want, err := netip.ParseAddr(string(text))
		if ok != (err == nil) || got != want {
			t.Errorf("%q: got %v %v, want %v %v", text, got, ok, want, err)
		}
	})
}

func TestParseAddrAllocates(t *testing.T) {
	for _, text := range []string{"192.0.2.7", "2001:db8:0:1::7", "example.org", "localhost", "1.2.3"} {
		if n := testing.AllocsPerRun(100, func() { parseAddr([]byte(text)) }); n > 0 {
			t.Errorf("%s: got %v allocations, want none", text, n)
		}
	}
}

// TestHost goes by whole lines: what counts is what stands around the address.
func TestHost(t *testing.T) {
	tests := []struct{ regex, line, want string }{
		{`from <HOST>`, "from 192.0.2.7", "192.0.2.7"},
		{`from <HOST>`, "from 192.0.2.7.", "192.0.2.7"},
		{`from <HOST>`, "from 192.0.2.7:22", "192.0.2.7"},
		{`from <HOST>`, "from 192.0.2.7.51234", "192.0.2.7"},
		{`from <HOST>-\d+;`, "from 192.0.2.7-22;", "192.0.2.7"},
		{`from <HOST>`, "from 192.0.2.7, port 22", "192.0.2.7"},
		{`from <HOST>`, "from [192.0.2.7]:22", "192.0.2.7"},
		{`from <HOST>`, "from 192.0.2.7.example.org", ""},
		{`from <HOST>`, "from 192.0.2.7-dsl.example.org", ""},
		{`from <HOST>`, "from 192.0.2.7.5.example.org", ""},
		{`from <HOST>`, "from 192.0.2.7x", ""},
		{`from <HOST>`, "from 192.0.2.1234", ""},
		{`from .*<HOST>`, "from 192.0.2.7", ""}, // the greedy .* leaves 2.0.2.7 or less
		{`from .*?<HOST>`, "from 192.0.2.7", "192.0.2.7"},
		{`from \d+\.<HOST>`, "from 1.192.0.2.7", ""},
		{`from .*<HOST>`, "from 2001:db8::7", ""},
		{`from <HOST>`, "from 2001:db8::7", "2001:db8::7"},
		{`from <HOST>`, "from fe80::7%eth0 port 33791", "fe80::7"},
		{`from <HOST>`, "from [2001:db8::1]:443", "2001:db8::1"},
		{`from <HOST>`, "from IPv6:2001:db8::1", ""},
		{`from (?:IPv6:)?<HOST>`, "from IPv6:2001:db8::1", "2001:db8::1"},
		{`from <HOST>`, "from 64:ff9b::192.0.2.7", ""},
		{`from <HOST>`, "from ::FFFF:192.0.2.7", "192.0.2.7"},
		{`from <HOST>`, "from 16909060 port 22", ""},
		{`from \S* ?port <HOST>`, "from 192.0.2.7 port 33791", ""},
		{`from <IP6>`, "from 192.0.2.7", ""},
		{`from <IP4>`, "from 192.0.2.7", "192.0.2.7"},
		{`from <SUBNET>`, "from 192.0.2.7/24", "192.0.2.7"},
		{`from <F-ID>[\d.]+</F-ID>`, "from 192.0.2.7 port 22", "192.0.2.7"},
	}
	for _, tt := range tests {
		t.Run(tt.regex+" "+tt.line, func(t *testing.T) {
			got := ""
			for _, s := range run(t, false, noon, []JailFilter{inJail("j", Filter{FailRegex: rules(tt.regex)})}, tt.line) {
				got = strings.Fields(s)[1]
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
