package matchers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// Where Debian's package fail2ban keeps its filters and the sample logs that it is tested with.
const (
	stockFilters = "/etc/fail2ban/filter.d"
	stockTests   = "/usr/lib/python3/dist-packages/fail2ban/tests"
	debianPython = "/usr/bin/python3" // another python3 in PATH has no fail2ban
)

// long is for tests that take seconds without starting a goroutine: they have nothing to show to -race.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs without -short")
	}
}

func needFail2ban(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(stockTests, "files/logs/sshd")); err != nil {
		t.Skip("needs Debian's package fail2ban with its tests")
	}
}

// An instance is a filter with the options that sample lines are to run through.
type instance struct {
	name    string // of the filter
	base    string // the directory with filter.d
	options map[string]string
	prefix  string // what the journal puts before each line
}

func (i instance) String() string {
	var options []string
	for _, k := range slices.Sorted(maps.Keys(i.options)) {
		options = append(options, k+"="+i.options[k])
	}
	if len(options) == 0 {
		return i.name
	}
	return i.name + "[" + strings.Join(options, ",") + "]"
}

func (i instance) load() (Filter, error) {
	return LoadFilter(filepath.Join(i.base, "filter.d", i.name+".conf"), i.options)
}

// A check is one sample line, the instance that it runs through and what is expected of it.
type check struct {
	file     string
	number   int
	instance instance
	line     string
	want     map[string]any // failJSON; nil for a line that must not match
}

var sampleHead = regexp.MustCompile(`^#+ ?(failJSON|fileOptions|filterOptions|addFILE):(.+)$`)

// corpus reads the sample logs of every filter.
func corpus(t *testing.T) []check {
	t.Helper()
	needFail2ban(t)
	var checks []check
	for _, base := range []string{filepath.Dir(stockFilters), testFilters(t)} {
		files, _ := filepath.Glob(filepath.Join(base, "filter.d/*.conf"))
		for _, f := range files {
			name := strings.TrimSuffix(filepath.Base(f), ".conf")
			if strings.HasSuffix(name, "common") || base != filepath.Dir(stockFilters) && !strings.HasPrefix(name, "zzz-") {
				continue
			}
			checks = append(checks, sampleLog(t, base, name)...)
		}
	}
	return checks
}

// testFilters lays fail2ban's own zzz- filters out as they are in its build tree, where what they include
// lies seven directories up, and returns the directory that their filter.d is in.
func testFilters(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	base := filepath.Join(root, "a/b/c/d/e/f")
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(base, "filter.d"), 0o700))
	must(os.Symlink(filepath.Dir(stockFilters), filepath.Join(root, "config")))
	files, err := filepath.Glob(filepath.Join(stockTests, "config/filter.d/zzz-*.conf"))
	must(err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		must(err)
		must(os.WriteFile(filepath.Join(base, "filter.d", filepath.Base(f)), text, 0o600))
	}
	return base
}

// sampleLog reads the samples of one filter.
func sampleLog(t *testing.T, base, name string) []check {
	t.Helper()
	var checks []check
	instances := []instance{{name: name, base: base}}
	common := map[string]any{}
	files := []string{name}
	for i := 0; i < len(files); i++ {
		f, err := os.Open(filepath.Join(stockTests, "files/logs", files[i]))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var want map[string]any
		blocked := false
		scan := bufio.NewScanner(f)
		for n := 1; scan.Scan(); n++ {
			line := scan.Text()
			if m := sampleHead.FindStringSubmatch(line); m != nil && want == nil {
				switch m[1] {
				case "fileOptions":
					parseJSON(t, m[2], &common)
				case "addFILE":
					var more string
					parseJSON(t, m[2], &more)
					files = append(files, more)
				case "filterOptions":
					instances, blocked = sampleInstances(t, base, name, common, m[2])
				case "failJSON":
					want = map[string]any{}
					parseJSON(t, m[2], &want)
				}
				continue
			}
			if want == nil && (strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "") {
				continue
			}
			for _, in := range instances {
				if !blocked && sampleHolds(t, want["constraint"], in) {
					checks = append(checks, check{files[i], n, in, strings.TrimRight(line, "\r\n"), want})
				}
			}
			want = nil
		}
	}
	return checks
}

func parseJSON(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// sampleInstances makes instances of filterOptions; blocked says that their condition does not hold.
func sampleInstances(t *testing.T, base, name string, common map[string]any, text string) (instances []instance, blocked bool) {
	var list []map[string]any
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		parseJSON(t, text, &list)
	} else {
		list = append(list, nil)
		parseJSON(t, text, &list[0])
	}
	for _, given := range list {
		options := maps.Clone(common)
		maps.Copy(options, given)
		in := instance{name: name, base: base, options: map[string]string{}}
		for k, v := range options {
			switch {
			case k == "test.prefix-line":
				in.prefix = v.(string)
			case !strings.HasPrefix(k, "test."):
				in.options[k] = fmt.Sprint(v)
			}
		}
		if sampleHolds(t, options["test.condition"], in) {
			instances = append(instances, in)
		} else {
			blocked = true
		}
	}
	return instances, blocked
}

// sampleHolds evaluates the few conditions that the corpus has; they are Python.
func sampleHolds(t *testing.T, condition any, in instance) bool {
	switch condition {
	case nil:
		return true
	case "name=='sshd'", "name == 'sshd'":
		return in.name == "sshd"
	case "opts.get('mode') != 'aggressive'":
		return in.options["mode"] != "aggressive"
	case "opts.get('mode') == 'aggressive'":
		return in.options["mode"] == "aggressive"
	}
	t.Fatalf("unknown condition %q", condition)
	return false
}

// corpusInstances are the instances of checks, each once.
func corpusInstances(checks []check) []instance {
	var list []instance
	seen := map[string]bool{}
	for _, c := range checks {
		if key := c.instance.base + c.instance.String(); !seen[key] {
			seen[key] = true
			list = append(list, c.instance)
		}
	}
	return list
}

// corpusClock is when fail2ban's own tests run their samples, and corpusZone where.
var corpusClock = time.Unix(1124013600, 0)

func corpusZone(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// A scorer runs the samples of each instance, in their order, through one Tracer.
type scorer struct {
	tracers map[string]*Tracer
	zone    *time.Location
}

func (s *scorer) trace(t *testing.T, c check) Trace {
	t.Helper()
	key := c.instance.base + c.instance.String()
	tracer := s.tracers[key]
	if tracer == nil {
		f, err := c.instance.load()
		if err != nil {
			t.Fatal(err)
		}
		f.UseDNS = "raw"
		if tracer, err = NewTracer(JailFilter{Jail: "test", Filter: f, Location: s.zone}); err != nil {
			t.Fatal(err)
		}
		s.tracers[key] = tracer
	}
	if c.instance.options["logtype"] == "journal" {
		return tracer.Entry([]byte(c.instance.prefix+c.line), corpusClock)
	}
	return tracer.Line([]byte(c.line), corpusClock)
}

// score says what is wrong with a trace, by what failJSON wants; "" if nothing.
func (c *check) score(trace Trace) string {
	groups := map[string]string{}
	for _, g := range trace.Groups {
		groups[g.Name] = g.Text
	}
	want, _ := c.want["match"].(bool)
	got := trace.Verdict == Hit || groups[groupDNS] != "" && trace.Rule >= 0 && trace.Verdict == Miss
	if got != want {
		return fmt.Sprintf("got match %v, want %v", got, want)
	}
	if !want {
		return ""
	}
	for key, value := range c.want {
		switch key {
		case "match", "desc", "constraint":
			continue
		case "time":
			if value == nil {
				continue
			}
			at, err := time.ParseInLocation("2006-01-2T15:04:05", value.(string), trace.Time.Location())
			if err != nil || !at.Equal(trace.Time.Truncate(time.Second)) {
				return fmt.Sprintf("got time %v, want %v", trace.Time, value)
			}
			continue
		case "host":
			host := groups[groupDNS]
			if host == "" {
				host = trace.Host.String()
			}
			if a, err := netip.ParseAddr(value.(string)); err == nil {
				value = a.Unmap().String() // 2001:DB8::1 is 2001:db8::1
			}
			groups[key] = host
		case "attempts":
			groups[key] = fmt.Sprint(trace.Lines)
		case "users":
			groups[key] = fmt.Sprint(slices.Sorted(slices.Values(trace.Users)))
			var users []string
			for _, u := range value.([]any) {
				users = append(users, u.(string))
			}
			value = fmt.Sprint(slices.Sorted(slices.Values(users)))
		}
		if fmt.Sprint(value) != groups[key] && (value != nil || groups[key] != "") {
			return fmt.Sprintf("got %s %q, want %q", key, groups[key], value)
		}
	}
	return ""
}

// differences reads a reviewed list of what is decided otherwise than by fail2ban, with a reason each.
func differences(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key != "" && key != "#" {
			list[key] = strings.TrimSpace(reason)
		}
	}
	return list
}

// TestCorpus runs fail2ban's own regression corpus.
func TestCorpus(t *testing.T) {
	checks := corpus(t)
	if len(checks) < 1500 {
		t.Fatalf("got %d samples, want some 1,600", len(checks))
	}
	known, different := differences(t, "testdata/corpus_differences.txt"), map[string]bool{}
	s := scorer{tracers: map[string]*Tracer{}, zone: corpusZone(t)}
	passed := 0
	for _, c := range checks {
		wrong := c.score(s.trace(t, c))
		key := fmt.Sprintf("%s:%d", c.file, c.number)
		switch {
		case wrong == "":
			passed++
		case known[key] == "":
			t.Errorf("%s %s: %s\n\t%s", key, c.instance, wrong, c.line)
		default:
			different[key] = true
		}
	}
	for key := range known {
		if !different[key] {
			t.Errorf("%s is listed as different and passes", key)
		}
	}
	t.Logf("%d of %d samples decide as in fail2ban", passed, len(checks))
}
