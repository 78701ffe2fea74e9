package matchers

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/banpipe/banpipe/matchers/dfa"
	"github.com/banpipe/banpipe/pipeline"
)

// A JailFilter is a jail and the filter that decides for it.
type JailFilter struct {
	Jail     string
	Filter   Filter
	Distinct string         // the group whose text becomes Record.Key: "port", "user" or any <F-NAME>; "" is none
	Location *time.Location // the zone of dates that name none (logtimezone); nil is the local one
}

// A Program is all rules of all jails that look at one source, compiled. It is immutable and may be shared
// by sources and by goroutines.
type Program struct {
	jails    []*jail
	views    []*view
	readings []*reading // of the views
	regexes  int        // how many there are
}

// A view is what jails with the same idea of dates, and of how a line is taken apart, see of it.
type view struct {
	key      string
	index    int // in Program.views
	dates    *Dates
	dating   int       // the first view with the same datepattern: it finds the same dates
	form     string    // what makes the text and of which fields: "json [ip]"
	json     *jsonText // nil for plain lines
	mixed    bool      // lines that are no JSON are plain ones
	pattern  bool      // the filter has a datepattern: of the whole line
	ufw      *ufwText  // nil for all others
	jails    []*jail
	buffered []*jail // those with maxlines: Session's
}

// A jail is a compiled JailFilter.
type jail struct {
	index    int
	view     *view
	name     string
	filter   *Filter
	pref     *regex // nil if there is no prefregex
	fail     []*rule
	ignore   []*rule
	distinct string
}

// A rule is a compiled Rule.
type rule struct {
	*regex
	fail   bool // a failregex, not an ignoreregex
	index  int  // in its list
	line   int  // in the filter's file
	weight int
}

// NewProgram compiles the filters of jails. The error names every rule that cannot be run: its file and
// line, its number, and what in it is wrong.
func NewProgram(jails []JailFilter) (*Program, error) {
	p := &Program{}
	var errs []error
	for i, jf := range jails {
		j, err := compileJail(i, &jf)
		if err != nil {
			errs = append(errs, fmt.Errorf("jail %s: %w", jf.Jail, err))
			continue
		}
		v, err := p.viewOf(&jf)
		if err != nil {
			errs = append(errs, fmt.Errorf("jail %s: %w", jf.Jail, placed(&jf.Filter, 0, "", err)))
			continue
		}
		if j.filter.MaxLines > 1 {
			v.buffered = append(v.buffered, j)
		} else {
			v.jails = append(v.jails, j)
		}
		j.view = v
		p.jails = append(p.jails, j)
		p.number(j)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	p.readings = readingsOf(p.views, false)
	return p, nil
}

// number prepares the regexes of a jail for what a Matcher keeps for each.
func (p *Program) number(j *jail) {
	for r := range j.regexes {
		r.number, r.jail = p.regexes, j
		p.regexes++
		r.captures = sync.OnceValue(func() *dfa.Captures {
			c, err := dfa.CompileCaptures(r.fast.String(), j.wanted(r))
			if err != nil {
				return nil
			}
			return c
		})
	}
}

// text is what the view sees of a record whose date was found; false if the line is none of its kind. json says that the
// date is a field's.
func (v *view) text(r *pipeline.Record, date pipeline.Span) (line dfa.Line, json, ok bool) {
	if v.json == nil && v.ufw == nil || v.mixed && !looksJSON(r) {
		return plainText(r, date), false, true
	}
	var made []byte
	line, ok = v.fields(r, date, &made)
	return line, v.dated(), ok
}

// jsonAt is where a line's JSON begins: at its start or, in an entry of the journal, behind "host ident[pid]: ". Any other words before
// it may be followed by an object that a remote party wrote.
func jsonAt(r *pipeline.Record) int {
	if !r.Dated {
		return 0
	}
	at := bytes.Index(r.Line, []byte("]: {"))
	if at < 0 || bytes.Contains(r.Line[:at], []byte(": ")) {
		return 0
	}
	return at + len("]: ")
}

// viewOf returns the view of jails that see lines as jf does.
func (p *Program) viewOf(jf *JailFilter) (*view, error) {
	zone := time.Local
	if jf.Location != nil {
		zone = jf.Location
	}
	f := &jf.Filter
	key := fmt.Sprintf("%q %s %s %q", f.DatePattern, zone, f.Format, f.Text)
	if i := slices.IndexFunc(p.views, func(v *view) bool { return v.key == key }); i >= 0 {
		return p.views[i], nil
	}
	dates, err := NewDates(f.DatePattern, DateOptions{Location: zone})
	if err != nil {
		return nil, err
	}
	v := &view{key: key, index: len(p.views), dates: dates, pattern: len(f.DatePattern) > 0, dating: len(p.views)}
	if i := slices.IndexFunc(p.views, func(w *view) bool { return slices.Equal(w.dates.names, dates.names) }); i >= 0 {
		v.dating = i
	}
	switch {
	case f.Format != "" && f.MaxLines > 1:
		return nil, fmt.Errorf("maxlines does not go with format %s", f.Format)
	case (f.Format == "json" || f.Format == "json|plain") && len(f.Text) > 0 && len(f.Text) <= maxJSONFields:
		v.form, v.json, v.mixed = fmt.Sprintf("json %q", f.Text), newJSONText(f.Text), f.Format == "json|plain"
	case f.Format == "json" || f.Format == "json|plain":
		return nil, fmt.Errorf("format %s needs the names of 1 to %d fields", f.Format, maxJSONFields)
	case f.Format == "ufw":
		v.form = fmt.Sprintf("ufw %q", f.Text)
		if v.ufw, err = newUFWText(f.Text); err != nil {
			return nil, err
		}
	case f.Format != "":
		return nil, fmt.Errorf("unknown format %q", f.Format)
	}
	p.views = append(p.views, v)
	return v, nil
}

// finder is the view's among those that were made for the views before: the one that has found its dates, if
// that reads them as of its zone, too.
func (v *view) finder(p *Program, made []*Finder) *Finder {
	if v.dating < len(made) && p.views[v.dating].dates.loc == v.dates.loc {
		return made[v.dating]
	}
	return v.dates.Finder()
}

func compileJail(index int, jf *JailFilter) (*jail, error) {
	f := &jf.Filter
	if len(f.FailRegex) == 0 {
		return nil, placed(f, 0, "", errors.New("no failregex"))
	}
	j := &jail{index: index, name: jf.Jail, filter: f, distinct: groupName(jf.Distinct)}
	var errs []error
	if f.PrefRegex != "" {
		pref, err := compileRegex(f.PrefRegex, f.UseDNS, f.MaxLines > 1)
		if err == nil && !pref.has(groupContent) {
			err = errors.New("missing <F-CONTENT>")
		}
		if err != nil {
			errs = append(errs, placed(f, 0, "prefregex", err))
		}
		j.pref = pref
	}
	for i, r := range f.FailRegex {
		compiled, err := compileRule(f, true, i, r)
		if err == nil && !identifies(compiled.regex) && (j.pref == nil || !identifies(j.pref)) {
			err = errors.New("missing <HOST>: it does not say who is to blame")
		}
		if err == nil && compiled.noID && !addresses(compiled.regex) && (j.pref == nil || !addresses(j.pref)) {
			err = errors.New("<F-ID> is no address, and there is no <ADDR>: only addresses can be banned")
		}
		if err != nil {
			errs = append(errs, placed(f, r.Line, fmt.Sprintf("failregex %d", i+1), err))
		}
		j.fail = append(j.fail, compiled)
	}
	for i, r := range f.IgnoreRegex {
		compiled, err := compileRule(f, false, i, r)
		if err != nil {
			errs = append(errs, placed(f, r.Line, fmt.Sprintf("ignoreregex %d", i+1), err))
		}
		j.ignore = append(j.ignore, compiled)
	}
	if d := jf.Distinct; d != "" && len(errs) == 0 && (j.pref == nil || !j.pref.has(j.distinct)) && !slices.ContainsFunc(j.fail, func(r *rule) bool { return r.has(j.distinct) }) {
		errs = append(errs, placed(f, 0, "", fmt.Errorf("distinct %q: no failregex has <F-%s>", d, strings.ToUpper(d))))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return j, nil
}

// undefined is a tag that the filter's file should have replaced: <mdre-<mode>> with a mode that it lacks.
var undefined = regexp.MustCompile(`^<[a-z][\w\-]*>$`)

func compileRule(f *Filter, fail bool, index int, r Rule) (*rule, error) {
	switch {
	case strings.TrimSpace(r.Regex) == "":
		return nil, errors.New("empty regex")
	case undefined.MatchString(r.Regex):
		return nil, fmt.Errorf("%s is not defined: is there such a mode?", r.Regex)
	}
	re, err := compileRegex(r.Regex, f.UseDNS, f.MaxLines > 1)
	if err != nil {
		return nil, err
	}
	return &rule{regex: re, fail: fail, index: index, line: r.Line, weight: r.Weight}, nil
}

// identifies reports whether a match of r can say who is to blame, or to which connection the line belongs.
func identifies(r *regex) bool { return addresses(r) || r.has(groupID) || r.has(groupSession) }

// addresses reports whether r has a group for an address or a name.
func addresses(r *regex) bool { return r.has(groupIP4) || r.has(groupIP6) || r.has(groupDNS) }

// placed puts before err where in the filter it happened. If the filter has a file it is a *FileError.
func placed(f *Filter, line int, what string, err error) error {
	if what != "" {
		err = fmt.Errorf("%s: %w", what, err)
	}
	if f.Path == "" {
		return fmt.Errorf("filter %s: %w", f.Name, err)
	}
	return &FileError{f.Path, line, err}
}
