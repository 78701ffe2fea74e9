package configs

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/banpipe/banpipe/sinks"
)

// A Config is a configuration with every default filled in. It comes from Load, Parse or Default and may
// be changed before Build; nothing in it is shared with another Config.
type Config struct {
	Path       string   `toml:"-"` // the main file; "" if there is none
	FilterDirs []string `toml:"-"` // where filters are looked for before the shipped ones

	StateDir string `toml:"state_dir"` // bans, history, cursors
	Socket   string `toml:"socket"`    // control; "" for none

	History Duration `toml:"history"` // how long past bans are remembered

	Log     Log             `toml:"log"`
	Metrics Metrics         `toml:"metrics"`
	Paths   map[string]List `toml:"paths"` // what %(name)s stands for in logpath

	Sinks    map[string]Sink  `toml:"-"` // by the names that banaction uses
	Defaults Jail             `toml:"-"` // what every jail inherits
	Jails    map[string]*Jail `toml:"-"` // those of the files, and every shipped one, disabled
}

// Log says where the program's own log goes.
type Log struct {
	Level  string `toml:"level"`  // debug, info, warn or error
	Format string `toml:"format"` // console, json, or fail2ban: the lines of fail2ban.log
	File   string `toml:"file"`   // "" is standard error
}

// Metrics says where Prometheus may scrape.
type Metrics struct {
	Listen string `toml:"listen"` // host:port; "" for nowhere
}

// A Sink is a back end that bans, under the name that banaction uses.
type Sink struct {
	Type         string `toml:"type"`          // nftables, ufw or exec; "" is the sink's name
	Table        string `toml:"table"`         // nftables: the table, of the family inet
	Hook         string `toml:"hook"`          // nftables: prerouting, input or forward
	Priority     int    `toml:"priority"`      // nftables: the chain's; -300 is before conntrack
	KeepOutgoing bool   `toml:"keep_outgoing"` // nftables: replies to connections opened from here pass
	Policy       string `toml:"policy"`        // nftables: drop or reject

	// Of ufw and exec only: their keys are the same words, and unknown in the table of an nftables sink.
	MaxRules int      `toml:"-"` // max_rules: rules of ours (ufw) or bans (exec) at most
	Timeout  Duration `toml:"-"` // of one command
	Kill     string   `toml:"-"` // ufw: what ends the connections of the banned: none, ss or conntrack
	Ban      []string `toml:"-"` // exec: argv, as sinks.Exec has it
	Unban    []string `toml:"-"` // exec: argv; none if the back end ends bans by itself
}

// DefaultPath is where the program looks for its configuration.
const DefaultPath = "/etc/banpipe/banpipe.toml"

// builtIn is a Config before any file has been read: no jail, every default.
func builtIn(path string) *Config {
	dir := filepath.Dir(DefaultPath)
	if path != "" {
		dir = filepath.Dir(path)
	}
	return &Config{
		Path:       path,
		FilterDirs: []string{filepath.Join(dir, "filter.d")},
		StateDir:   "/var/lib/banpipe",
		Socket:     "/run/banpipe/banpipe.sock",
		History:    Duration(90 * 24 * time.Hour),
		Log:        Log{Level: "info", Format: "console"},
		Paths: map[string]List{
			"nginx_access_log": {"/var/log/nginx/*access.log"},
			"nginx_error_log":  {"/var/log/nginx/*error.log"},
			// Debian and Ubuntu; Fedora, RHEL and openSUSE; Alpine. sshd writes to one of them only.
			"syslog_authpriv": {"/var/log/auth.log", "/var/log/secure", "/var/log/messages"},
			"sshd_log":        {"%(syslog_authpriv)s"},
			// Where rsyslog has UFW's rule, or the kernel's log, or the one log for all (Fedora, Alpine). The same line in
			// two of them counts once: the jail counts different ports.
			"ufw_log": {"/var/log/ufw.log", "/var/log/kern.log", "/var/log/messages"},
			// Debian and Ubuntu; Fedora and RHEL; Alpine. Where mail goes to the one log for all, "messages".
			"mail_log":          {"/var/log/mail.log", "/var/log/maillog", "/var/log/messages"},
			"apache_access_log": {"/var/log/apache2/*access.log", "/var/log/apache2/*access_log", "/var/log/httpd/*access_log"},
			"apache_error_log":  {"/var/log/apache2/*error.log", "/var/log/apache2/*error_log", "/var/log/httpd/*error_log"},
		},
		Sinks:    map[string]Sink{"nftables": nftablesSink(), "ufw": ufwSink()},
		Defaults: defaultJail(),
		Jails:    map[string]*Jail{},
	}
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
		s.Ban, s.Unban = argv(d, v, label, "ban"), argv(d, v, label, "unban")
		if s.Ban == nil && !v.has("ban") {
			d.errs.add(v, label, mistake(`ban = ["/usr/local/bin/block", "{addr}"]`, "it has no ban, the program that bans"))
		}
	}
	if both.Timeout <= 0 {
		d.errs.add(v.at("timeout"), join(label, "timeout"), mistake(durationHint, "want a time that ends, and is not 0"))
	}
	s.MaxRules, s.Timeout = int(both.MaxRules), both.Timeout
}

// argv reads a program and its arguments.
func argv(d *decoder, v *value, label, key string) []string {
	if !v.has(key) {
		return nil
	}
	var words Lines
	err := words.set(v.at(key))
	if err == nil {
		err = sinks.CheckArgv(words)
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
	default:
		d.errs.add(v.at("type"), label+": type", choice(kind, []string{"nftables", "ufw", "exec"}))
	}
	s.Type = kind
	c.Sinks[name] = s
}

// check looks at what types cannot say. v is the table that c was read from.
func (c *Config) check(v *value, errs *Errors) {
	oneOf(v.at("log"), errs, "log", "level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(v.at("log"), errs, "log", "format", c.Log.Format, "console", "json", "fail2ban")
	for _, path := range [][2]string{{"state_dir", c.StateDir}, {"socket", c.Socket}} {
		if path[1] != "" && !filepath.IsAbs(path[1]) {
			errs.add(v.at(path[0]), path[0], mistake("the service has no folder of its own that it could start from", "%q is not an absolute path", path[1]))
		}
	}
	if c.History <= 0 {
		errs.add(v.at("history"), "history", mistake(durationHint, "want a time that ends, and is not 0"))
	}
	if c.StateDir == "" {
		errs.add(v.at("state_dir"), "state_dir", errEmpty)
	}
}

// oneOf says that the key of the table v is none of the words. A key with the wrong type has been
// complained about already, and holds its default.
func oneOf(v *value, errs *Errors, label, key, got string, words ...string) {
	if !slices.Contains(words, got) {
		errs.add(v.at(key), label+": "+key, choice(got, words))
	}
}

func choice(got string, words []string) error {
	last := len(words) - 1
	return mistake(didYouMean(got, words), "%q is not %s or %s", got, strings.Join(words[:last], ", "), words[last])
}

func keysOf[V any](m map[string]V) []string { return slices.Collect(maps.Keys(m)) }
