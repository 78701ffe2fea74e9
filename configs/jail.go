package configs

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/banpipe/banpipe/matchers"
)

// A Jail is one jail as it will run: the built-in defaults, then [defaults], then what its filter says
// about jails, then its own keys, each over the one before. Slices may be shared between jails and are
// never changed.
type Jail struct {
	Name    string `toml:"-"`
	Enabled bool   `toml:"enabled"`

	Filter       string `toml:"filter"`       // a name, a path, or "sshd[mode=aggressive]"; "" if the jail is its own filter
	Mode         string `toml:"mode"`         // the filter's mode, where Filter names none
	LogPath      List   `toml:"logpath"`      // absolute, globs allowed; %(name)s is already replaced
	JournalMatch Lines  `toml:"journalmatch"` // journal fields: a space is "and", + is "or"

	MaxRetry   Count    `toml:"maxretry"`   // hits within FindTime that lead to a ban
	FindTime   Duration `toml:"findtime"`   // how long a hit counts
	BanTime    Duration `toml:"bantime"`    // how long a ban lasts
	MaxTracked Count    `toml:"maxtracked"` // addresses that are remembered at most
	Distinct   string   `toml:"distinct"`   // count different values of this field, not hits; "" counts hits
	Counts     string   `toml:"counts"`     // lines of logs, or bans: those of the other jails

	// How long a ban lasts of somebody who has been banned before: fail2ban's bantime.increment and its companions.
	BanTimeIncrement    bool     `toml:"bantime_increment"`    // it lasts longer
	BanTimeFactor       Number   `toml:"bantime_factor"`       // how steeply
	BanTimeFormula      string   `toml:"bantime_formula"`      // arithmetic in place of powers of two; see compileFormula
	BanTimeMultipliers  Numbers  `toml:"bantime_multipliers"`  // by the number of earlier bans, in place of powers of two and of the formula
	BanTimeMaxTime      Duration `toml:"bantime_maxtime"`      // at most; 0 is no limit
	BanTimeRndTime      Duration `toml:"bantime_rndtime"`      // up to so much more, at random
	BanTimeOverallJails bool     `toml:"bantime_overalljails"` // the bans of all jails count

	Prefix4          int       `toml:"prefix4"`             // an IPv4 address is counted and banned with its network, of so many bits
	Prefix6          int       `toml:"prefix6"`             // an IPv6 address
	Aggregate        Aggregate `toml:"aggregate"`           // when neighbours are banned together
	MaxBansPerMinute int       `toml:"max_bans_per_minute"` // more stop the jail for a while; 0 is any number
	ProtectLogins    bool      `toml:"protect_logins"`      // whoever has logged in lately keeps the ports of the jail that saw it

	// Spoofable allows for a lower maxretry, or for no distinct, where the filter says that what it
	// counts can be forged.
	Spoofable bool `toml:"spoofable"`

	IgnoreIP   List  `toml:"ignoreip"`        // never banned: addresses, networks, host names, file:PATH; a jail's add to the defaults'
	Trusted    List  `toml:"trusted_proxies"` // proxies, never banned for what their clients do; written as IgnoreIP, and a jail's add to the defaults'
	IgnoreSelf bool  `toml:"ignoreself"`      // this machine's addresses and default gateways are never banned
	Port       Ports `toml:"port"`            // what a ban closes; none: all ports
	BanAction  List  `toml:"banaction"`       // names of sinks
	Enforce    bool  `toml:"enforce"`         // false: decide and report, ban nobody

	LogTimezone Zone `toml:"logtimezone"` // of dates that name none; the machine's own if left out

	// What the filter says, said by the jail instead. With FailRegex and without a filter key the jail is
	// its own filter and no other is looked for.
	PrefRegex   string `toml:"prefregex"`
	FailRegex   Rules  `toml:"failregex"`
	IgnoreRegex Rules  `toml:"ignoreregex"`
	DatePattern Lines  `toml:"datepattern"`

	// Loaded is the filter, with the jail's words over it; nil if Problem is set.
	Loaded *matchers.Filter `toml:"-"`
	// Problem is why the jail cannot run although its keys are right: its filter is missing or wrong. The
	// other jails can; Build reports it.
	Problem error `toml:"-"`
	// Guessed is set if LogPath and JournalMatch are the filter's: places to look at rather than ones that
	// somebody said are there.
	Guessed bool `toml:"-"`
	// Waits are the logs, or "journal", that were not there when Build looked; they are read when they come.
	Waits List `toml:"-"`

	safe *Jail  // what the filter says of jails, if what it counts can be forged
	at   *value // the jail's table, for mistakes found later; nil for a shipped one
}

// maxBansPerMinute is more than a botnet of any size can cause at an sshd with its defaults, since a ban takes a guess at least: of
// n connections that have not logged in MaxStartups 10:30:100 refuses the share 0.3 + 0.7*(n-10)/90, and a guess takes some
// 2.5 s (pam_unix's delay is 2 s). At 200 connections a second that makes 80 at once and 1,900 guesses a minute.
const maxBansPerMinute = 2000

func defaultJail() Jail {
	return Jail{
		MaxRetry:   5,
		FindTime:   Duration(10 * time.Minute),
		BanTime:    Duration(10 * time.Minute),
		MaxTracked: 100_000,
		IgnoreIP:   List{"127.0.0.0/8", "::1"},
		IgnoreSelf: true,
		BanAction:  List{"nftables"},
		Enforce:    true,
		Counts:     countsLines,

		BanTimeFactor: 1,

		Prefix4:          32,
		Prefix6:          64,
		MaxBansPerMinute: maxBansPerMinute,
		ProtectLogins:    true,
	}
}

func (j *Jail) label() string {
	if j.Name == "" {
		return "defaults"
	}
	return fmt.Sprintf("jail %q", j.Name)
}

// check looks at what types cannot say of the keys that v sets.
func (j *Jail) check(v *value, errs *Errors, sinks map[string]Sink) {
	fail := func(key string, err error) {
		if v.has(key) && err != nil {
			errs.add(v.at(key), join(j.label(), key), err)
		}
	}
	if j.FindTime <= 0 {
		fail("findtime", mistake(durationHint, "want a time that ends, and is not 0"))
	}
	if j.BanTime == 0 {
		fail("bantime", mistake("enforce = false decides and reports without banning", "a ban of no length bans nobody"))
	}
	j.checkPolicy(v, fail)
	if v.has("port") && len(v.at("port").words()) == 0 {
		fail("port", mistake("leave port out to close all ports", "is empty"))
	}
	for _, word := range j.IgnoreIP {
		if v.has("ignoreip") {
			_, _, err := parseIgnore(word)
			fail("ignoreip", err)
		}
	}
	for _, word := range j.Trusted {
		if v.has("trusted_proxies") {
			_, _, err := parseIgnore(word)
			fail("trusted_proxies", err)
		}
	}
	for _, name := range j.BanAction {
		if _, ok := sinks[name]; !ok {
			fail("banaction", mistake(didYouMean(name, keysOf(sinks)), "there is no sink %q", name))
		}
	}
	if len(j.BanAction) == 0 {
		fail("banaction", mistake("enforce = false decides and reports without banning", "is empty"))
	}
	for _, path := range j.LogPath {
		if !filepath.IsAbs(path) {
			fail("logpath", mistake(`a path with spaces must stand in a list: ["/var/log/my app.log"]`, "%q is not an absolute path", path))
		} else if _, err := filepath.Match(path, "/"); err != nil {
			fail("logpath", mistake("", "%q: %v", path, err))
		}
	}
}

// words counts what a list or a string of words holds.
func (v *value) words() List {
	switch x := v.v.(type) {
	case []*value:
		return make(List, len(x))
	case string:
		return strings.Fields(x)
	}
	return List{""}
}

// overlay puts the jail's own regexes over its filter's, as fail2ban lets a jail set any option of its
// filter.
func (j *Jail) overlay(f matchers.Filter) *matchers.Filter {
	if len(j.FailRegex) > 0 || len(j.IgnoreRegex) > 0 || j.PrefRegex != "" {
		f.Path = j.at.file
		f.FailRegex, f.IgnoreRegex = unplaced(f.FailRegex), unplaced(f.IgnoreRegex) // their lines are another file's
	}
	if j.PrefRegex != "" {
		f.PrefRegex = j.PrefRegex
	}
	if len(j.FailRegex) > 0 {
		f.FailRegex, f.Shape = j.FailRegex, "" // of a log that the jail alone knows
	}
	if len(j.IgnoreRegex) > 0 {
		f.IgnoreRegex = j.IgnoreRegex
	}
	if len(j.DatePattern) > 0 {
		f.DatePattern = j.DatePattern
	}
	return &f
}

func unplaced(rules []matchers.Rule) []matchers.Rule {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].Line = 0
	}
	return rules
}

// validName says whether a jail may be called so: its name stands in logs, metrics and on command lines.
func validName(name string) bool {
	ok := func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.", c) >= 0
	}
	return name != "" && len(name) <= 64 && span(name, ok) == len(name)
}
