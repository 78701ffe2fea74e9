package matchers

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/dlclark/regexp2"

	"github.com/banpipe/banpipe/matchers/dfa"
)

// A regex is a compiled failregex, ignoreregex or prefregex. It may be shared by goroutines.
type regex struct {
	source  string // as in the filter, tags and all
	expr    *expr
	names   []string
	alts    []altGroup
	root    *node           // what fast is made of
	fast    *regexp.Regexp  // linear; matches wherever the source does
	groups  []int           // for each group of fast, the group of the source
	slow    *regexp2.Regexp // confirms what fast has found; nil if fast is exact
	why     string          // what needs slow: "a back-reference"; "" if fast is exact
	literal []byte          // a part of every line that matches; may be empty
	noID    bool            // <F-ID> can match no address

	jail     *jail
	number   int                  // in its Program
	captures func() *dfa.Captures // of fast, the groups that the jail wants; nil if it is too large
}

// An altGroup is a group that stands in for another one: <F-ALT_USER> or <F-ALT_USER_1> for <F-USER>.
type altGroup struct{ from, to string }

var altName = regexp.MustCompile(`^alt_(.*?)(?:_\d+)?$`)

func altGroups(names []string) []altGroup {
	var alts []altGroup
	for _, name := range names {
		if m := altName.FindStringSubmatch(name); m != nil {
			alts = append(alts, altGroup{name, groupName(m[1])})
		}
	}
	slices.SortFunc(alts, func(a, b altGroup) int { return strings.Compare(a.from, b.from) })
	return alts
}

// compileRegex compiles a regex of a filter; multiline is for filters that look at several lines at once.
func compileRegex(source, usedns string, multiline bool) (*regex, error) {
	e, err := parsePython(expandTags(source, usedns), pyFlags{multiline: multiline})
	if err != nil {
		return nil, err
	}
	r := &regex{source: source, expr: e, names: e.names, alts: altGroups(e.names)}
	root := e.root
	r.why = beyondRE2(root)
	if !multiline { // of several lines the end of a match counts
		if n, err := linear(e); err == nil {
			root, r.why = n, ""
		} else if r.why == "" {
			r.why = "a $ with more behind it"
		}
	}
	if r.why != "" {
		root = relax(e.root, true)
		if r.slow, err = regexp2.Compile(printNet(e.root), regexp2.None); err != nil {
			return nil, fmt.Errorf("%s: %w", r.why, err)
		}
		r.slow.MatchTimeout = slowTime
	}
	text, groups := printGo(root)
	if r.fast, err = regexp.Compile(text); err != nil {
		return nil, err
	}
	r.root, r.groups, r.literal = root, groups, requiredLiteral(root)
	r.noID = r.has(groupID) && !addressable(e)
	return r, nil
}

// addressable reports whether the <F-ID> of a regex can match an address.
func addressable(e *expr) bool {
	ok := false
	e.root.contains(func(n *node) bool {
		if n.op == opCapture && e.names[n.group] == groupID {
			text, _ := printGo(relax(n.subs[0], false))
			re, err := regexp.Compile(`\A(?:` + text + `)\z`)
			ok = err != nil || re.MatchString("192.0.2.7") || re.MatchString("2001:db8::7") || re.MatchString("[2001:db8::7]")
		}
		return false
	})
	return ok
}

// has reports whether the regex has a group of that name.
func (r *regex) has(name string) bool {
	for _, n := range r.names {
		if n == name {
			return true
		}
	}
	return false
}

// find looks for the leftmost match in text. spans holds start and end for each group of the source, -1
// for those that took no part; it is appended to into. timedOut says that the slow path gave up.
func (r *regex) find(text []byte, into []int) (spans []int, found, timedOut bool) {
	if len(r.literal) > 0 && !bytes.Contains(text, r.literal) {
		return into, false, false
	}
	if !r.fast.Match(text) {
		return into, false, false
	}
	if r.slow != nil {
		return r.findSlow(text, into)
	}
	return r.ofSource(r.fast.FindSubmatchIndex(text), into), true, false
}
