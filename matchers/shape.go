package matchers

import (
	"maps"
	"regexp"
	"slices"
)

// shapes says what a line of a kind of log looks like when its date has been cut out. They are loose on
// purpose: they tell a wrong log from a right one, never an attack from a visit.
var shapes = map[string]*regexp.Regexp{
	"syslog":      regexp.MustCompile(`^\s*(?:<\d+>)?\s*[\w.:-]+ [^\s\[:]+(?:\[\d+\])?: `),
	"access":      regexp.MustCompile(`^(?:\S+ )?\S+ \S+ .+ \[[^\]]*\] "`),
	"nginx-error": regexp.MustCompile(`^\s*\[(?:debug|info|notice|warn|error|crit|alert|emerg)\] \d+#\d+: `),
	"ufw":         regexp.MustCompile(`\[UFW [A-Z ]+\] IN=\S* OUT=`),
	"json":        regexp.MustCompile(`^\s*\{.*\}\s*$`),
}

// Shapes are the words that a filter's shape may be.
func Shapes() []string { return slices.Sorted(maps.Keys(shapes)) }

// HasShape reports whether a line, less its date, looks as those of a log of that shape do. A shape that
// is not known, or "", fits every line.
func HasShape(text, shape string) bool {
	re := shapes[shape]
	return re == nil || re.MatchString(text)
}
