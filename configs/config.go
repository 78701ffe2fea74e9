package configs

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
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
