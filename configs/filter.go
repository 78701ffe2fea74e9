package configs

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/banpipe/banpipe/matchers"
)

//go:embed filter.d/*.toml
var shipped embed.FS

// A Filter is what a filter file holds: the rules, and beside them what a jail of this filter starts from
// and the lines that prove it.
type Filter struct {
	matchers.Filter
	Modes []string // what "name[mode=…]" may name besides "normal"

	// Spoofable says that anybody can cause what the filter counts in another's name, since no
	// connection is behind it: a jail must not ban on less than the filter's own limit by accident.
	Spoofable bool
	Samples   []Sample // those of every mode

	jail *value      // [jail]; nil if there is none
	form *filterFile // the rules of every mode; nil if it does not come from TOML
}

// ShippedFilters names the filters that are part of the program, in alphabetical order.
func ShippedFilters() []string {
	files, _ := fs.Glob(shipped, "filter.d/*.toml")
	for i, f := range files {
		files[i] = strings.TrimSuffix(path.Base(f), ".toml")
	}
	return files
}

// LoadFilter reads a filter: "sshd", "sshd[mode=aggressive]", or a path with a slash in it. A name is looked
// up as NAME.toml, then NAME.conf (fail2ban's form) in each of dirs, then among the shipped filters. A
// mistake in the file is an Errors.
func LoadFilter(name string, dirs []string) (*Filter, error) {
	base, params, err := matchers.ParseSpec(name)
	if err != nil {
		return nil, err
	}
	file, text, err := findFilter(base, dirs)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(file, ".conf") {
		return readConf(file, params)
	}
	mode, err := filterMode(base, params)
	if err != nil {
		return nil, err
	}
	return ParseFilter(strings.TrimSuffix(path.Base(base), ".toml"), file, text, mode)
}

// findFilter returns the path and, for a TOML filter, the text. A shipped filter has no path.
func findFilter(name string, dirs []string) (file string, text []byte, err error) {
	if strings.Contains(name, "/") {
		text, err = os.ReadFile(name)
		if err == nil && filepath.Ext(name) != ".toml" && filepath.Ext(name) != ".conf" {
			err = mistake("", "filter %q: a filter's file ends in .toml or .conf", name)
		}
		return name, text, err
	}
	for _, dir := range dirs {
		for _, ext := range []string{".toml", ".conf"} {
			file = filepath.Join(dir, name+ext)
			text, err = os.ReadFile(file)
			if !errors.Is(err, fs.ErrNotExist) {
				return file, text, err
			}
		}
	}
	if text, err = shipped.ReadFile("filter.d/" + name + ".toml"); err == nil {
		return "", text, nil
	}
	where := "among the shipped ones"
	if len(dirs) > 0 {
		where = "in " + strings.Join(dirs, ", ") + " or " + where
	}
	return "", nil, mistake(didYouMean(name, ShippedFilters()), "filter %q: there is none %s", name, where)
}

// readConf reads fail2ban's form. Such a filter says nothing of jails and has no samples.
func readConf(file string, params map[string]string) (*Filter, error) {
	f, err := matchers.LoadFilter(file, params)
	if wrong := (*matchers.FileError)(nil); errors.As(err, &wrong) {
		return nil, Errors{{File: wrong.Path, Line: wrong.Line, Msg: wrong.Err.Error()}}
	} else if err != nil {
		return nil, err
	}
	return &Filter{Filter: f}, nil
}

// filterMode is the one parameter that a TOML filter has.
func filterMode(name string, params map[string]string) (string, error) {
	for key := range params {
		if key != "mode" {
			return "", mistake("a TOML filter has one parameter, mode", "filter %q: unknown parameter %q", name, key)
		}
	}
	return params["mode"], nil
}

// filterFile is the form of a filter's file.
type filterFile struct {
	Description  string              `toml:"description"`
	Shape        string              `toml:"shape"`
	Format       string              `toml:"format"`
	Text         List                `toml:"text"`
	DatePattern  Lines               `toml:"datepattern"`
	PrefRegex    string              `toml:"prefregex"`
	FailRegex    Rules               `toml:"failregex"`
	IgnoreRegex  Rules               `toml:"ignoreregex"`
	MaxLines     Count               `toml:"maxlines"`
	JournalMatch Lines               `toml:"journalmatch"`
	UseDNS       string              `toml:"usedns"`
	Spoofable    bool                `toml:"spoofable"`
	Mode         map[string]modeForm `toml:"mode"`
	Jail         *value              `toml:"jail"`
	Sample       []Sample            `toml:"sample"`
}

// A modeForm is [mode.NAME]: rules that come on top of the filter's own when NAME is asked for.
type modeForm struct {
	Modes     List  `toml:"modes"` // the rules of these modes too
	FailRegex Rules `toml:"failregex"`
}

// ParseFilter reads the text of a TOML filter. file is named in mistakes and may be ""; mode picks one of
// the filter's modes, "" and "normal" none.
func ParseFilter(name, file string, text []byte, mode string) (*Filter, error) {
	place := file
	if place == "" {
		place = "filter.d/" + name + ".toml"
	}
	v, err := parse(place, text)
	if err != nil {
		return nil, Errors{err.(*Error)}
	}
	d := decoder{}
	form := filterFile{}
	d.table(v, "", &form)
	f := form.check(&d, v)
	if rules, err := form.rules(mode, 0); err != nil {
		d.errs.add(v.at("mode"), "", err)
	} else {
		f.FailRegex = rules
	}
	if err := d.errs.err(); err != nil {
		return nil, err
	}
	f.Name, f.Path = name, file
	return f, nil
}

// check looks at what types cannot say and makes the Filter, its rules excepted.
func (form *filterFile) check(d *decoder, v *value) *Filter {
	if !slices.Contains([]string{"", "json", "json|plain", "ufw"}, form.Format) {
		d.errs.add(v.at("format"), "format", mistake("leave it out for plain lines", "%q is not json, json|plain or ufw", form.Format))
	} else if form.Format != "" && len(form.Text) == 0 {
		d.errs.add(v.at("format"), "", mistake(`name them in order: text = ["level", "event", "request.remote_ip"]`, "format %s needs the fields to match", form.Format))
	}
	if len(form.FailRegex) == 0 {
		d.errs.add(v.at("failregex"), "failregex", errEmpty)
	}
	if j := form.Jail; j != nil {
		scratch := defaultJail()
		d.table(j, "jail", &scratch)
		for _, key := range []string{"enabled", "filter", "mode", "failregex", "ignoreregex", "prefregex", "datepattern"} {
			if j.has(key) {
				d.errs.add(j.at(key), "jail", mistake("", "%s does not belong in a filter", key))
			}
		}
	}
	for i := range form.Sample {
		s := &form.Sample[i]
		s.At = v.at("sample").v.([]*value)[i].line
		if s.Line == "" {
			d.errs.add(v.at("sample").v.([]*value)[i], "sample", errors.New("has no line"))
		}
	}
	var datepattern []string
	for _, p := range form.DatePattern {
		if p != "" {
			datepattern = append(datepattern, p)
		}
	}
	return &Filter{
		Filter: matchers.Filter{
			Description: form.Description, Shape: form.Shape, Format: form.Format, Text: form.Text,
			PrefRegex: form.PrefRegex, IgnoreRegex: form.IgnoreRegex, DatePattern: datepattern,
			MaxLines: int(form.MaxLines), JournalMatch: form.JournalMatch, UseDNS: form.UseDNS,
		},
		Modes:     slices.Sorted(slices.Values(keysOf(form.Mode))),
		Spoofable: form.Spoofable,
		Samples:   form.Sample,
		jail:      form.Jail,
		form:      form,
	}
}

// rules are the filter's own and those of the mode and of the modes that it takes in.
func (form *filterFile) rules(mode string, depth int) (Rules, error) {
	rules := slices.Clone(form.FailRegex)
	if mode == "" || mode == "normal" {
		return rules, nil
	}
	own, ok := form.Mode[mode]
	if !ok {
		modes := append(keysOf(form.Mode), "normal")
		slices.Sort(modes)
		return nil, mistake(didYouMean(mode, modes), "unknown mode %q: it is one of %s", mode, strings.Join(modes, ", "))
	}
	for _, inner := range own.Modes {
		if depth == 8 {
			return nil, mistake("", "mode %q takes itself in", mode)
		}
		more, err := form.rules(inner, depth+1)
		if err != nil {
			return nil, err
		}
		rules = append(rules, more[len(form.FailRegex):]...)
	}
	return append(rules, own.FailRegex...), nil
}
