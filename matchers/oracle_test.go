package matchers

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// An oracleAnswer is what testdata/oracle.py says about one filter.
type oracleAnswer struct {
	FailRegex    *string `json:"failregex"`
	IgnoreRegex  *string `json:"ignoreregex"`
	PrefRegex    *string `json:"prefregex"`
	DatePattern  *string `json:"datepattern"`
	JournalMatch *string `json:"journalmatch"`
	MaxLines     *int    `json:"maxlines"`
	UseDNS       *string `json:"usedns"`
	Hits         []struct {
		Line   int               `json:"line"`
		Rule   int               `json:"rule"`
		ID     string            `json:"id"`
		Groups map[string]string `json:"groups"`
	} `json:"hits"`
	Timeouts []int `json:"timeouts"`
}

// askOracle asks the installed fail2ban.
func askOracle(t *testing.T, instances []instance, lines []string) []oracleAnswer {
	t.Helper()
	needFail2ban(t)
	type spec struct {
		Name    string            `json:"name"`
		Base    string            `json:"base"`
		Options map[string]string `json:"options"`
	}
	var request struct {
		Filters []spec   `json:"filters"`
		Lines   []string `json:"lines"`
	}
	for _, in := range instances {
		options := in.options
		if options == nil {
			options = map[string]string{}
		}
		request.Filters = append(request.Filters, spec{in.name, in.base, options})
	}
	request.Lines = append([]string{}, lines...)
	text, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(debianPython, "testdata/oracle.py", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("oracle.py: %v", err)
	}
	var answers []oracleAnswer
	for line := range strings.Lines(string(out)) {
		var a oracleAnswer
		parseJSON(t, line, &a)
		answers = append(answers, a)
	}
	if len(answers) != len(instances) {
		t.Fatalf("got %d answers, want %d", len(answers), len(instances))
	}
	return answers
}

// TestOracle runs every stock filter, with every set of options that the corpus has for it, over every
// line of the corpus, and asks the installed fail2ban to do the same. Each line is judged alone: rule and
// host must be the same.
func TestOracle(t *testing.T) {
	long(t)
	checks := corpus(t)
	compareWithFail2ban(t, corpusInstances(checks), distinctLines(checks))
}

// TestOracleDamagedLines is TestOracle with lines into which something was put that they did not expect.
func TestOracleDamagedLines(t *testing.T) {
	long(t)
	checks := corpus(t)
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{
		" ", "  ", "\t", ":", "\"", "'", "]", "é", "\u00a0", "\u2028", "\x1c", "ſ", "\ufffd", "\r", " from ", " from 1.2.3.4 port 1 ssh2",
		", client: 1.2.3.4", " rhost=1.2.3.4 ", "[1.2.3.4]", "<1.2.3.4>", "::ffff:1.2.3.4", "1.2.3.4", "user", "(", "%",
	}
	var lines []string
	for _, line := range distinctLines(checks) {
		at := rng.IntN(len(line) + 1)
		cut := min(len(line), at+rng.IntN(4))
		lines = append(lines, strings.ToValidUTF8(line[:at]+pieces[rng.IntN(len(pieces))]+line[cut:], "?"))
	}
	compareWithFail2ban(t, corpusInstances(checks), lines)
}

func distinctLines(checks []check) []string {
	var lines []string
	seen := map[string]bool{}
	for _, c := range checks {
		if !seen[c.line] {
			seen[c.line] = true
			lines = append(lines, c.line)
		}
	}
	return lines
}

func compareWithFail2ban(t *testing.T, instances []instance, lines []string) {
	pairs, hits := 0, 0
	for i, answer := range askOracle(t, instances, lines) {
		in := instances[i]
		tracer := newTracer(t, in)
		want := map[int]string{}
		for _, h := range answer.Hits {
			want[h.Line] = fmt.Sprintf("rule %d, %s", h.Rule, hostText(h.ID))
		}
		hits += len(want)
		for n, line := range lines {
			if slices.Contains(answer.Timeouts, n) {
				t.Logf("%s: fail2ban does not come back on %q", in, line)
				continue
			}
			pairs++
			if got := judgeAlone(tracer, in, line); got != want[n] {
				t.Errorf("%s: got %q, want %q\n\t%q", in, got, want[n], line)
			}
		}
	}
	t.Logf("%d pairs of filter and line, %d of them hits", pairs, hits)
}

func newTracer(t *testing.T, in instance) *Tracer {
	t.Helper()
	f, err := in.load()
	if err != nil {
		t.Fatal(err)
	}
	f.UseDNS = "raw"
	tracer, err := NewTracer(JailFilter{Jail: "test", Filter: f, Location: corpusZone(t)})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// judgeAlone judges a line as if it were the first one.
func judgeAlone(tracer *Tracer, in instance, line string) string {
	tracer.session = Session{}
	tracer.finder = tracer.view.dates.Finder()
	var trace Trace
	if in.options["logtype"] == "journal" {
		trace = tracer.Entry([]byte(line), corpusClock)
	} else {
		trace = tracer.Line([]byte(line), corpusClock)
	}
	if trace.Verdict == Hit {
		return fmt.Sprintf("rule %d, %s", trace.Rule, trace.Host)
	}
	host := ""
	for _, g := range trace.Groups {
		switch g.Name {
		case groupNoFail, groupGained:
			return ""
		case groupIP4, groupIP6, groupDNS, groupID:
			host = hostText(g.Text) // a name, an octal form, a fragment: a match, though no hit
		}
	}
	if trace.Verdict != Miss || host == "" {
		return ""
	}
	return fmt.Sprintf("rule %d, %s", trace.Rule, host)
}

// hostText is an id of fail2ban's as banpipe writes addresses.
func hostText(id string) string {
	if a, err := netip.ParseAddr(id); err == nil {
		return a.Unmap().String()
	}
	return id
}
