package matchers

import (
	"regexp"
	"strconv"
	"strings"
)

// The tags of failregex, prefregex and ignoreregex stand for regexes, most of them with a named group:
//
//	<HOST> <ADDR> <SUBNET> <IP4> <IP6> <DNS> <CIDR>    who is to blame
//	<F-USER>\S+</F-USER>                               a group of any name, here "user"
//	<F-ID/> <F-PORT/>                                  a group with a regex of its own
//	<SKIPLINES>                                        lines in between, with maxlines
//
// An IPv6 address may carry a zone and an IPv4 one the prefix of a mapped address: neither is captured.
const (
	tagIP4    = `(?:::[fF]{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})`
	tagIP6    = `(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|:))(?:%[\w.\-]+)?`
	tagDNS    = `(?P<dns>[\w\-.^_]*\w)`
	tagCIDR   = `(?P<cidr>\d+)`
	tagAddr   = `\[?(?:` + tagIP4 + `|` + tagIP6 + `)\]?`
	tagHost   = `(?:` + tagAddr + `|` + tagDNS + `)`
	tagSubnet = `\[?(?:` + tagIP4 + `|` + tagIP6 + `)(?:/` + tagCIDR + `)?\]?`
)

// The names of the groups that mean something to banpipe. All others are kept for `distinct` and for
// `banpipe test --explain`.
const (
	groupIP4     = "ip4"
	groupIP6     = "ip6"
	groupDNS     = "dns"
	groupID      = "fid"
	groupPort    = "fport"
	groupUser    = "user"
	groupContent = "content"   // of prefregex: what failregex sees
	groupSession = "mlfid"     // what the lines of one connection have in common
	groupNoFail  = "nofail"    // took part: remember, do not count
	groupForget  = "mlfforget" // took part: the connection has ended
	groupGained  = "mlfgained" // took part: a login won
	groupOnce    = "once"      // took part: it counts only if nothing on its connection has
)

var (
	tagRegex     = regexp.MustCompile(`</?[\w\-]+/?>`)
	customTag    = regexp.MustCompile(`^(/?)F-([A-Z0-9_\-]+)$`)
	flagsInGroup = regexp.MustCompile(`\((?:\?:)?(\(\?[a-z]+)\)`)
)

// expandTags replaces the tags of a regex. usedns "no" leaves names out of <HOST>.
func expandTags(regex, usedns string) string {
	open, skips := map[string]bool{}, 0
	regex = tagRegex.ReplaceAllStringFunc(regex, func(tag string) string {
		name := tag[1 : len(tag)-1]
		switch name {
		case "HOST":
			if usedns == "no" || usedns == "" {
				return tagAddr
			}
			return tagHost
		case "SKIPLINES":
			skips++
			return `\n(?P<skiplines` + strconv.Itoa(skips-1) + `>(?:(?:.*\n)*?))`
		}
		if s := fixedTag(name); s != "" {
			return s
		}
		m := customTag.FindStringSubmatch(name)
		switch {
		case m == nil || m[1] != "" && !open[m[2]]:
			return tag // no tag of ours
		case m[1] != "":
			return ")"
		}
		open[m[2]] = true
		return "(?P<" + groupName(m[2]) + ">"
	})
	return localFlags(regex)
}

func fixedTag(name string) string {
	switch name {
	case "IP4", "F-IP4/":
		return tagIP4
	case "IP6", "F-IP6/":
		return tagIP6
	case "ADDR", "F-ADDR/":
		return tagAddr
	case "DNS", "F-DNS/":
		return tagDNS
	case "CIDR", "F-CIDR/":
		return tagCIDR
	case "SUBNET", "F-SUBNET/":
		return tagSubnet
	case "F-ID/":
		return `(?P<fid>\S+)`
	case "F-PORT/":
		return `(?P<fport>\w+)`
	}
	return ""
}

func groupName(tag string) string {
	switch name := strings.ToLower(tag); name {
	case "id":
		return groupID
	case "port":
		return groupPort
	default:
		return name
	}
}

// localFlags makes flags at the start of a group hold for that group alone: ((?i)a|b) is (?i:a|b), as in
// fail2ban.
func localFlags(regex string) string {
	var b strings.Builder
	last := 0
	for _, m := range flagsInGroup.FindAllStringSubmatchIndex(regex, -1) {
		if m[0] > 0 && regex[m[0]-1] == '\\' {
			continue
		}
		b.WriteString(regex[last:m[0]] + regex[m[2]:m[3]] + ":")
		last = m[1]
	}
	return b.String() + regex[last:]
}
