package matchers

import "fmt"

// A Note is something about a rule that its owner should know; it is no error.
type Note struct {
	Jail string
	Rule string // where it stands: "/etc/fail2ban/filter.d/x.conf:12: failregex 3"
	Text string // what there is to know
}

func (n Note) String() string { return fmt.Sprintf("jail %s: %s: %s", n.Jail, n.Rule, n.Text) }

// SlowRules lists the rules that need more than the linear engine can do: their hits are confirmed by a
// backtracking one, under limits of time and length.
func (p *Program) SlowRules() []Note {
	var notes []Note
	for _, j := range p.jails {
		j.rules(func(where string, r *regex) {
			if r.slow != nil {
				notes = append(notes, Note{j.name, where, "runs on the slow path: it has " + r.why})
			}
		})
	}
	return notes
}

// rules calls visit for each regex of the jail, with where it stands.
func (j *jail) rules(visit func(where string, r *regex)) {
	if j.pref != nil {
		visit(place(j.filter, 0, "prefregex"), j.pref)
	}
	for _, r := range j.fail {
		visit(place(j.filter, r.line, fmt.Sprintf("failregex %d", r.index+1)), r.regex)
	}
	for _, r := range j.ignore {
		visit(place(j.filter, r.line, fmt.Sprintf("ignoreregex %d", r.index+1)), r.regex)
	}
}

// place says where in a filter something stands.
func place(f *Filter, line int, what string) string {
	where := f.Path
	if where == "" {
		where = "filter " + f.Name
	} else if line > 0 {
		where = fmt.Sprintf("%s:%d", where, line)
	}
	if what != "" {
		where += ": " + what
	}
	return where
}
