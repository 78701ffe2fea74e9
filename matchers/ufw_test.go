package matchers

import (
	"bytes"
	"strings"
	"testing"
)

func TestUFWText(t *testing.T) {
	const mac = "MAC=2e:e6:53:9d:23:72:0a:d0:2a:63:68:14:08:00"
	for _, c := range []struct{ line, want string }{
		{" web1 kernel: [   30.200417] [UFW BLOCK] IN=v0 OUT= " + mac + " SRC=10.9.0.2 DST=10.9.0.1 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=11021 DF PROTO=TCP SPT=57944 DPT=82 WINDOW=64240 RES=0x00 SYN URGP=0 ", "BLOCK|v0||10.9.0.2|10.9.0.1|TCP|57944|82||SYN"},
		{"web1 kernel: [UFW LIMIT BLOCK] IN=v0 OUT= SRC=10.9.0.2 DST=10.9.0.1 LEN=48 DF PROTO=UDP SPT=55666 DPT=5060 LEN=28 ", "LIMIT BLOCK|v0||10.9.0.2|10.9.0.1|UDP|55666|5060||"},
		{"[   30.200417] [UFW BLOCK] IN=v0 OUT= SRC=fd09:0000:0000:0000:0000:0000:0000:0002 DST=fd09:0000:0000:0000:0000:0000:0000:0001 LEN=52 TC=0 HOPLIMIT=64 FLOWLBL=894836 PROTO=ICMPv6 TYPE=139 CODE=0", "BLOCK|v0||fd09:0000:0000:0000:0000:0000:0000:0002|fd09:0000:0000:0000:0000:0000:0000:0001|ICMPv6|||139|"},
		{"<4>[UFW AUDIT] IN= OUT=v0 SRC=10.9.0.1 DST=10.9.0.2 LEN=88 PROTO=ICMP TYPE=3 CODE=3 [SRC=10.9.0.2 DST=10.9.0.1 LEN=60 PROTO=TCP SPT=42974 DPT=22 SYN URGP=0 ] ", "AUDIT||v0|10.9.0.1|10.9.0.2|ICMP|||3|"},
		{"web1 kern.warn kernel: [UFW AUDIT INVALID] IN=v0 OUT= SRC=10.9.0.2 DST=10.9.0.1 PROTO=TCP SPT=50000 DPT=9000 WINDOW=0 RES=0x00 URG PSH FIN URGP=0", "AUDIT INVALID|v0||10.9.0.2|10.9.0.1|TCP|50000|9000||URG PSH FIN"},
		{"[UFW BLOCK] IN=v0 OUT= SRC=10.9.0.2 DST=10.9.0.1 PROTO=47", "BLOCK|v0||10.9.0.2|10.9.0.1|47||||"},
		{"web1 kernel: [UFW BLOCK] IN=v0 OUT= SRC=10.9.0.2 SRC=10.9.0.3 DST=10.9.0.1 PROTO=47", "BLOCK|v0||10.9.0.2|10.9.0.1|47||||"},
		{"web1 myapp[99]: kernel: [UFW BLOCK] IN=v0 OUT= SRC=10.9.0.2", ""},
		{"web1 myapp: kernel: [UFW BLOCK] IN=v0 OUT= SRC=10.9.0.2", ""},
		{"web1 myapp: x [UFW BLOCK] IN=v0 OUT= SRC=10.9.0.2", ""},
		{"user x [ 1.2] [UFW BLOCK] IN=v0 OUT= SRC=10.9.0.2", ""},
		{"web1 kernel: x [UFW BLOCK] IN=v0 OUT= SRC=10.9.0.2", ""},
		{"web1 kernel: [UFW BLOCK] SRC=10.9.0.2", ""},
		{"web1 kernel: [UFW block] IN=v0 SRC=10.9.0.2", ""},
		{"web1 kernel: [UFW BLOCK] IN=v0\tx SRC=10.9.0.2", ""},
		{"web1 kernel: something else", ""},
	} {
		t.Run(c.line, func(t *testing.T) {
			u, err := newUFWText(ufwFields[:])
			if err != nil {
				t.Fatal(err)
			}
			got, ok := u.append(nil, []byte(c.line))
			if want := strings.ReplaceAll(c.want, "|", "\t"); string(got) != want || ok != (want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, want)
			}
		})
	}
	if _, err := newUFWText([]string{"mac"}); err == nil || !strings.Contains(err.Error(), "action, in, out") {
		t.Errorf("got %v, want an error that names the fields", err)
	}
}

// slowUFW is the twin of ufwText: what a person would do with a list of words.
func slowUFW(line, field string) string {
	_, line, _ = strings.Cut(line, "] IN=")
	line, _, _ = strings.Cut("IN="+line, " [")
	for _, w := range strings.Split(line, " ") {
		if v, ok := strings.CutPrefix(w, field+"="); ok {
			return v
		}
	}
	return ""
}

// FuzzUFWText: whatever a line holds, there are as many fields as were asked for, and each is what its first key says.
func FuzzUFWText(f *testing.F) {
	f.Add("IN=v0 OUT= SRC=10.9.0.2 DST=10.9.0.1 LEN=60 DF PROTO=TCP SPT=57944 DPT=82 SYN URGP=0 ")
	f.Add("IN= OUT=v0 SRC=10.9.0.1 PROTO=ICMP TYPE=3 CODE=3 [SRC=10.9.0.2 DST=10.9.0.1 ] ")
	f.Add("IN=a=b  SRC= SRC=1 [x")
	u, err := newUFWText(ufwFields[:])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, words string) {
		line := "web1 kernel: [UFW BLOCK] " + words
		got, ok := u.append(nil, []byte(line))
		if !ok {
			return
		}
		values := bytes.Split(got, []byte("\t"))
		if len(values) != len(ufwFields) {
			t.Fatalf("got %q, want %d fields", got, len(ufwFields))
		}
		for i, key := range []string{"", "IN", "OUT", "SRC", "DST", "PROTO", "SPT", "DPT", "TYPE", ""} {
			if want := slowUFW(strings.TrimRight(line, " \r\n"), key); key != "" && string(values[i]) != want {
				t.Errorf("%s: got %q, want %q of %q", key, values[i], want, line)
			}
		}
	})
}

// One ufw.log line, taken apart: no allocation.
func BenchmarkUFWText(b *testing.B) {
	line := []byte(" web1 kernel: [   30.200417] [UFW BLOCK] IN=v0 OUT= MAC=2e:e6:53:9d:23:72:0a:d0:2a:63:68:14:08:00 SRC=10.9.0.2 DST=10.9.0.1 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=11021 DF PROTO=TCP SPT=57944 DPT=82 WINDOW=64240 RES=0x00 SYN URGP=0 ")
	u, err := newUFWText([]string{"action", "in", "proto", "flags", "src", "dst", "spt", "dpt"})
	if err != nil {
		b.Fatal(err)
	}
	var into []byte
	b.ReportAllocs()
	for b.Loop() {
		into, _ = u.append(into[:0], line)
	}
}
