package configs

import (
	_ "embed"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/banpipe/banpipe/matchers"
)

//go:embed banpipe.toml
var example string

// Example is the configuration that ships as an example, with every section explained.
func Example() string { return example }

// Default is the configuration of a machine that has none: every shipped jail, disabled, and filters of
// its own beside where a configuration would be.
func Default() *Config {
	c, err := load("", &value{v: table{}})
	if err != nil {
		panic("configs: the built-in defaults: " + err.Error()) // a test loads them
	}
	return c
}

// Load reads the configuration in path and merges the *.toml of conf.d beside it over it, in the order of
// their names, key by key. It is strict: a mistake is an Errors that holds all of them. What a jail's
// filter has wrong is in that jail's Problem, since other jails can do without it.
func Load(path string) (*Config, error) {
	files, err := fragments(path)
	if err != nil {
		return nil, err
	}
	all, errs := &value{v: table{}, file: path}, Errors(nil)
	for _, file := range append([]string{path}, files...) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		over, err := parse(file, text)
		if err != nil {
			errs.add(all, "", err)
			continue
		}
		all = all.merge(over)
	}
	if err := errs.err(); err != nil {
		return nil, err
	}
	return load(path, all)
}

// fragments are the files of conf.d beside path, in the order in which they are merged. A folder that is
// not there is an empty one.
func fragments(path string) ([]string, error) {
	// os.ReadDir and not Glob: a folder whose name holds a bracket is a folder.
	dir := filepath.Join(filepath.Dir(path), "conf.d")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// Parse reads a configuration from its text, alone. name stands for its path in mistakes, and filters are
// looked for in filter.d beside it.
func Parse(name string, text []byte) (*Config, error) {
	v, err := parse(name, text)
	if err != nil {
		return nil, Errors{err.(*Error)}
	}
	return load(name, v)
}

// load makes a Config of what the files say.
func load(path string, v *value) (*Config, error) {
	c, d := builtIn(path), decoder{}
	d.table(v, "", c, "defaults", "jails", "sinks")
	c.check(v, &d.errs)
	section(&d, v, "sinks", func(name string, v *value) { c.sink(&d, name, v) })
	if v.has("defaults") {
		c.defaults(&d, v.at("defaults"))
	}
	section(&d, v, "jails", func(name string, v *value) { c.jail(&d, name, v) })
	for _, name := range ShippedFilters() {
		if c.Jails[name] == nil {
			c.jail(&d, name, &value{v: table{}})
			c.Jails[name].Enabled = false // [defaults] speaks of the jails that the files have
		}
	}
	if err := d.errs.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// section calls read for every table in the section of v.
func section(d *decoder, v *value, name string, read func(name string, v *value)) {
	if !v.has(name) {
		return
	}
	s := v.at(name)
	if s.table() == nil {
		d.errs.add(s, name, wants(s, "a table"))
		return
	}
	for _, key := range s.keys() {
		read(key, s.at(key))
	}
}

// defaults reads [defaults].
func (c *Config) defaults(d *decoder, v *value) {
	if v.table() == nil {
		d.errs.add(v, "defaults", wants(v, "a table"))
		return
	}
	c.Defaults.at = v
	d.table(v, "defaults", &c.Defaults)
	for _, key := range []string{"filter", "mode", "logpath", "journalmatch", "prefregex", "failregex", "datepattern"} {
		if v.has(key) {
			d.errs.add(v.at(key), "defaults", mistake("", "%s belongs in a jail", key))
		}
	}
	c.Defaults.check(v, &d.errs, c.Sinks)
}

// jail reads [jails.NAME] over the defaults and over what its filter says of jails.
func (c *Config) jail(d *decoder, name string, v *value) {
	j := c.Defaults
	j.Name, j.at = name, v
	c.Jails[name] = &j
	if v.table() == nil {
		d.errs.add(v, j.label(), wants(v, "a table"))
		return
	}
	if !validName(name) || name == "manual" {
		d.errs.add(v, j.label(), mistake("", "a jail's name is made of letters, digits, '-', '_' and '.', and is not \"manual\""))
	}
	// The words come first: they say which filter it is.
	words := j
	d.table(v, j.label(), &words)
	f, err := c.filterOf(&words)
	if err != nil {
		var errs Errors
		errs.add(v.at("filter"), j.label(), err)
		j.Problem = errs.err()
	}
	if f != nil && f.jail != nil {
		(&decoder{}).table(f.jail, "", &j) // ParseFilter has looked for mistakes in it
	}
	if f != nil && f.Spoofable {
		safe := j
		j.safe = &safe
	}
	j.Guessed = true
	if len(words.LogPath)+len(words.JournalMatch) > 0 {
		j.LogPath, j.JournalMatch, j.Guessed = nil, nil, false
	}
	(&decoder{}).table(v, "", &j) // again, now over the filter's words
	j.Filter = words.Filter
	if j.LogPath, err = expand(j.LogPath, c.Paths); err != nil {
		d.errs.add(v.at("logpath"), join(j.label(), "logpath"), err)
	}
	if j.CountsBans() && !v.has("counts") && (!j.Guessed || len(j.FailRegex) > 0) {
		j.Counts = countsLines // of the log that the jail names
	}
	j.check(v, &d.errs, c.Sinks)
	if j.CountsBans() {
		j.LogPath, j.JournalMatch = nil, nil
	}
	if v.has("ignoreip") {
		j.IgnoreIP = append(slices.Clone(c.Defaults.IgnoreIP), j.IgnoreIP...)
	}
	if v.has("trusted_proxies") {
		j.Trusted = append(slices.Clone(c.Defaults.Trusted), j.Trusted...)
	}
	if f != nil {
		j.Loaded = j.overlay(f.Filter)
	}
}

// filterOf finds the jail's filter and names it in j.
func (c *Config) filterOf(j *Jail) (*Filter, error) {
	if j.Filter == "" && len(j.FailRegex) > 0 {
		return &Filter{Filter: matchers.Filter{Name: j.Name}}, nil
	}
	if j.Filter == "" {
		j.Filter = j.Name
	}
	if j.Mode != "" && !strings.Contains(j.Filter, "[") {
		j.Filter += "[mode=" + j.Mode + "]"
	}
	name := j.Filter
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(c.Path), name)
	}
	f, err := LoadFilter(name, c.FilterDirs)
	if err != nil && j.CountsBans() && name == j.Name {
		return &Filter{Filter: matchers.Filter{Name: j.Name}}, nil // it reads nothing
	}
	return f, err
}
