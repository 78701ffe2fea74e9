package matchers

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// A ufwText makes the text that rules see of a line that the kernel's LOG target wrote for UFW: the values of
// some fields, in the order in which the filter names them, separated by tabs. The line's form is the kernel's
// (net/netfilter/nf_log_syslog.c of Linux 5.10 to 6.18): behind the prefix "[UFW BLOCK] " first the interfaces, then
// KEY=value and bare words for flags, in an order that depends on the protocol. A filter's text may name
//
//	action              BLOCK, LIMIT BLOCK, ALLOW, AUDIT, AUDIT INVALID
//	in, out             interfaces; one is empty: in for what this machine sends, out for what it gets
//	src, dst            addresses
//	proto               TCP, UDP, ICMP, ICMPv6, or a number
//	spt, dpt            ports; empty for protocols without
//	type                of ICMP
//	flags               of TCP, as the kernel writes them, with spaces between: "ACK PSH", "SYN", "CWR ECE SYN"
//
// Of what comes twice the first counts: an ICMP error quotes the packet that it is about, in brackets at the end of the line,
// and a UDP line has two LEN.
type ufwText struct{ fields []int } // places in ufwFields

// What a filter may name, and TCP's flags in the kernel's order.
var (
	ufwFields = [...]string{"action", "in", "out", "src", "dst", "proto", "spt", "dpt", "type", "flags"}
	ufwFlags  = [...]string{"CWR", "ECE", "URG", "ACK", "PSH", "RST", "SYN", "FIN"}
)

const ufwFlag = len(ufwFields) - 1

var ufwMark = []byte("[UFW ")

func newUFWText(text []string) (*ufwText, error) {
	if len(text) == 0 {
		return nil, fmt.Errorf("format ufw needs the names of fields: %s", strings.Join(ufwFields[:], ", "))
	}
	u := &ufwText{}
	for _, name := range text {
		i := slices.Index(ufwFields[:], name)
		if i < 0 {
			return nil, fmt.Errorf("format ufw has no field %q: it has %s", name, strings.Join(ufwFields[:], ", "))
		}
		u.fields = append(u.fields, i)
	}
	return u, nil
}

// append adds the text of a line, less its date, to into; false means that the line is none of UFW's.
func (u *ufwText) append(into, line []byte) ([]byte, bool) {
	action, rest, ok := ufwAction(line)
	if !ok {
		return into, false
	}
	w := ufwWords{values: [len(ufwFields)][]byte{action}}
	for i := 0; i < len(rest); i++ {
		start, equals := i, -1
		for ; i < len(rest) && rest[i] != ' '; i++ {
			if rest[i] == '=' && equals < 0 {
				equals = i
			}
		}
		switch {
		case start == i:
		case rest[start] == '[': // the packet that an ICMP error is about
			i = len(rest)
		case equals >= 0:
			w.field(rest[start:equals], rest[equals+1:i])
		default:
			w.flag(rest[start:i])
		}
	}
	for i, f := range u.fields {
		if i > 0 {
			into = append(into, '\t')
		}
		if f == ufwFlag {
			into = w.appendFlags(into)
		} else {
			into = append(into, w.values[f]...)
		}
	}
	return into, true
}

// ufwWords are the words of one line.
type ufwWords struct {
	values [len(ufwFields)][]byte // by ufwFields
	seen   [len(ufwFields)]bool
	flags  [len(ufwFlags)]bool
}

func (w *ufwWords) flag(word []byte) {
	for i, f := range ufwFlags {
		if string(word) == f {
			w.flags[i] = true
		}
	}
}

func (w *ufwWords) field(key, value []byte) {
	if i := ufwKey(key); i >= 0 && !w.seen[i] {
		w.values[i], w.seen[i] = value, true
	}
}

// ufwKey is the place in ufwFields of one of the kernel's keys; -1 if nobody asks for it.
func ufwKey(key []byte) int {
	switch string(key) {
	case "IN":
		return 1
	case "OUT":
		return 2
	case "SRC":
		return 3
	case "DST":
		return 4
	case "PROTO":
		return 5
	case "SPT":
		return 6
	case "DPT":
		return 7
	case "TYPE":
		return 8
	}
	return -1
}

func (w *ufwWords) appendFlags(into []byte) []byte {
	start := len(into)
	for i, set := range w.flags {
		if !set {
			continue
		}
		if len(into) > start {
			into = append(into, ' ')
		}
		into = append(into, ufwFlags[i]...)
	}
	return into
}

// ufwAction finds the prefix. The kernel is the one who wrote it: before it stand its name and the time since it
// was started, behind it the interfaces. Another program's line may hold all the rest, but not that head.
func ufwAction(line []byte) (action, rest []byte, ok bool) {
	i := bytes.Index(line, ufwMark)
	if i < 0 || !kernelHead(line[:i]) {
		return nil, nil, false
	}
	end := bytes.Index(line[i:], []byte("] IN="))
	if end < 0 {
		return nil, nil, false
	}
	action = line[i+len(ufwMark) : i+end]
	for _, c := range action {
		if c != ' ' && (c < 'A' || c > 'Z') {
			return nil, nil, false
		}
	}
	// A tab would be the end of a field: the kernel writes none.
	rest = bytes.TrimRight(line[i+end+len("] "):], " \r\n")
	return action, rest, bytes.IndexByte(rest, '\t') < 0
}

// kernelHead reports whether a line's head, less its date, is the kernel's: "web1 kernel: " with "[   30.200417] " behind
// it or not, as syslog and the journal write it, busybox with a "kern.warn " before; or no name at all, as dmesg leaves
// it. Any other program's name ends in a colon.
func kernelHead(head []byte) bool {
	head = bytes.TrimRight(head, " ")
	if n := len(head); n > 0 && head[n-1] == ']' {
		open := bytes.LastIndexByte(head, '[')
		if open < 0 || len(bytes.Trim(head[open+1:n-1], " 0123456789.")) > 0 {
			return false
		}
		head = bytes.TrimRight(head[:open], " ")
	}
	if head = bytes.TrimLeft(head, " "); len(head) == 0 {
		return true
	}
	words := 0
	for len(head) > 0 {
		var word []byte
		if word, head, _ = bytes.Cut(head, []byte(" ")); len(word) == 0 {
			continue
		}
		if len(bytes.TrimLeft(head, " ")) == 0 {
			return string(word) == "kernel:" || words == 0 && word[0] == '<' && word[len(word)-1] == '>'
		}
		if words++; words > 3 || word[len(word)-1] == ':' || bytes.IndexByte(word, '[') >= 0 {
			return false
		}
	}
	return false
}
