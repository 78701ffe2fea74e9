package matchers

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The sections of a filter file.
const (
	definition = "Definition"
	initial    = "Init"
	includes   = "INCLUDES"
)

// Limits of what one filter may pull in.
const (
	maxConfFile  = 1 << 20 // bytes
	maxConfFiles = 100     // files, includes and .local ones counted
	maxLines     = 1000    // lines that a rule looks at
)

// LoadFilter reads a filter file of fail2ban, filter.d/NAME.conf, with what it includes, its .local
// files, its interpolations and tags resolved. params are what a jail gives in brackets: see ParseSpec;
// they win over the file. fail2ban itself adds one: logtype is "journal" for a jail that reads the
// journal, "file" otherwise. Errors carry file and line.
func LoadFilter(path string, params map[string]string) (Filter, error) {
	c, err := readConf(path)
	if err != nil {
		return Filter{}, err
	}
	if c.sections[definition] == nil {
		return Filter{}, &FileError{path, 0, errors.New("no [Definition]: it is no filter")}
	}
	given := map[string]string{}
	for name, value := range params {
		given[strings.ToLower(name)] = value
	}
	values, err := c.values(given)
	if err != nil {
		var placed *FileError
		if !errors.As(err, &placed) {
			err = &FileError{path, 0, err}
		}
		return Filter{}, err
	}
	return c.filter(values, given)
}

func filterOptions() []string {
	return []string{"usedns", "prefregex", "ignoreregex", "failregex", "maxlines", "datepattern", "journalmatch"}
}

// values are the options of the filter with everything in them replaced.
func (c *conf) values(params map[string]string) (map[string]string, error) {
	values := map[string]string{}
	for _, name := range filterOptions() {
		text, found, err := c.option(definition, name, params)
		if err != nil {
			return nil, err
		}
		if found {
			values[name] = text
		}
	}
	maps.Copy(values, params)
	for name := range c.sections[initial] {
		text, err := c.get(initial, name, nil)
		if err != nil {
			return nil, err
		}
		values["known/"+name] = text
		if _, set := params[name]; !set {
			values[name] = text
		}
	}
	return values, substituteTags(values, c.tags(params))
}

// filter makes a Filter of the options.
func (c *conf) filter(values, params map[string]string) (Filter, error) {
	base := filepath.Base(c.path)
	f := Filter{
		Name:         strings.TrimSuffix(base, filepath.Ext(base)),
		Path:         c.path,
		PrefRegex:    values["prefregex"],
		FailRegex:    c.rules("failregex", values, params),
		IgnoreRegex:  c.rules("ignoreregex", values, params),
		DatePattern:  textLines(values["datepattern"]),
		JournalMatch: textLines(values["journalmatch"]),
		UseDNS:       values["usedns"],
	}
	if s := strings.TrimSpace(values["maxlines"]); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxLines {
			v, _ := c.raw(definition, "maxlines", nil)
			return Filter{}, &FileError{c.path, v.line, fmt.Errorf("maxlines = %q is no number from 1 to %d", s, maxLines)}
		}
		f.MaxLines = n
	}
	return f, nil
}

func textLines(value string) []string {
	var lines []string
	for line := range strings.SplitSeq(value, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// rules splits an option into its regexes, one a line, and says where in the file each comes from: a line
// of the file may have become several, or none, by what was replaced in it.
func (c *conf) rules(option string, values, params map[string]string) []Rule {
	at, _ := c.raw(definition, option, params)
	var places []int
	for i, line := range strings.Split(at.text, "\n") {
		one := maps.Clone(values)
		text, err := c.interpolate(definition, line, params, 1)
		for before := "\x00"; err == nil && text != before; { // <mdre-<mode>> takes two turns
			before, one[option] = text, text
			text, err = substituteOne(option, one, map[string]int{}, c.tags(params))
		}
		if err != nil || at.path != c.path {
			places = nil
			break
		}
		for range strings.Count(text, "\n") + 1 {
			places = append(places, at.lines[i])
		}
	}
	var rules []Rule
	lines := strings.Split(values[option], "\n")
	for i, regex := range lines {
		if regex == "" {
			continue
		}
		r := Rule{Regex: regex}
		switch {
		case len(places) == len(lines):
			r.Line = places[i]
		case at.path == c.path:
			r.Line = at.line
		}
		rules = append(rules, r)
	}
	return rules
}

// tags looks a tag up for substituteTags.
func (c *conf) tags(params map[string]string) func(string) (string, bool, error) {
	return func(name string) (string, bool, error) { return c.tagValue(name, params) }
}

// readConf reads path, its .d/*.conf, .local and .d/*.local, each after what it includes before and
// before what it includes after.
func readConf(path string) (*conf, error) {
	base := strings.TrimSuffix(path, filepath.Ext(path))
	files := []string{path}
	for _, pattern := range []string{base + ".d/*.conf", base + ".local", base + ".d/*.local"} {
		more, err := filepath.Glob(pattern) // sorted
		if err != nil {
			return nil, &FileError{path, 0, err}
		}
		files = append(files, more...)
	}
	r := confReader{files: map[string]iniFile{}}
	order, err := r.order(files, nil)
	if err != nil {
		return nil, err
	}
	c := &conf{path: path, sections: map[string]section{iniDefault: {}}, known: map[string]section{}}
	for _, f := range order {
		c.merge(r.files[f])
	}
	return c, nil
}

type confReader struct {
	files map[string]iniFile // by path; nil for one that is not there
	reads int
}

// order lists files with their includes, in the order in which they are merged. Only the first of files
// must exist, unless it is itself included.
func (r *confReader) order(files, within []string) ([]string, error) {
	var order []string
	for i, path := range files {
		if r.reads++; r.reads > maxConfFiles {
			return nil, &FileError{path, 0, fmt.Errorf("more than %d files are included", maxConfFiles)}
		}
		f, err := r.read(path)
		if errors.Is(err, fs.ErrNotExist) && (i > 0 || len(within) > 0) {
			continue
		}
		if err != nil {
			return nil, err
		}
		before, err := r.included(f, path, "before", within)
		if err != nil {
			return nil, err
		}
		after, err := r.included(f, path, "after", within)
		if err != nil {
			return nil, err
		}
		order = append(append(append(order, before...), path), after...)
	}
	return order, nil
}

// included lists what a file includes; each included file brings its .local along.
func (r *confReader) included(f iniFile, path, option string, within []string) ([]string, error) {
	c := conf{path: path, sections: f}
	value, found, err := c.option(includes, option, nil)
	if err != nil || !found {
		return nil, err
	}
	var order []string
	for _, name := range textLines(value) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		if slices.Contains(within, name) {
			continue
		}
		local := strings.TrimSuffix(name, filepath.Ext(name)) + ".local"
		files := []string{name, local}
		if name == local {
			files = files[:1]
		}
		more, err := r.order(files, append(slices.Clone(within), path))
		if err != nil {
			return nil, err
		}
		order = append(order, more...)
	}
	return order, nil
}

func (r *confReader) read(path string) (iniFile, error) {
	if f, known := r.files[path]; known {
		return f, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfFile+1))
	if err != nil {
		return nil, &FileError{path, 0, err}
	}
	if len(text) > maxConfFile {
		return nil, &FileError{path, 0, fmt.Errorf("more than %d bytes", maxConfFile)}
	}
	f, err := parseINI(path, text)
	if err != nil {
		return nil, err
	}
	r.files[path] = f
	return f, nil
}

var conditional = regexp.MustCompile(`^(\w+)(\?.+)$`)

// merge adds what a later file says. [Init?family=inet6] sets options of [Init] named x?family=inet6.
func (c *conf) merge(f iniFile) {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		options := f[name]
		if m := conditional.FindStringSubmatch(name); m != nil {
			renamed := section{}
			for option, value := range options {
				renamed[option+m[2]] = value
			}
			name, options = m[1], renamed
		}
		old := c.sections[name]
		if old == nil {
			c.sections[name] = maps.Clone(options)
			continue
		}
		if c.known[name] == nil {
			c.known[name] = section{}
		}
		for option, value := range options {
			if before, set := old[option]; set {
				c.known[name][option] = before
			}
			old[option] = value
		}
	}
}
