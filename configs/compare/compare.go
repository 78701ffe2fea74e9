package compare

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// A Result is what the two have in common and where they differ.
type Result struct {
	From   time.Time `json:"from"`            // of the time that was compared
	To     time.Time `json:"to"`              // its end
	Source string    `json:"source"`          // of banpipe's bans: "service" or "replay"
	Both   int       `json:"both"`            // addresses that both banned
	Theirs int       `json:"only_fail2ban"`   // and that one did
	Ours   int       `json:"only_banpipe"`    //
	Jails  []Jail    `json:"jails"`           // by name
	Notes  []string  `json:"notes,omitempty"` // what should be known of the comparison
}

// A Jail is one jail of a Result.
type Jail struct {
	Jail        string       `json:"jail"`
	Both        int          `json:"both"`
	Theirs      int          `json:"only_fail2ban"`
	Ours        int          `json:"only_banpipe"`
	Settings    []Setting    `json:"settings"`    // that differ
	Differences []Difference `json:"differences"` // by address
}

// Reasons counts the differences of one side by their code, the most frequent first, then by name.
func (j Jail) Reasons(by string) (codes []string, counts map[string]int) {
	counts = map[string]int{}
	for _, d := range j.Differences {
		if d.By == by {
			counts[d.Code]++
		}
	}
	codes = slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(counts[b]-counts[a], cmp.Compare(a, b)) })
	return codes, counts
}

// A Setting is one that differs.
type Setting struct {
	Key      string `json:"key"`
	Banpipe  string `json:"banpipe"`
	Fail2ban string `json:"fail2ban"`
}

// A Difference is an address that one of them banned and the other did not.
type Difference struct {
	Addr  netip.Addr `json:"addr"`
	By    string     `json:"by"`    // "fail2ban" or "banpipe": who banned it
	Time  time.Time  `json:"time"`  // when
	Found int        `json:"found"` // offences that fail2ban found
	Hits  int        `json:"hits"`  // and banpipe
	Code  string     `json:"code"`  // the reason in a word
	Why   string     `json:"why"`   // and in a sentence
}

// Who banned an address.
const (
	ByFail2ban = "fail2ban"
	ByBanpipe  = "banpipe"
)

// Compare goes through the jails of both. What was banned before From or after To is left out: one of the two was not there.
func Compare(theirs *Theirs, ours *Ours) *Result {
	r := &Result{From: theirs.From, To: theirs.To, Source: "replay", Jails: []Jail{}}
	if !ours.Service.IsZero() {
		r.Source = "service"
		if ours.Service.After(r.From) {
			r.From = ours.Service
		}
	} else if ours.From.After(r.From) {
		r.From = ours.From.Truncate(time.Second)
	}
	if !theirs.Ended { // it may have had nothing to say since
		r.To = theirs.To
		if ours.To.After(r.To) {
			r.To = ours.To
		}
	}
	names := slices.Collect(maps.Keys(theirs.Jails))
	for name := range ours.Jails {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		p := pair{result: r, name: name, theirs: theirs.Jails[name], ours: ours.Jails[name]}
		j := p.compare()
		r.Both, r.Theirs, r.Ours = r.Both+j.Both, r.Theirs+j.Theirs, r.Ours+j.Ours
		if p.theirs != nil && p.ours != nil || j.Theirs+j.Ours > 0 {
			r.Jails = append(r.Jails, j)
		}
	}
	return r
}

// A pair is one jail of both; nil where one has none.
type pair struct {
	result *Result
	name   string
	theirs *TheirJail
	ours   *OurJail
}

func (p *pair) compare() Jail {
	j := Jail{Jail: p.name, Settings: p.settings(), Differences: []Difference{}}
	addrs := map[netip.Addr]bool{}
	if p.theirs != nil {
		for a, x := range p.theirs.Addrs {
			addrs[a] = addrs[a] || len(x.Bans)+len(x.Restored) > 0
		}
	}
	if p.ours != nil {
		for a, x := range p.ours.Addrs {
			addrs[a] = addrs[a] || len(x.Bans) > 0 || len(p.ours.Wide) > 0
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(addrs), netip.Addr.Compare) {
		if !addrs[a] {
			continue
		}
		theirs, ours := p.theirBans(a), p.ourBans(a)
		switch {
		case len(theirs) > 0 && len(ours) > 0:
			if p.any(theirs) || p.any(ours) {
				j.Both++
			}
		case p.any(theirs):
			j.Theirs++
			j.Differences = append(j.Differences, p.difference(a, ByFail2ban, p.first(theirs)))
		case p.any(ours):
			j.Ours++
			j.Differences = append(j.Differences, p.difference(a, ByBanpipe, p.first(ours)))
		}
	}
	return j
}

func (p *pair) theirBans(a netip.Addr) []time.Time {
	if p.theirs == nil || p.theirs.Addrs[a] == nil {
		return nil
	}
	return p.theirs.Addrs[a].all()
}

// all are the bans of either kind.
func (x *TheirAddr) all() []time.Time { return slices.Concat(x.Bans, x.Restored) }

func (p *pair) ourBans(a netip.Addr) (times []time.Time) {
	if p.ours == nil {
		return nil
	}
	for _, b := range p.ours.bans(a) {
		times = append(times, b.At)
	}
	return times
}

// slack is how far apart the two may be at the ends of what is compared: fail2ban bans up to a second late, and writes no
// fractions.
const slack = 2 * time.Second

func (p *pair) within(at time.Time) bool {
	return !at.Before(p.result.From.Add(-slack)) && !at.After(p.result.To.Add(slack))
}

func (p *pair) any(times []time.Time) bool { return slices.ContainsFunc(times, p.within) }

func (p *pair) first(times []time.Time) time.Time { return times[slices.IndexFunc(times, p.within)] }

// settings are those that are known of both and differ.
func (p *pair) settings() []Setting {
	differ := []Setting{}
	if p.theirs == nil || p.ours == nil {
		return differ
	}
	s, o := p.theirs.Settings, p.limits()
	add := func(key string, ours, theirs any) {
		differ = append(differ, Setting{key, fmt.Sprint(ours), fmt.Sprint(theirs)})
	}
	if s.MaxRetry != 0 && s.MaxRetry != o.MaxRetry {
		add("maxretry", o.MaxRetry, s.MaxRetry)
	}
	if s.FindTime != 0 && s.FindTime != o.FindTime {
		add("findtime", o.FindTime, s.FindTime)
	}
	if forEver := s.BanTime < 0 && o.BanTime < 0; s.BanTime != 0 && s.BanTime != o.BanTime && !forEver {
		add("bantime", o.BanTime, s.BanTime)
	}
	return differ
}

// limits are banpipe's, with its defaults filled in.
func (p *pair) limits() Settings {
	j := p.ours.Limits
	return Settings{
		MaxRetry: cmp.Or(j.MaxRetry, 5), FindTime: cmp.Or(j.FindTime, 10*time.Minute), BanTime: cmp.Or(j.BanTime, 10*time.Minute),
	}
}

func (p *pair) difference(a netip.Addr, by string, at time.Time) Difference {
	d := Difference{Addr: a, By: by, Time: at}
	if p.theirs != nil && p.theirs.Addrs[a] != nil {
		d.Found = len(p.theirs.Addrs[a].Found)
	}
	if p.ours != nil && p.ours.Addrs[a] != nil {
		d.Hits = len(p.ours.Addrs[a].Hits)
	}
	if by == ByFail2ban {
		d.Code, d.Why = p.notOurs(a)
	} else {
		d.Code, d.Why = p.notTheirs(a)
	}
	return d
}
