package matchers

import (
	"maps"
	"regexp"
	"slices"
)

// The parts of which several shapes are made.
const (
	accessShape     = `^(?:\S+ )?\S+ \S+ .+ \[[^\]]*\] "`
	nginxErrorShape = `^\s*(?:\S+ nginx(?:\[\d+\])?: .*)?\[(?:debug|info|notice|warn|error|crit|alert|emerg)\] \d+#\d+: `
	jsonShape       = `^\s*(?:\S+ \S+\[\d+\]: )?\{.*\}\s*$`
	syslogShape     = `^\s*(?:<\d+>1?)?\s*[\w.:-]+ (?:[a-z0-9]+\.[a-z]+ +)?[^\s\[:]+(?:\[\d+\])?: |^\s*<\d+>1? \S* ?\S+ \S+ `
)

// shapes says what a line of a kind of log looks like when its date has been cut out. They are loose on
// purpose: they tell a wrong log from a right one, never an attack from a visit.
var shapes = map[string]*regexp.Regexp{
	"syslog":         regexp.MustCompile(syslogShape),
	"access":         regexp.MustCompile(accessShape + `|` + jsonShape),
	"nginx-error":    regexp.MustCompile(nginxErrorShape),
	"nginx":          regexp.MustCompile(accessShape + `|` + nginxErrorShape + `|` + jsonShape),
	"apache-error":   regexp.MustCompile(`^\s*\[\] \[(?:\w*:)?(?:emerg|alert|crit|error|warn|notice|info|debug|trace\d)\] `),
	"python":         regexp.MustCompile(accessShape + `|` + jsonShape + `|^[\s\-]*(?:\[\] \[\d+\] )?(?:[\w.]+ - )?\[?(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL)\b|^\s*\S+:\d+ - "`),
	"fail2ban":       regexp.MustCompile(`fail2ban\.\w+\s*\[\d+\]: [A-Z]+ `),
	"dovecot":        regexp.MustCompile(syslogShape + `|^\s*[\w-]+(?:\([^)]*\))*(?:<[^>]*>)*: (?:Info|Warning|Error|Debug|Fatal|Panic): `),
	"vsftpd":         regexp.MustCompile(`^\s*\[pid \d+\] `),
	"proftpd":        regexp.MustCompile(`^\s*\S+ proftpd\b`),
	"mysql":          regexp.MustCompile(`^\s*(?:\S+ (?:mariadbd|mysqld)\[\d+\]:\s*)?(?:[\d:.TZ\-]+\s+)*\[(?:Note|Warning|ERROR|System)\] `),
	"postgresql":     regexp.MustCompile(`\[\d+\].* ?(?:LOG|FATAL|ERROR|DETAIL|WARNING|HINT|STATEMENT|PANIC|NOTICE|INFO|CONTEXT):  `),
	"vaultwarden":    regexp.MustCompile(`^\s*\[\]\[\w+(?:::\w+)*\]\[[A-Z]+\] `),
	"gitea":          regexp.MustCompile(`^\s*(?:\S+ [\w-]+\[\d+\]:\s*)?(?:[\d/]+ [\d:]+ )?(?:\S+(?: \S+)?:\d+:\S+\(\)|HTTPRequest) \[[A-Z]\] `),
	"jellyfin":       regexp.MustCompile(`^\s*\[\] \[[A-Z]{3}\] `),
	"home-assistant": regexp.MustCompile(`^\s*[A-Z]+ \([^)]*\) \[[\w.]+\] `),
	"grafana":        regexp.MustCompile(`\b(?:level|lvl)=\w+ msg=`),
	"openvpn":        regexp.MustCompile(`\b(?:TLS|VERIFY|MULTI|OpenVPN|PUSH|Peer Connection|Data Channel|Control Channel|SIGUSR1|SIGTERM|AF_INET6?)\b`),
	"ufw":            regexp.MustCompile(`\[UFW [A-Z ]+\] IN=\S* OUT=`),
	"json":           regexp.MustCompile(jsonShape),
}

// Shapes are the words that a filter's shape may be.
func Shapes() []string { return slices.Sorted(maps.Keys(shapes)) }

// HasShape reports whether a line, less its date, looks as those of a log of that shape do. A shape that
// is not known, or "", fits every line.
func HasShape(text, shape string) bool {
	re := shapes[shape]
	return re == nil || re.MatchString(text)
}

func hasShape(text []byte, shape string) bool {
	re := shapes[shape]
	return re == nil || re.Match(text)
}
