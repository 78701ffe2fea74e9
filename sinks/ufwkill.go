package sinks

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/banpipe/banpipe/pipeline"
)

// kill ends the connections of those who have just been banned. What cannot be ended is told, and no reason to try the ban again.
func (u *UFW) kill(ctx context.Context, changes []ufwChange, before map[string]ufwRule) {
	done := make(map[*pipeline.Action]bool)
	for _, c := range changes {
		if _, old := before[c.key]; u.Kill == "" || c.remove || old || !u.rules[c.key].ours || done[c.a] || ctx.Err() != nil {
			continue
		}
		done[c.a] = true
		for _, argv := range killers(u.Kill, c.a) {
			out, err := command{argv: argv, env: []string{"LC_ALL=C"}, limit: cmp.Or(u.Timeout, 30*time.Second)}.run(ctx)
			if err != nil && !strings.Contains(string(out), " 0 flow entries") { // conntrack calls that an error
				u.log().Warn("connections of a banned address may go on", zap.Stringer("addr", c.a.Prefix), zap.Error(err))
				break
			}
		}
	}
}

// killers are the commands that end what a ban is about. ss ends TCP sockets of this machine, and needs a kernel with
// INET_DIAG_DESTROY; conntrack makes the firewall forget flows, so that their next packets meet the rules; it
// knows no ranges of ports: their flows go on.
func killers(how string, a *pipeline.Action) (commands [][]string) {
	if how == "ss" {
		argv := []string{"ss", "-H", "-K", "-t", "dst", a.Prefix.String()}
		for i, r := range a.Ports {
			argv = append(argv, []string{"(", "or"}[min(i, 1)])
			argv = append(argv, "(", "sport", ">=", ":"+strconv.Itoa(int(r.First)), "and", "sport", "<=", ":"+strconv.Itoa(int(r.Last)), ")")
		}
		if len(a.Ports) > 0 {
			argv = append(argv, ")")
		}
		return [][]string{argv}
	}
	family := "ipv6"
	if a.Prefix.Addr().Is4() {
		family = "ipv4"
	}
	all := []string{"conntrack", "-D", "-f", family, "-s", ufwAddr(a.Prefix)}
	if len(a.Ports) == 0 {
		return [][]string{all}
	}
	for _, r := range a.Ports {
		for _, proto := range []string{"tcp", "udp"} {
			if r.First == r.Last {
				commands = append(commands, append(all[:len(all):len(all)], "-p", proto, "--dport", strconv.Itoa(int(r.First))))
			}
		}
	}
	return commands
}
