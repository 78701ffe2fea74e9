package matchers

import (
	"fmt"
	"slices"
)

// A Note is something about a rule that its owner should know; it is no error.
type Note struct {
	Jail   string
	Filter string // its name
	Path   string // the filter's file; "" if it has none
	Line   int    // in Path; 0 if it is not known
	Rule   string // "failregex 3", "prefregex"
	Text   string // what there is to know
}

func (n Note) String() string {
	where := n.Path
	if where == "" {
		where = "filter " + n.Filter
	} else if n.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, n.Line)
	}
	return fmt.Sprintf("jail %s: %s: %s: %s", n.Jail, where, n.Rule, n.Text)
}

// SlowRules lists the rules that need more than the linear engine can do: their hits are confirmed by a
// backtracking one, under limits of time and length.
func (p *Program) SlowRules() []Note {
	var notes []Note
	for _, j := range p.jails {
		for r := range j.regexes {
			if r.slow != nil {
				notes = append(notes, j.noteOn(r, slowText(r)))
			}
		}
	}
	return notes
}

// regexes yields all regexes of a jail.
func (j *jail) regexes(yield func(*regex) bool) {
	if j.pref != nil && !yield(j.pref) {
		return
	}
	for _, r := range slices.Concat(j.fail, j.ignore) {
		if !yield(r.regex) {
			return
		}
	}
}

// noteOn is a note on one of the jail's regexes.
func (j *jail) noteOn(r *regex, text string) Note {
	for _, list := range [...]struct {
		name  string
		rules []*rule
	}{{"failregex", j.fail}, {"ignoreregex", j.ignore}} {
		for _, of := range list.rules {
			if of.regex == r {
				return j.note(of.line, fmt.Sprintf("%s %d", list.name, of.index+1), text)
			}
		}
	}
	return j.note(0, "prefregex", text)
}

func slowText(r *regex) string { return "runs on the slow path: it has " + r.why }

func (j *jail) note(line int, rule, text string) Note {
	return Note{Jail: j.name, Filter: j.filter.Name, Path: j.filter.Path, Line: line, Rule: rule, Text: text}
}
