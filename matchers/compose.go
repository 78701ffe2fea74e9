package matchers

import (
	"regexp"
	"regexp/syntax"
	"slices"
)

// fail2ban runs failregex on what the prefregex has found as its content. For the set both become one regex, that
// of the prefregex with the failregex in it:
//
//	prefregex    ^sshd: <content>.+</content>$
//	failregex                    ^Failed for \S+ from <ADDR>$
//	composed     ^sshd:          Failed for \S+ from <ADDR>  $
//
// It must fit wherever the two steps match, and may fit elsewhere: what differs is given up in that direction.
// The content's own regex is left out. A failregex that is not anchored stands between two .*; at the ends of the
// content it sees nothing beside it, so \b and \B are left out; and since fail2ban puts a newline behind
// the content, what may match a newline at its end may be left out there.

// composed is what stands in the set for each rule of a jail with a prefregex; nil if one cannot be composed.
func composed(j *jail) map[*rule]string {
	if j.pref == nil || j.pref.root.contains(func(n *node) bool { return n.op == opRepeat && n.contains(j.pref.isContent) }) {
		return nil
	}
	whole := j.pref.maySeeAll()
	all := map[*rule]string{}
	for _, r := range slices.Concat(j.fail, j.ignore) {
		n := j.pref.around(r.root)
		if whole {
			n = alt(n, r.root)
		}
		text, _ := printGo(n)
		if _, err := syntax.Parse(text, syntax.Perl); err != nil {
			return nil // together they are too large
		}
		all[r] = text
	}
	return all
}

// maySeeAll reports whether failregex may be run on the whole line: fail2ban takes it where a prefregex finds no
// content or an empty one, and a newline at its end counts for nothing.
func (r *regex) maySeeAll() bool {
	return !always(r.root, r.isContent) || r.root.contains(func(n *node) bool { return r.isContent(n) && mayBeEmpty(n.subs[0]) })
}

func mayBeEmpty(n *node) bool {
	text, _ := printGo(assertionless(n))
	re, err := regexp.Compile(`\A(?:` + text + `)\z`)
	return err != nil || re.MatchString("") || re.MatchString("\n")
}

func (r *regex) isContent(n *node) bool {
	return n.op == opCapture && r.expr.names[n.group] == groupContent
}

// always reports whether whatever matches n has gone through a node that is wanted.
func always(n *node, wanted func(*node) bool) bool {
	through := func(s *node) bool { return always(s, wanted) }
	switch {
	case wanted(n):
		return true
	case n.op == opConcat || n.op == opCapture || n.op == opAtomic:
		return slices.ContainsFunc(n.subs, through)
	case n.op == opAlt:
		return !slices.ContainsFunc(n.subs, func(s *node) bool { return !through(s) })
	}
	return false
}

// around puts a rule into a prefregex.
func (r *regex) around(rule *node) *node {
	within, open := inside(rule)
	var put func(n *node) *node
	put = func(n *node) *node {
		if r.isContent(n) {
			if open {
				return concat(within, anything())
			}
			return within
		}
		return n.each(put)
	}
	root := r.root
	if i := slices.IndexFunc(root.subs, r.isContent); root.op == opConcat && i >= 0 && open && onlyEnds(root.subs[i+1:]) {
		return concat(append(slices.Clone(root.subs[:i]), within)...) // .*$ fits anything
	}
	return put(root)
}

// onlyEnds reports whether nodes ask for nothing but the end of the text.
func onlyEnds(nodes []*node) bool {
	return !slices.ContainsFunc(nodes, func(n *node) bool { return n.op != opEnd && n.op != opEndText })
}

func anything() *node { return &node{op: opRepeat, max: -1, subs: []*node{class(anySet)}} }

// inside is what a rule becomes within the content; open says that more of the content may follow.
func inside(rule *node) (n *node, open bool) {
	n = endless(assertionless(rule))
	if !always(rule, isOp(opBegin)) {
		n = concat(anything(), n)
	}
	if !always(rule, func(n *node) bool { return n.op == opEnd || n.op == opEndText }) {
		return n, true
	}
	return concat(n, optional(class(newlineSet))), false
}

// assertionless is n without what it asks of its place.
func assertionless(n *node) *node {
	switch n.op {
	case opBegin, opBeginLine, opEnd, opEndLine, opEndText, opBoundary, opNoBoundary:
		return empty()
	case opCapture:
		return assertionless(n.subs[0])
	}
	return n.each(assertionless)
}

// endless is n, where a newline that would be the last rune may be missing.
func endless(n *node) *node {
	switch n.op {
	case opClass:
		if n.set.has('\n') {
			return optional(n)
		}
	case opConcat:
		subs := slices.Clone(n.subs)
		for i := len(subs) - 1; i >= 0; i-- {
			last := subs[i]
			if subs[i] = endless(last); !nullable(last) {
				break
			}
		}
		return concat(subs...)
	case opAlt, opRepeat, opCapture:
		return n.each(endless)
	}
	return n
}

func optional(n *node) *node { return &node{op: opRepeat, max: 1, subs: []*node{n}} }
