package matchers

import (
	mathbits "math/bits"

	"github.com/banpipe/banpipe/matchers/dfa"
)

// A selection is all fail and ignore rules of a reading as one set, so that one pass over a line tells which of
// them to try:
//
//	lines ── set ─┬─► no failregex fits: the line leaves          most lines
//	              └─► for each jail of which one does: judge, with only the rules that fit
//
// What is selected is never too little. It is exact for the rules of a filter without prefregex. Of one with
// prefregex the set holds its rules inside the prefregex (compose.go), which may fit where fail2ban's two steps
// do not; where they cannot be put together the prefregex itself stands for all of them.
type selection struct {
	set     *dfa.Set
	rules   []string   // of the set
	regexes []*regex   // by number in the set: of the filter
	jails   []selected // as in reading.jails
	jailOf  []int      // by number in the set: the jail whose failregex it is; none for an ignoreregex
}

// selected says where the rules of a jail are in the set.
type selected struct {
	fail   choice
	ignore choice // on what failregex sees
	whole  choice // on the whole line
}

const none = -1

// maxSelection is what the sets of a Program may take in each Matcher, in bytes.
const maxSelection = 8 << 20

// A choice is a list of rules in the set; the zero value stands for rules that are not, which may all fit.
type choice struct {
	set  bool
	from int  // the number of the first
	sure bool // those that fit match
}

// next is the first of n rules, from i on, that fits a line; n if there is none.
func (c *choice) next(bits []uint64, i, n int) int {
	if !c.set || bits == nil {
		return i
	}
	for at := c.from + i; at < c.from+n; at = (at/64 + 1) * 64 {
		if word := bits[at/64] >> (at % 64); word != 0 {
			return min(at+mathbits.TrailingZeros64(word)-c.from, n)
		}
	}
	return n
}

// newSelection makes the set of the jails that look at single lines. cache is what each worker may use for
// it, in bytes.
func newSelection(jails []*jail, cache int) *selection {
	s := &selection{}
	for i, j := range jails {
		var of selected
		switch inside := composed(j); {
		case j.pref == nil:
			of.fail, of.ignore = s.add(j.fail, i, nil), s.add(j.ignore, none, nil)
			of.whole = of.ignore
		case inside == nil:
			s.number(j.pref.fast.String(), j.pref, i)
		default:
			of.fail, of.ignore = s.add(j.fail, i, inside), s.add(j.ignore, none, inside)
			if j.ignoresFirst() {
				of.whole = s.add(j.ignore, none, nil)
			}
		}
		s.jails = append(s.jails, of)
	}
	var err error
	if s.set, err = dfa.NewSet(s.rules, dfa.Options{Cache: cache}); err != nil {
		panic(err) // regexp has compiled each of them
	}
	return s
}

// add puts rules of a jail into the set; inside says what they are with its prefregex around them.
func (s *selection) add(rules []*rule, jail int, inside map[*rule]string) choice {
	c := choice{set: true, from: len(s.rules), sure: inside == nil}
	for _, r := range rules {
		if text, ok := inside[r]; ok {
			s.number(text, r.regex, jail)
		} else {
			s.number(r.fast.String(), r.regex, jail)
		}
	}
	return c
}

func (s *selection) number(text string, r *regex, jail int) {
	s.rules, s.regexes, s.jailOf = append(s.rules, text), append(s.regexes, r), append(s.jailOf, jail)
}

// each calls judge for each jail of which a failregex fits, in their order.
func (s *selection) each(bits []uint64, judge func(jail int)) {
	last := none
	for w, word := range bits {
		for ; word != 0; word &= word - 1 {
			if jail := s.jailOf[w*64+mathbits.TrailingZeros64(word)]; jail != none && jail != last {
				judge(jail)
				last = jail
			}
		}
	}
}
