package matchers

import "fmt"

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
		if j.pref != nil && j.pref.slow != nil {
			notes = append(notes, j.note(0, "prefregex", slowText(j.pref)))
		}
		for _, r := range j.fail {
			if r.slow != nil {
				notes = append(notes, j.note(r.line, fmt.Sprintf("failregex %d", r.index+1), slowText(r.regex)))
			}
		}
		for _, r := range j.ignore {
			if r.slow != nil {
				notes = append(notes, j.note(r.line, fmt.Sprintf("ignoreregex %d", r.index+1), slowText(r.regex)))
			}
		}
	}
	return notes
}

func slowText(r *regex) string { return "runs on the slow path: it has " + r.why }

func (j *jail) note(line int, rule, text string) Note {
	return Note{Jail: j.name, Filter: j.filter.Name, Path: j.filter.Path, Line: line, Rule: rule, Text: text}
}
