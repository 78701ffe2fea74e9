package configs

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/banpipe/banpipe/pipeline"
)

// Ports is a list of ports: numbers, names as /etc/services has them, ranges ("6000:6010"). It is sorted,
// its ranges lie apart, and it is empty for all ports.
type Ports []pipeline.PortRange

func (p *Ports) set(v *value) error {
	var words List
	switch x := v.v.(type) {
	case int64:
		words = List{strconv.FormatInt(x, 10)}
	case []*value: // numbers among the strings
		for _, inner := range x {
			var one List
			if n, ok := inner.v.(int64); ok {
				one = List{strconv.FormatInt(n, 10)}
			} else if err := one.set(inner); err != nil {
				return placed(inner, wants(inner, "a port"))
			}
			words = append(words, one...)
		}
	default:
		if err := words.set(v); err != nil {
			return wants(v, "ports")
		}
	}
	ports, err := ParsePorts(words)
	if err != nil {
		return err
	}
	*p = ports
	return nil
}

// ParsePorts reads ports as a configuration has them; "all" is all of them.
func ParsePorts(words []string) (Ports, error) {
	var ports Ports
	for _, word := range words {
		if word == "all" {
			return nil, nil
		}
		r, err := parsePort(word)
		if err != nil {
			return nil, err
		}
		ports = append(ports, r)
	}
	slices.SortFunc(ports, func(a, b pipeline.PortRange) int { return cmp.Compare(a.First, b.First) })
	var apart Ports
	for _, r := range ports {
		if last := len(apart) - 1; last >= 0 && int(r.First) <= int(apart[last].Last)+1 {
			apart[last].Last = max(apart[last].Last, r.Last)
			continue
		}
		apart = append(apart, r)
	}
	if len(apart) == 1 && apart[0].First <= 1 && apart[0].Last == 65535 { // fail2ban's "0:65535"
		return nil, nil
	}
	return apart, nil
}

const portHint = `ports are numbers, names as in /etc/services, ranges, or all: "ssh", 443, "6000:6010", "all"`

func parsePort(word string) (pipeline.PortRange, error) {
	first, last, isRange := strings.Cut(word, ":")
	if !isRange {
		// A service may have a dash in its name ("http-alt"), so only digits make it a range.
		if a, b, ok := strings.Cut(word, "-"); ok && digits(a) && digits(b) {
			first, last, isRange = a, b, true
		}
	}
	from, err := portNumber(first)
	if err != nil || !isRange {
		return pipeline.PortRange{First: from, Last: from}, err
	}
	to, err := portNumber(last)
	if err == nil && to < from {
		err = mistake(portHint, "port range %q ends before it begins", word)
	}
	return pipeline.PortRange{First: from, Last: to}, err
}

func digits(s string) bool {
	return s != "" && span(s, func(c byte) bool { return c >= '0' && c <= '9' }) == len(s)
}

func portNumber(word string) (uint16, error) {
	if digits(word) {
		n, err := strconv.ParseUint(word, 10, 16)
		if err != nil {
			return 0, mistake(portHint, "port %s is beyond 65535", word)
		}
		return uint16(n), nil
	}
	if n := service(word); n != 0 {
		return n, nil
	}
	if n, ok := fileService(word); ok {
		return n, nil
	}
	return 0, mistake(portHint, "unknown port %q", word)
}

// service knows the ports that fail2ban's own jails name, so that a configuration means the same on a
// machine without /etc/services (containers, Alpine).
func service(name string) uint16 {
	switch name {
	case "ftp":
		return 21
	case "ftp-data":
		return 20
	case "ftps":
		return 990
	case "ftps-data":
		return 989
	case "ssh", "sftp":
		return 22
	case "telnet":
		return 23
	case "smtp":
		return 25
	case "domain":
		return 53
	case "http", "www":
		return 80
	case "pop3":
		return 110
	case "sunrpc":
		return 111
	case "nntp":
		return 119
	case "ntp":
		return 123
	case "imap", "imap2", "imap3":
		return 143
	case "snmp":
		return 161
	case "ldap":
		return 389
	case "https":
		return 443
	case "smtps", "ssmtp", "submissions":
		return 465
	case "submission":
		return 587
	case "ldaps":
		return 636
	case "imaps":
		return 993
	case "pop3s":
		return 995
	case "socks":
		return 1080
	case "openvpn":
		return 1194
	case "ms-sql-s":
		return 1433
	case "mysql":
		return 3306
	case "sieve":
		return 4190
	case "rdp", "ms-wbt-server":
		return 3389
	case "sip":
		return 5060
	case "sip-tls":
		return 5061
	case "xmpp-client":
		return 5222
	case "postgresql":
		return 5432
	case "redis":
		return 6379
	case "http-alt", "webcache":
		return 8080
	}
	return 0
}

// fileService looks a name up in /etc/services: "name port/protocol alias…".
func fileService(name string) (uint16, bool) {
	f, err := os.Open("/etc/services")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		words := strings.Fields(line)
		if len(words) < 2 || (words[0] != name && !slices.Contains(words[2:], name)) {
			continue
		}
		var n uint16
		if _, err := fmt.Sscanf(words[1], "%d/", &n); err == nil {
			return n, true
		}
	}
	return 0, false
}
