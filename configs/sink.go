package configs

import (
	"fmt"
	"path/filepath"
	"reflect"
	"time"

	"github.com/banpipe/banpipe/sinks"
)

// A Sink is a back end that bans, under the name that banaction uses.
type Sink struct {
	Type         string `toml:"type"`          // nftables, ufw, exec or denyfile; "" is the sink's name
	Table        string `toml:"table"`         // nftables: the table, of the family inet
	Hook         string `toml:"hook"`          // nftables: prerouting, input or forward
	Priority     int    `toml:"priority"`      // nftables: the chain's; -300 is before conntrack
	KeepOutgoing bool   `toml:"keep_outgoing"` // nftables: replies to connections opened from here pass
	Policy       string `toml:"policy"`        // nftables: drop or reject

	// Of the others only: their keys are the same words, and unknown in the table of an nftables sink.
	MaxRules int      `toml:"-"` // max_rules: rules of ours (ufw) or bans (exec, denyfile) at most
	Timeout  Duration `toml:"-"` // of one command
	Kill     string   `toml:"-"` // ufw: what ends the connections of the banned: none, ss or conntrack
	Ban      []string `toml:"-"` // exec: argv, as sinks.Exec has it
	Unban    []string `toml:"-"` // exec: argv; none if the back end ends bans by itself
	Path     string   `toml:"-"` // denyfile: the file
	Lines    string   `toml:"-"` // denyfile: what it is made of, deny or map
	Reload   []string `toml:"-"` // denyfile: argv; none if the server looks by itself
	Every    Duration `toml:"-"` // reload_every; denyfile: between two of them, at least
}

func nftablesSink() Sink {
	return Sink{Type: "nftables", Table: "banpipe", Hook: "prerouting", Priority: -300, Policy: "drop"}
}

func ufwSink() Sink {
	return Sink{Type: "ufw", MaxRules: 500, Timeout: Duration(30 * time.Second), Kill: "none"}
}

// programs reads the table of a sink that runs programs, ufw's if s has a Kill.
func (s *Sink) programs(d *decoder, v *value, label string) {
	type common struct {
		Type     string   `toml:"type"`
		MaxRules Count    `toml:"max_rules"`
		Timeout  Duration `toml:"timeout"`
	}
	both := common{MaxRules: Count(s.MaxRules), Timeout: s.Timeout}
	if s.Kill != "" {
		d.table(v, label, &both, "kill")
		if v.has("kill") {
			d.value(v.at("kill"), join(label, "kill"), reflect.ValueOf(&s.Kill).Elem())
		}
		oneOf(v, &d.errs, label, "kill", s.Kill, "none", "ss", "conntrack")
	} else {
		d.table(v, label, &both, "ban", "unban")
		s.Ban, s.Unban = argv(d, v, label, "ban", sinks.CheckArgv), argv(d, v, label, "unban", sinks.CheckArgv)
		if s.Ban == nil && !v.has("ban") {
			d.errs.add(v, label, mistake(`ban = ["/usr/local/bin/block", "{addr}"]`, "it has no ban, the program that bans"))
		}
	}
	ends(d, v, label, "timeout", both.Timeout)
	s.MaxRules, s.Timeout = int(both.MaxRules), both.Timeout
}

// denyFile reads the table of a sink that writes a file for a web server.
func (s *Sink) denyFile(d *decoder, v *value, label string) {
	keys := struct {
		Type     string   `toml:"type"`
		Path     string   `toml:"path"`
		Lines    string   `toml:"lines"`
		Every    Duration `toml:"reload_every"`
		MaxRules Count    `toml:"max_rules"`
		Timeout  Duration `toml:"timeout"`
	}{Lines: s.Lines, Every: s.Every, MaxRules: Count(s.MaxRules), Timeout: s.Timeout}
	d.table(v, label, &keys, "reload")
	s.Reload = argv(d, v, label, "reload", sinks.CheckCommand)
	s.Path, s.Lines, s.Every, s.MaxRules, s.Timeout = keys.Path, keys.Lines, keys.Every, int(keys.MaxRules), keys.Timeout
	if !filepath.IsAbs(s.Path) {
		d.errs.add(v.at("path"), label, mistake(`path = "/etc/nginx/banpipe.conf"`, "it has no path of a file to write, from the root on"))
	}
	oneOf(v, &d.errs, label, "lines", s.Lines, "deny", "map")
	ends(d, v, label, "timeout", s.Timeout)
	ends(d, v, label, "reload_every", s.Every)
}

// ends says that a time that must is none.
func ends(d *decoder, v *value, label, key string, got Duration) {
	if got <= 0 {
		d.errs.add(v.at(key), join(label, key), mistake(durationHint, "want a time that ends, and is not 0"))
	}
}

// argv reads a program and its arguments, and has check look at them.
func argv(d *decoder, v *value, label, key string, check func([]string) error) []string {
	if !v.has(key) {
		return nil
	}
	var words Lines
	err := words.set(v.at(key))
	if err == nil {
		err = check(words)
	}
	if err != nil {
		d.errs.add(v.at(key), join(label, key), err)
	}
	return words
}

// sink reads [sinks.NAME]: the defaults of its type, or what stands there already, and v over them.
func (c *Config) sink(d *decoder, name string, v *value) {
	label := fmt.Sprintf("sink %q", name)
	if v.table() == nil {
		d.errs.add(v, label, wants(v, "a table"))
		return
	}
	kind, _ := v.at("type").v.(string)
	if kind == "" {
		kind = name // [sinks.nftables] need not say it twice
	}
	s := nftablesSink()
	switch kind {
	case "nftables":
		d.table(v, label, &s)
		oneOf(v, &d.errs, label, "hook", s.Hook, "prerouting", "input", "forward")
		oneOf(v, &d.errs, label, "policy", s.Policy, "drop", "reject")
		if s.Table == "" {
			d.errs.add(v.at("table"), label+": table", errEmpty)
		}
	case "ufw":
		s = ufwSink()
		s.programs(d, v, label)
	case "exec":
		s = Sink{MaxRules: 10_000, Timeout: Duration(10 * time.Second)}
		s.programs(d, v, label)
	case "denyfile":
		s = Sink{MaxRules: 10_000, Timeout: Duration(10 * time.Second), Lines: "deny", Every: Duration(5 * time.Second)}
		s.denyFile(d, v, label)
	default:
		d.errs.add(v.at("type"), label+": type", choice(kind, []string{"nftables", "ufw", "exec", "denyfile"}))
	}
	s.Type = kind
	c.Sinks[name] = s
}
