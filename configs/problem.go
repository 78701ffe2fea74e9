package configs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/sinks"
)

// jail looks at one jail and reports whether it can run.
func (b *builder) jail(j *Jail) bool {
	before := len(b.problems)
	if j.Problem != nil {
		b.problems.add(j.value(""), "", j.Problem)
	} else if !j.CountsBans() {
		b.filter(j)
	}
	b.sinksOf(j)
	off := len(b.problems) > before
	if !j.CountsBans() && !b.logs(j) {
		off = true
	}
	b.spared(j)
	b.spoofable(j)
	b.idle(j)
	if off && !b.opts.Strict {
		for _, p := range b.problems[before:] {
			p.Msg += "; the jail does not run"
		}
	}
	return !off
}

// spoofable keeps a jail from banning on little evidence that anybody can forge: whoever sends one packet in a
// neighbour's name would have the neighbour banned. Unless the jail says that it means to, it gets the
// filter's own limit.
func (b *builder) spoofable(j *Jail) {
	switch {
	case j.safe == nil:
	case !j.Spoofable && (j.MaxRetry < j.safe.MaxRetry || j.Distinct == "" && j.safe.Distinct != ""):
		key, what := "maxretry", fmt.Sprintf("the limit stays %d", j.safe.MaxRetry)
		if j.safe.Distinct != "" {
			what += fmt.Sprintf(" different values of %q", j.safe.Distinct)
		}
		if j.MaxRetry >= j.safe.MaxRetry {
			key = "distinct"
		}
		b.problem(j, key, mistake("spoofable = true takes the risk", "what this filter counts can be forged, and little of it would ban whom the forger names: %s", what))
		j.MaxRetry, j.Distinct = max(j.MaxRetry, j.safe.MaxRetry), j.safe.Distinct
	case j.MaxRetry == 1:
		b.warn(j, "maxretry", mistake("ignoreip should name everybody whom this machine needs", "a single forged packet bans whom it names"))
	}
}

// warn says what is odd, and may be meant.
func (b *builder) warn(j *Jail, key string, err error) {
	b.warnings.add(j.value(key), join(j.label(), key), err)
}

// value is where a jail's key stands, for problems with it.
func (j *Jail) value(key string) *value {
	if j.at == nil {
		return &value{}
	}
	return j.at.at(key)
}

func (b *builder) problem(j *Jail, key string, err error) {
	label := j.label()
	if key != "" {
		label = join(label, key)
	}
	b.problems.add(j.value(key), label, err)
}

// filter tries the rules of a jail.
func (b *builder) filter(j *Jail) {
	_, err := matchers.NewProgram([]matchers.JailFilter{j.filter()})
	for _, joined := range leaves(err) {
		for _, one := range leaves(errors.Unwrap(joined)) { // less "jail NAME: "
			if placed := (*matchers.FileError)(nil); errors.As(one, &placed) {
				one = &Error{File: placed.Path, Line: placed.Line, Msg: placed.Err.Error()}
			}
			b.problems.add(j.value("filter"), j.label(), one)
		}
	}
}

// leaves are the errors that err was joined of; err itself if it was not, none if it is nil.
func leaves(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// filter is the jail as the matchers want it.
func (j *Jail) filter() matchers.JailFilter {
	return matchers.JailFilter{Jail: j.Name, Filter: *j.Loaded, Distinct: j.Distinct, Location: j.LogTimezone.Location}
}

// sinksOf looks at what a jail bans with.
func (b *builder) sinksOf(j *Jail) {
	if b.opts.DryRun {
		return
	}
	for _, name := range j.BanAction {
		s := b.cfg.Sinks[name]
		program := ""
		switch s.Type {
		case "ufw":
			program = "ufw"
			if err := sinks.CheckUFWPorts(j.Port); err != nil {
				b.problem(j, "port", mistake(`banaction = ["nftables"] takes more, and without port a ban covers all`, "sink %q: %v", name, err))
			}
		case "exec":
			program = s.Ban[0] // Load wants one
		case "denyfile":
			if len(s.Reload) > 0 {
				program = s.Reload[0]
			}
			if info, err := os.Stat(filepath.Dir(s.Path)); err != nil || !info.IsDir() {
				b.warn(j, "banaction", mistake("until it is, nobody is banned by this sink", "sink %q: the folder %s is not there", name, filepath.Dir(s.Path)))
			}
		}
		if program != "" && !installed(program) {
			b.warn(j, "banaction", mistake("until it is, nobody is banned by this sink", "sink %q: the program %s is not installed", name, program))
		}
	}
}

// installed reports whether a program is there, also where a service's PATH leads and that of whoever checks does not.
func installed(program string) bool {
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if _, err := exec.LookPath(dir + program); err == nil {
			return true
		}
	}
	return false
}

// tables makes sure that no two sinks have one table or file, or both ufw: each would remove the other's rules.
func (b *builder) tables() {
	owner := map[string]string{}
	for _, j := range b.jails {
		for _, name := range j.BanAction {
			s := b.cfg.Sinks[name]
			switch s.Type {
			case "exec":
				continue
			case "ufw":
				if other, taken := owner[""]; taken && other != name {
					b.problem(j, "banaction", mistake("one of them will do", "the sinks %q and %q are both ufw", other, name))
					return
				}
				owner[""] = name
				continue
			case "denyfile":
				if other, taken := owner[s.Path]; taken && other != name {
					b.problem(j, "banaction", mistake("give one of them another path", "the sinks %q and %q write the same file, %s", other, name, s.Path))
					return
				}
				owner[s.Path] = name
				continue
			}
			if other, taken := owner[s.Table]; taken && other != name {
				b.problem(j, "banaction", mistake("give one of them another table", "the sinks %q and %q have the same table, %q", other, name, s.Table))
				return
			}
			owner[s.Table] = name
		}
	}
}

// exists reports whether one of the paths and globs leads to a file.
func exists(paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		found, _ := filepath.Glob(path)
		return len(found) > 0
	})
}

// logs settles what a jail reads and reports whether there is anything: a log that is there, else the journal, else
// a log that is waited for.
func (b *builder) logs(j *Jail) bool {
	if b.opts.Stdin != nil && j.Guessed {
		j.LogPath, j.JournalMatch = nil, nil // a guess is for those who have nothing better
	}
	if len(j.JournalMatch) > 0 && !exists(j.LogPath) && b.hasJournal() {
		return b.readJournal(j)
	}
	if len(j.LogPath) == 0 && len(j.JournalMatch) > 0 {
		if b.opts.Once || b.opts.Stdin != nil { // nothing is waited for
			b.problem(j, "journalmatch", mistake("logpath names a file instead", noJournal))
			return b.opts.Stdin != nil
		}
		b.warn(j, "journalmatch", mistake("logpath names a file instead", noJournal+" (yet): it is waited for"))
		j.Waits = List{"journal"}
		return b.readJournal(j)
	}
	b.oddLogs(j)
	j.JournalMatch = nil // the same entries stand in the log
	if len(j.LogPath) == 0 {
		if b.opts.Stdin == nil {
			b.problem(j, "", mistake("logpath names its log", "it has nothing to read"))
		}
		return b.opts.Stdin != nil
	}
	if missing := j.missing(); len(missing) > 0 {
		if b.opts.Once {
			b.problem(j, "logpath", fmt.Errorf("%s not there", missing.are()))
			return true
		}
		b.warn(j, "logpath", fmt.Errorf("%s not there (yet): it is waited for", missing.are()))
		j.Waits = missing
	}
	return true
}

const noJournal = "this machine has no journal, or no journalctl"

// are is a list as the beginning of a sentence: "a is", "a, b are".
func (l List) are() string {
	if len(l) == 1 {
		return l[0] + " is"
	}
	return strings.Join(l, ", ") + " are"
}

// missing are the logs of a jail that are not there. Of paths that were guessed, one is as good as all.
func (j *Jail) missing() (missing List) {
	for _, path := range j.LogPath {
		if !exists([]string{path}) {
			missing = append(missing, path)
		}
	}
	if j.Guessed && len(missing) < len(j.LogPath) {
		return nil
	}
	return missing
}

// spared resolves a jail's ignoreip and trusted_proxies. What cannot be found out is a problem, but no reason to
// leave a machine unprotected.
func (b *builder) spared(j *Jail) {
	b.ignore[j.Name] = b.addrs(j, "ignoreip", j.IgnoreIP)
	b.trusted[j.Name] = b.addrs(j, "trusted_proxies", j.Trusted)
}

// addrs are the addresses and networks that the words of a key mean.
func (b *builder) addrs(j *Jail, key string, words []string) (all []netip.Prefix) {
	lookUp := b.opts.LookUp
	if lookUp == nil {
		lookUp = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, word := range words {
		prefix, name, err := parseIgnore(word)
		switch path, isFile := strings.CutPrefix(name, "file:"); {
		case err != nil:
		case isFile:
			var prefixes []netip.Prefix
			prefixes, err = ignoreFile(path)
			all = append(all, prefixes...)
		case name != "":
			var addrs []netip.Addr
			addrs, err = lookUp(ctx, name)
			for _, a := range addrs {
				all = append(all, host(a))
			}
		default:
			all = append(all, prefix)
		}
		if err != nil {
			b.problem(j, key, err)
		}
	}
	return all
}
