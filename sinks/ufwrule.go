package sinks

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// A ufwRule is a rule of ufw's, ours or anybody's. What it is about ("from 192.0.2.7 to any port 22") is its key:
// ufw holds one rule for it, whatever it does with the packets.
type ufwRule struct {
	action string  // "deny", "allow", "reject", "limit"
	mark   ufwMark // only if ours
	ours   bool
}

// blocks reports whether nobody needs to ban whom the rule is about.
func (r ufwRule) blocks() bool { return r.action == "deny" || r.action == "reject" }

// ufwMaxPorts is what one rule takes (iptables' multiport match); a range counts for two.
const ufwMaxPorts = 15

// ufwKeys says which rules make a ban, and the ports as their mark has them: two where there are several ports, since ufw wants
// to know the protocol then.
func ufwKeys(a *pipeline.Action) (keys []string, err error) {
	p := a.Prefix
	if !p.IsValid() {
		return nil, errors.New("no address")
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Bits() == 0 {
		return nil, errors.New("a ban of everybody")
	}
	from := "from " + ufwAddr(p)
	if err := CheckUFWPorts(a.Ports); err != nil {
		return nil, err
	}
	switch ports := strings.ReplaceAll(pipeline.PortsString(a.Ports), "-", ":"); {
	case ports == "":
		return []string{from}, nil
	case len(a.Ports) == 1 && a.Ports[0].First == a.Ports[0].Last:
		return []string{from + " to any port " + ports}, nil
	default:
		to := from + " to any port " + ports
		return []string{to + " proto tcp", to + " proto udp"}, nil
	}
}

// CheckUFWPorts says whether UFW can ban on these ports only.
func CheckUFWPorts(ports []pipeline.PortRange) error {
	room := ufwMaxPorts
	for _, r := range ports {
		room--
		if r.First != r.Last {
			room--
		}
	}
	if room < 0 {
		return fmt.Errorf("ports %s: ufw takes %d in one rule, a range counts for two", pipeline.PortsString(ports), ufwMaxPorts)
	}
	return nil
}

// ufwAddr is how ufw writes a source.
func ufwAddr(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.Masked().String()
}

// parseUFWRules reads what "ufw show added" prints: each rule as the command that would add it. Lines that are no
// such command are no rules that could be in our way: comments hold what they like, rules for forwarding and for
// interfaces have keys of their own.
func parseUFWRules(out []byte) map[string]ufwRule {
	rules := make(map[string]ufwRule)
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		line, ok := strings.CutPrefix(s.Text(), "ufw ")
		if !ok {
			continue
		}
		var r ufwRule
		if before, comment, ok := strings.Cut(line, " comment '"); ok { // ufw allows no quotes in a comment
			line = before
			r.mark, r.ours = parseUFWMark(strings.TrimSuffix(comment, "'"))
		}
		var key string
		r.action, key, _ = strings.Cut(line, " ")
		key = strings.TrimPrefix(strings.TrimPrefix(key, "log "), "log-all ")
		words := strings.Fields(key)
		if len(words) < 2 || words[0] != "from" {
			continue
		}
		// The C library writes some addresses otherwise than Go: ::192.0.2.7.
		if p, err := parseUFWAddr(words[1]); err == nil {
			words[1] = ufwAddr(p)
		}
		r.ours = r.ours && r.action == "deny"
		rules[strings.Join(words, " ")] = r
	}
	return rules
}

func parseUFWAddr(word string) (netip.Prefix, error) {
	if strings.Contains(word, "/") {
		return netip.ParsePrefix(word)
	}
	a, err := netip.ParseAddr(word)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Prefix(a.BitLen())
}

// action is the ban that a rule of ours stands for.
func (r ufwRule) ban(key string) (pipeline.Action, error) {
	words := strings.Fields(key)
	p, err := parseUFWAddr(words[1])
	if err != nil {
		return pipeline.Action{}, err
	}
	ports, err := scope{ports: r.mark.ports}.portRanges()
	return pipeline.Action{Op: pipeline.Ban, Prefix: p, Ports: ports, Jail: r.mark.jail, Until: r.mark.until, Restored: true}, err
}

// A ufwMark is the comment by which our rules are known, and which says what ufw has no other place for:
// "banpipe: sshd until 2026-11-23T07:23:11Z ports 80,443".
type ufwMark struct {
	jail  string
	until time.Time // whole seconds; zero: never
	ports string    // pipeline.PortsString
}

const ufwMarkPrefix = "banpipe: "

func ufwMarkOf(a *pipeline.Action) ufwMark {
	m := ufwMark{jail: plainWord(a.Jail), ports: pipeline.PortsString(a.Ports)}
	if !a.Until.IsZero() && a.Until.Year() < 9999 { // RFC 3339 has four digits
		m.until = a.Until.Add(time.Second - 1).Truncate(time.Second).UTC()
	}
	return m
}

// plainWord keeps what cannot trouble anybody: ufw refuses quotes, and a mark is split at spaces.
func plainWord(s string) string {
	if s == "" {
		return pipeline.RestoredJail
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r) {
			return r
		}
		return '_'
	}, s)
}

func (m ufwMark) String() string {
	s := ufwMarkPrefix + m.jail + " for ever"
	if !m.until.IsZero() {
		s = ufwMarkPrefix + m.jail + " until " + m.until.Format(time.RFC3339)
	}
	if m.ports != "" {
		s += " ports " + m.ports
	}
	return s
}

// parseUFWMark reads String back; whatever else is somebody's comment.
func parseUFWMark(s string) (m ufwMark, ok bool) {
	words := strings.Fields(s)
	if len(words) != 4 && len(words) != 6 {
		return ufwMark{}, false
	}
	m.jail = words[1]
	if words[2] == "until" {
		until, err := time.Parse(time.RFC3339, words[3])
		if err != nil {
			return ufwMark{}, false
		}
		m.until = until.UTC()
	}
	if len(words) == 6 {
		m.ports = words[5]
		if _, err := (scope{ports: m.ports}).portRanges(); err != nil {
			return ufwMark{}, false
		}
	}
	return m, m.String() == s
}

// Marked reports, without running ufw, whether rules may have our mark: ufw's files have comments in hexadecimal.
func (u *UFW) Marked() bool {
	mark := []byte("comment=" + hex.EncodeToString([]byte(ufwMarkPrefix)))
	for _, name := range []string{"user.rules", "user6.rules"} {
		text, err := os.ReadFile(filepath.Join(cmp.Or(u.Dir, "/etc/ufw"), name))
		if bytes.Contains(text, mark) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}
