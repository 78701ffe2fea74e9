package matchers

// A Filter is what a filter file says, in fail2ban's words and before anything is compiled: a TOML
// filter, a filter.d/NAME.conf whose includes and tags have been resolved, or a literal in Go.
type Filter struct {
	Name        string // "sshd"; in errors and output
	Description string
	Path        string // the file that it was read from; "" if none

	// Format says how a line is taken apart before the rules see it: "" leaves it as it is (less its
	// date), "json" and "ufw" put the fields named in Text, in this order and separated by tabs, in its place; "json|plain" does so with lines that begin with a brace
	// and leaves all others as they are.
	Format string
	Text   []string
	Shape  string // what lines of its log look like, so that a wrong log is noticed; "" says nothing

	PrefRegex    string // with <F-CONTENT>: the part of the line that FailRegex sees
	FailRegex    []Rule
	IgnoreRegex  []Rule
	DatePattern  []string // alternatives, in fail2ban's words; none: the date is found
	MaxLines     int      // lines that a rule with <SKIPLINES> looks at; 0 means 1
	JournalMatch []string // in fail2ban's syntax
	UseDNS       string   // "no" (as ""): names are no hosts; "yes" or "warn": Names looks them up; "raw": they match, and are no hits
}

// A Rule is one failregex or ignoreregex.
type Rule struct {
	Regex  string
	Weight int // what a hit counts; 0 means 1
	Line   int // where in Filter.Path it stands; 0 if unknown
}
