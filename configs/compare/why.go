package compare

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The reasons in a word, as Difference.Code has them.
const (
	codeNoJail     = "no_jail"     // the other one has no such jail
	codeRestored   = "restored"    // it was restored from fail2ban's database: the offences are older than the log
	codeByHand     = "by_hand"     // no offence led to it
	codeIgnored    = "ignored"     // the other one never bans it
	codeNotMatched = "not_matched" // the other one's filter found no offence
	codeLogPath    = "logpath"     // the two read other logs
	codeFewer      = "fewer"       // the other one's filter found fewer
	codeMaxRetry   = "maxretry"    // the limits differ
	codeFindTime   = "findtime"
	codeWeight     = "weight"   // banpipe counts some offences more than once
	codeDistinct   = "distinct" // banpipe counts different values, not offences
	codeEstimate   = "estimate" // fail2ban estimates a rate, banpipe counts exactly
	codeLogin      = "login"    // somebody has logged in: banpipe forgets what was before, and spares the address
	codeBefore     = "before"   // fail2ban held it already
	codeService    = "service"  // a replay bans it, the service did not
	codePrefix     = "prefix"   // banpipe counts its neighbours with it
	codePending    = "pending"  // the log ends before fail2ban can have banned it
	codeUnknown    = "unknown"
)

// notOurs says why banpipe has not banned what fail2ban has.
func (p *pair) notOurs(a netip.Addr) (code, why string) {
	theirs := p.theirs.Addrs[a]
	found := theirs.Found
	if p.ours == nil {
		return codeNoJail, "banpipe runs no jail of this name"
	}
	ours, limits := p.ours.Addrs[a], p.limits()
	if ours == nil {
		ours = &OurAddr{}
	}
	switch {
	case ours.Login:
		return codeLogin, "banpipe spares it: " + ours.Refused
	case ours.Refused != "":
		return codeIgnored, "banpipe spares it: " + ours.Refused
	case len(theirs.Bans) == 0:
		return codeRestored, "fail2ban restored it from its database: the offences are older than its log"
	case len(found) == 0:
		return codeByHand, "fail2ban's log has no offence of it: it was banned by hand, or the offences are older than the log"
	case len(ours.Hits) == 0 && !p.sameLogs():
		return codeLogPath, fmt.Sprintf("fail2ban found %d offences in %s; banpipe reads %s", len(found), strings.Join(p.theirs.Logs, ", "), strings.Join(p.ours.Logs, ", "))
	case len(ours.Hits) == 0:
		return codeNotMatched, fmt.Sprintf("fail2ban found %d offences; banpipe's filter finds none in %s", len(found), strings.Join(p.ours.Logs, ", "))
	case p.ours.Limits.Distinct && ours.Most < limits.MaxRetry:
		return codeDistinct, fmt.Sprintf("banpipe counts different values, not offences: %d of %d", ours.Most, limits.MaxRetry)
	case ours.Most >= limits.MaxRetry && p.result.Source == "service":
		return codeService, "a replay of the log bans it, the service did not: it was paused, restarted without state, or read another log"
	case ours.Forgot && ours.Most < limits.MaxRetry:
		return codeLogin, "a login succeeded in between: what was counted before it is forgotten"
	}
	if code, why := p.limitsDiffer(found, ours.Hits, p.theirs.Settings, limits, "banpipe", "fail2ban"); code != "" {
		return code, why
	}
	if len(ours.Hits) < len(found) {
		return codeFewer, fmt.Sprintf("fail2ban found %d offences, banpipe's filter %d: %d of %d within %v%s", len(found), len(ours.Hits), ours.Most, limits.MaxRetry, limits.FindTime, lacks(ours.Hits, found))
	}
	if n := most(ours.Hits, limits.FindTime); n < limits.MaxRetry { // of found there are whole seconds only
		return codeEstimate, fmt.Sprintf("fail2ban estimates a rate: of %d offences never more than %d lie within %v", len(found), n, limits.FindTime)
	}
	return codeUnknown, fmt.Sprintf("fail2ban found %d offences, banpipe %d, of which %d count together; its limit is %d within %v", len(found), len(ours.Hits), ours.Most, limits.MaxRetry, limits.FindTime)
}

// notTheirs says why fail2ban has not banned what banpipe has.
func (p *pair) notTheirs(a netip.Addr) (code, why string) {
	if p.theirs == nil {
		return codeNoJail, "fail2ban's log knows no jail of this name"
	}
	theirs, ours := p.theirs.Addrs[a], p.ours.Addrs[a]
	if theirs == nil {
		theirs = &TheirAddr{}
	}
	if ours == nil {
		ours = &OurAddr{}
	}
	found, limits := theirs.Found, p.theirs.Settings
	switch {
	case theirs.Ignored:
		return codeIgnored, "fail2ban ignores it"
	case len(theirs.Unbans) > 0 || theirs.Already:
		return codeBefore, "fail2ban had banned it before its log begins"
	case len(ours.Bans) == 0 && len(p.ours.bans(a)) > 0:
		return codePrefix, fmt.Sprintf("banpipe banned its network, %v", p.ours.bans(a)[0].Prefix)
	case len(found) == 0 && !p.sameLogs():
		return codeLogPath, fmt.Sprintf("banpipe found %d offences in %s; fail2ban reads %s", len(ours.Hits), strings.Join(p.ours.Logs, ", "), strings.Join(p.theirs.Logs, ", "))
	case len(found) == 0:
		return codeNotMatched, fmt.Sprintf("banpipe found %d offences, fail2ban's filter none", len(ours.Hits))
	case len(ours.Hits) == 0:
		return codeByHand, "the logs that banpipe reads have no offence of it: it was banned by hand, or the offences were rotated away"
	case p.ours.Limits.Distinct:
		return codeDistinct, fmt.Sprintf("banpipe counts different values, not offences: %d of them", ours.Most)
	case ours.Weighty && most(ours.Hits, p.limits().FindTime) < p.limits().MaxRetry:
		return codeWeight, fmt.Sprintf("some offences count more than once in banpipe: %d offences are a score of %d", len(ours.Hits), ours.Most)
	}
	if code, why := p.limitsDiffer(ours.Hits, found, p.limits(), limits, "fail2ban", "banpipe"); code != "" {
		return code, why
	}
	if len(found) < len(ours.Hits) {
		return codeFewer, fmt.Sprintf("banpipe found %d offences, fail2ban's filter %d%s", len(ours.Hits), len(found), lacks(found, ours.Hits))
	}
	if last := found[len(found)-1]; p.result.To.Sub(last) <= slack {
		return codePending, "the offences are at the end of fail2ban's log: it may not have got to the ban"
	}
	if n := most(ours.Hits, limits.FindTime); limits.MaxRetry > 0 && n >= limits.MaxRetry {
		return codeEstimate, fmt.Sprintf("fail2ban estimates a rate: %d of %d offences lie within %v, and it came to less", n, len(found), limits.FindTime)
	}
	return codeUnknown, fmt.Sprintf("banpipe found %d offences, fail2ban %d", len(ours.Hits), len(found))
}

// limitsDiffer blames maxretry or findtime, if one of them is enough to tell the two apart: the offences that led to the ban
// there reach the limits there, and not those here. here and there say who is who.
func (p *pair) limitsDiffer(there, here []time.Time, thereLimits, hereLimits Settings, hereName, thereName string) (code, why string) {
	if thereLimits.MaxRetry == 0 || hereLimits.MaxRetry == 0 {
		return "", ""
	}
	n := most(here, hereLimits.FindTime)
	switch {
	case n >= hereLimits.MaxRetry:
		return "", ""
	case hereLimits.MaxRetry > thereLimits.MaxRetry && n >= thereLimits.MaxRetry:
		return codeMaxRetry, fmt.Sprintf("maxretry is %d in %s and %d in %s: it had %d", hereLimits.MaxRetry, hereName, thereLimits.MaxRetry, thereName, n)
	case hereLimits.FindTime < thereLimits.FindTime && most(there, thereLimits.FindTime) >= thereLimits.MaxRetry && most(here, thereLimits.FindTime) >= hereLimits.MaxRetry:
		return codeFindTime, fmt.Sprintf("findtime is %v in %s and %v in %s: %d of %d offences lie within it", hereLimits.FindTime, hereName, thereLimits.FindTime, thereName, n, len(here))
	}
	return "", ""
}

// sameLogs reports whether the two read a log in common, or it is not known what fail2ban reads.
func (p *pair) sameLogs() bool {
	return len(p.theirs.Logs) == 0 || slices.ContainsFunc(p.theirs.Logs, func(path string) bool {
		return slices.ContainsFunc(p.ours.Logs, func(pattern string) bool {
			ok, _ := filepath.Match(pattern, path)
			return ok || pattern == path
		})
	})
}

// lacks names the first of others, by its second, that is not among times: where to look for the line.
func lacks(times, others []time.Time) string {
	seconds := map[int64]int{}
	for _, t := range times {
		seconds[t.Unix()]++
	}
	for _, t := range others {
		if seconds[t.Unix()]--; seconds[t.Unix()] < 0 {
			return "; it lacks that of " + t.Local().Format(time.DateTime)
		}
	}
	return ""
}

// most is how many of the times lie within span at most, both ends included.
func most(times []time.Time, span time.Duration) (n int) {
	times = slices.SortedFunc(slices.Values(times), time.Time.Compare)
	first := 0
	for i, t := range times {
		for t.Sub(times[first]) > span {
			first++
		}
		n = max(n, i-first+1)
	}
	return n
}
