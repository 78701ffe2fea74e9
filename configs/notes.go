package configs

import (
	"fmt"
	"slices"

	"github.com/banpipe/banpipe/matchers"
)

// RuleWarnings are what the owners of the jails' rules should know: which of them run on the slow path, and
// which blame whomever a forged line names. Finding the latter takes some milliseconds a rule.
func (b *Built) RuleWarnings() Errors {
	var warnings Errors
	for _, j := range b.Jails {
		if j.CountsBans() {
			continue
		}
		p, err := matchers.NewProgram([]matchers.JailFilter{j.filter()})
		if err != nil {
			continue // Build has said so
		}
		for _, n := range slices.Concat(p.SlowRules(), p.ForgeableRules()) {
			warnings.add(j.value("filter"), "", &Error{File: n.Path, Line: n.Line, Msg: fmt.Sprintf("jail %q: %s: %s", n.Jail, n.Rule, n.Text)})
		}
	}
	return warnings
}
