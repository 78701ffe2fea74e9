package sources

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// binaryField is a field in its binary form.
func binaryField(name, value string) string {
	size := binary.LittleEndian.AppendUint64(nil, uint64(len(value)))
	return name + "\n" + string(size) + value + "\n"
}

// parseSlowly is what the parser must do, of a whole text and with copies of everything.
func parseSlowly(text string) (entries []string) {
	values := map[string]string{}
	for text != "" {
		i := strings.IndexAny(text, "=\n")
		switch {
		case i < 0 && len(text) <= longestName:
			return entries
		case i < 0 || i > longestName: // no name
			_, rest, ok := strings.Cut(text[longestName+1:], "\n")
			if !ok {
				return entries
			}
			text = rest
			continue
		case i == 0 && text[0] == '\n':
			if len(values) > 0 {
				entries = append(entries, describe(values))
				values = map[string]string{}
			}
			text = text[1:]
			continue
		}
		name, value := text[:i], ""
		if text[i] == '=' {
			j := strings.IndexByte(text[i:], '\n')
			if j < 0 {
				return entries
			}
			value, text = text[i+1:i+j], text[i+j+1:]
		} else {
			if len(text) < i+9 {
				return entries
			}
			size := binary.LittleEndian.Uint64([]byte(text[i+1:]))
			text = text[i+9:]
			if size >= uint64(len(text)) {
				return entries
			}
			value, text = text[:size], text[size+1:]
		}
		if exportFieldOf([]byte(name)) == fieldOther {
			continue
		}
		if old, ok := values[name]; ok && name == "MESSAGE" {
			value = old + " " + value
		}
		values[name] = value
	}
	return entries
}

func describe(values map[string]string) string {
	var s strings.Builder
	for f := fieldCursor; f < exportFields; f++ {
		if v, ok := values[exportNames[f]]; ok {
			fmt.Fprintf(&s, "%s=%q ", exportNames[f], v)
		}
	}
	return s.String()
}

func parseBlocks(text string, size int) (entries []string) {
	var x exportParser
	for p := []byte(text); len(p) > 0; {
		block := p[:min(size, len(p))]
		for len(block) > 0 {
			n, done := x.next(block)
			if done {
				values := map[string]string{}
				for f := fieldCursor; f < exportFields; f++ {
					if x.entry.has[f] {
						values[exportNames[f]] = string(x.entry.values[f])
					}
				}
				entries = append(entries, describe(values))
				x.entry.reset()
			}
			block = block[n:]
		}
		p = p[min(size, len(p)):]
	}
	return entries
}

func TestExportParser(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"one":          {"__CURSOR=c\nMESSAGE=hello\n\n", []string{`__CURSOR="c" MESSAGE="hello" `}},
		"two":          {"__CURSOR=a\n\n__CURSOR=b\n\n", []string{`__CURSOR="a" `, `__CURSOR="b" `}},
		"binary":       {"__CURSOR=c\n" + binaryField("MESSAGE", "two\nlines = \n\n\x00") + "\n", []string{`__CURSOR="c" MESSAGE="two\nlines = \n\n\x00" `}},
		"others":       {"PRIORITY=6\n" + binaryField("X", "\n\n") + "_PID=7\n\n", []string{`_PID="7" `}},
		"two messages": {"MESSAGE=a\nMESSAGE=b\n\n", []string{`MESSAGE="a b" `}},
		"unfinished":   {"MESSAGE=a\n", nil},
		"nothing":      {"\n\n\n", nil},
		"long name":    {strings.Repeat("N", 200) + "\nMESSAGE=a\n\n", []string{`MESSAGE="a" `}},
		"empty value":  {"MESSAGE=\n\n", []string{`MESSAGE="" `}},
	} {
		t.Run(name, func(t *testing.T) {
			for size := 1; size < 40; size++ {
				if got := parseBlocks(c.text, size); fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Fatalf("in blocks of %d: got %v, want %v", size, got, c.want)
				}
			}
		})
	}
}

func TestExportParserKeepsNoMoreThanItMay(t *testing.T) {
	var x exportParser
	text := []byte("MESSAGE=" + strings.Repeat("x", 10*maxField) + "\n" + binaryField("MESSAGE", strings.Repeat("y", maxField)) + "\n")
	n, done := x.next(text)
	if n != len(text) || !done {
		t.Fatalf("got %d, %v, want all of it", n, done)
	}
	if got := len(x.entry.values[fieldMessage]); got > maxField+1 || !x.entry.cut {
		t.Errorf("got %d bytes, cut %v", got, x.entry.cut)
	}
}

// The parser agrees with its slow twin, however the text is cut.
func FuzzExportParser(f *testing.F) {
	f.Add("__CURSOR=c\nMESSAGE=hello\n\n", uint8(3))
	f.Add("__CURSOR=c\n"+binaryField("MESSAGE", "two\nlines")+"\n_PID=1\n\n", uint8(1))
	f.Add(strings.Repeat("N", 66)+"=\n\n", uint8(7))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		if len(text) > maxField {
			return
		}
		want := parseSlowly(text)
		if got := parseBlocks(text, 1+int(size)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func BenchmarkExportParser(b *testing.B) {
	one := "__CURSOR=s=0123456789abcdef0123456789abcdef;i=1a2b;b=0123456789abcdef0123456789abcdef;m=123456;t=5f0123456789a;x=0123456789abcdef\n" +
		"__REALTIME_TIMESTAMP=1795330800000000\n__MONOTONIC_TIMESTAMP=1234567890\n_BOOT_ID=0123456789abcdef0123456789abcdef\n" +
		"_TRANSPORT=syslog\n_UID=0\n_COMM=sshd\n_SYSTEMD_UNIT=ssh.service\n_HOSTNAME=web1\nSYSLOG_IDENTIFIER=sshd\nSYSLOG_PID=4242\n_PID=4242\n" +
		"MESSAGE=Failed password for invalid user admin from 192.0.2.7 port 4242 ssh2\n_SOURCE_REALTIME_TIMESTAMP=1795330799999999\n\n"
	text := bytes.Repeat([]byte(one), 1000)
	b.ReportAllocs()
	var x exportParser
	for b.Loop() {
		for p := text; len(p) > 0; {
			n, done := x.next(p)
			p = p[n:]
			if done {
				x.entry.reset()
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/entry")
}
