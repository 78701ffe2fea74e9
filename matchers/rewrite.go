package matchers

import "errors"

// maxRewritten bounds what a rewrite may make of a regex, in nodes; beyond it the slow path is taken.
const maxRewritten = 20_000

// errNoRewrite says that a regex has no exact form for the linear engine, or none that was found.
var errNoRewrite = errors.New("no linear form")

// linear rewrites a regex so that Go's engine can run it: the result matches the same texts with the same
// named groups. Three constructs go away:
//
//   - (?(g)a|b) becomes one alternative for each state of g, with the rest of the regex in each
//     (condition.go),
//   - (?!x) and (?=x) are pushed to the right into what follows them, rune by rune, until they are
//     decided (lookahead.go),
//   - (?:(?!x).)* becomes the regex of the automaton that never finishes an x (tempered.go).
//
// What remains, back-references above all, has no such form.
func linear(e *expr) (*node, error) {
	n := dropUnnamed(e)
	n, err := resolveConditions(n)
	if err != nil {
		return nil, err
	}
	r := lookRewriter{budget: maxRewritten}
	parts, err := r.eliminate(n, nil)
	if err != nil {
		return nil, err
	}
	n = concat(parts...)
	if beyondRE2(n) != "" || n.size(maxRewritten+1) > maxRewritten {
		return nil, errNoRewrite
	}
	return n, nil
}

// dropUnnamed makes plain groups of the captures that nobody asks for.
func dropUnnamed(e *expr) *node {
	used := map[int]bool{}
	e.root.contains(func(n *node) bool {
		if n.op == opBackref || n.op == opCond {
			used[n.group] = true
		}
		return false
	})
	var drop func(n *node) *node
	drop = func(n *node) *node {
		if n.op == opCapture && e.names[n.group] == "" && !used[n.group] {
			return drop(n.subs[0])
		}
		return n.each(drop)
	}
	return drop(e.root)
}
