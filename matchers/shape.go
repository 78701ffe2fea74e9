package matchers

import (
	"maps"
	"regexp"
	"slices"
)

const (
	accessShape     = `^(?:\S+ )?\S+ \S+ .+ \[[^\]]*\] "`
	nginxErrorShape = `^\s*\[(?:debug|info|notice|warn|error|crit|alert|emerg)\] \d+#\d+: `
	jsonShape       = `^\s*\{.*\}\s*$`
)

// shapes says what a line of a kind of log looks like when its date has been cut out. They are loose on
// purpose: they tell a wrong log from a right one, never an attack from a visit.
var shapes = map[string]*regexp.Regexp{
	"syslog":       regexp.MustCompile(`^\s*(?:<\d+>)?\s*[\w.:-]+ [^\s\[:]+(?:\[\d+\])?: `),
	"access":       regexp.MustCompile(accessShape + `|` + jsonShape),
	"nginx-error":  regexp.MustCompile(nginxErrorShape),
	"nginx":        regexp.MustCompile(accessShape + `|` + nginxErrorShape + `|` + jsonShape),
	"apache-error": regexp.MustCompile(`^\s*(?:\[[^\]]*\] ){2,}|^\[[^\]]*\] \[`),
	"uvicorn":      regexp.MustCompile(`^\s*(?:\[?[A-Z]+\]?:?\s|\S+:\d+ - "|\[|-)|` + accessShape + `|` + jsonShape),
	"vsftpd":       regexp.MustCompile(`^\s*\[pid \d+\] `),
	"mysql":        regexp.MustCompile(`^\s*(?:\d+ )?\[(?:Note|Warning|ERROR|System)\] `),
	"postgresql":   regexp.MustCompile(`(?:LOG|FATAL|ERROR|DETAIL|WARNING|HINT|STATEMENT|PANIC|NOTICE|INFO|DEBUG\d?|CONTEXT|LOCATION):  `),
	"openvpn":      regexp.MustCompile(`^\s*(?:us=\d+ )?\S`),
	"level":        regexp.MustCompile(`^\s*[\[(]?\w*\]?.*\[?(?i:trace|debug|info|inf|notice|warn|wrn|warning|error|err|crit|critical|fatal)\]?`),
	"ufw":          regexp.MustCompile(`\[UFW [A-Z ]+\] IN=\S* OUT=`),
	"json":         regexp.MustCompile(jsonShape),
}

// Shapes are the words that a filter's shape may be.
func Shapes() []string { return slices.Sorted(maps.Keys(shapes)) }

// HasShape reports whether a line, less its date, looks as those of a log of that shape do. A shape that
// is not known, or "", fits every line.
func HasShape(text, shape string) bool {
	re := shapes[shape]
	return re == nil || re.MatchString(text)
}
