package matchers

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// writeConf writes files, given as "-- name --" and their text, and returns their directory.
func writeConf(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for part := range strings.SplitSeq(text, "-- ") {
		name, body, found := strings.Cut(part, " --\n")
		body = strings.ReplaceAll(body, "CR\n", "\r\n")
		if !found {
			continue
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadFilter(t *testing.T) {
	tests := []struct {
		name, files string
		params      map[string]string
		want        string // failregex, each as "line regex"
	}{
		{
			"values that go on", "-- x.conf --\n[Definition]\nfailregex = ^a <HOST>\n\n  # a comment\n            ^b <HOST>\n\t^c <HOST>\nignoreregex =\n", nil,
			"2 ^a <HOST>, 5 ^b <HOST>, 6 ^c <HOST>",
		},
		{"comments", "-- x.conf --\n; one\n[Definition]\n# two\nfailregex = ^a;b#c <HOST> ; three\n    ;four\n ^d <HOST>\n", nil, "4 ^a;b#c <HOST>, 6 ^d <HOST>"},
		{"colons and case", "-- x.conf --\n[Definition]\nFailRegex : ^a = <HOST>\n", nil, "2 ^a = <HOST>"},
		{"carriage returns", "-- x.conf --\n[Definition]CR\nfailregex = ^a <HOST>CR\n ^b <HOST>CR\n", nil, "2 ^a <HOST>, 3 ^b <HOST>"},
		{"interpolation", "-- x.conf --\n[DEFAULT]\n_d = sshd\n[Definition]\n_p = %(_d)s\\[\nfailregex = ^%(_p)s 5%% <HOST> %(__name__)s\n", nil, `5 ^sshd\[ 5% <HOST> Definition`},
		{"other sections", "-- x.conf --\n[lt_a]\np = <HOST>\n[Definition]\nfailregex = ^%(lt_a/p)s\n ^%(default/q)s\n[DEFAULT]\nq = <ADDR>\n", nil, "4 ^<HOST>, 5 ^<ADDR>"},
		{"tags", "-- x.conf --\n[Definition]\nfailregex = <mdre-<mode>>\n ^z <HOST>\nmdre-a = ^a <HOST>\n  ^b <HOST>\nmdre-b =\nmode = a\n", nil, "2 ^a <HOST>, 2 ^b <HOST>, 3 ^z <HOST>"},
		{"a tag that is nothing", "-- x.conf --\n[Definition]\nfailregex = <mdre-<mode>>\n ^z <HOST>\nmdre-a = ^a <HOST>\nmdre-b =\nmode = a\n", map[string]string{"mode": "b"}, "3 ^z <HOST>"},
		{"tags of sections", "-- x.conf --\n[lt_file]\np = f\n[lt_short]\np = %(lt_file/p)sx\n[Definition]\nlogtype = file\nfailregex = ^<lt_<logtype>/p> <HOST>\n", map[string]string{"logtype": "short"}, "7 ^fx <HOST>"},
		{"parameters win", "-- x.conf --\n[Definition]\n_d = a\nfailregex = ^%(_d)s <HOST>\n", map[string]string{"_d": "b"}, "3 ^b <HOST>"},
		{"a parameter for the regex itself", "-- x.conf --\n[Definition]\nfailregex = ^a <HOST>\n", map[string]string{"failregex": "^b <HOST>"}, "0 ^b <HOST>"},
		{"Init", "-- x.conf --\n[Definition]\nfailregex = ^<word> <HOST>\n[Init]\nword = a\n", nil, "2 ^a <HOST>"},
		{"Init and a parameter", "-- x.conf --\n[Definition]\nfailregex = ^<word> <known/word> <HOST>\n[Init]\nword = a\n", map[string]string{"word": "b"}, "2 ^b a <HOST>"},
		{"tags of the regex stay", "-- x.conf --\n[Definition]\nfailregex = ^<F-USER>\\S+</F-USER> (?P<x>a) <HOST>\nhost_ = no\n", nil, `2 ^<F-USER>\S+</F-USER> (?P<x>a) <HOST>`},
		{"before and after", "-- x.conf --\n[INCLUDES]\nbefore = a.conf\nafter = sub/b.conf\n[Definition]\n_x = 2\nfailregex = ^%(_x)s%(_y)s%(_z)s <HOST>\n-- a.conf --\n[Definition]\n_x = 1\n_y = 1\n-- sub/b.conf --\n[Definition]\n_z = 3\n", nil, "6 ^213 <HOST>"},
		{"an include that is not there", "-- x.conf --\n[INCLUDES]\nafter = x-common.local\n[Definition]\nfailregex = ^<HOST>\n", nil, "4 ^<HOST>"},
		{"includes that include each other", "-- x.conf --\n[INCLUDES]\nbefore = a.conf\n[Definition]\nfailregex = ^%(_a)s <HOST>\n-- a.conf --\n[INCLUDES]\nbefore = x.conf\n[Definition]\n_a = 1\n", nil, "4 ^1 <HOST>"},
		{"local files", "-- x.conf --\n[Definition]\n_x = a\nfailregex = ^%(_x)s <HOST>\n-- x.local --\n[Definition]\n_x = %(known/_x)sb\n-- x.d/1.conf --\n[Definition]\n_x = c\n", nil, "3 ^cb <HOST>"},
		{"a local file of an include", "-- x.conf --\n[INCLUDES]\nbefore = a.conf\n[Definition]\nfailregex = ^%(_x)s <HOST>\n-- a.conf --\n[DEFAULT]\n_x = 1\n-- a.local --\n[DEFAULT]\n_x = 2\n", nil, "4 ^2 <HOST>"},
		{"the regex of a local file", "-- x.conf --\n[Definition]\nfailregex = ^a <HOST>\n-- x.local --\n[Definition]\nfailregex = %(known/failregex)s\n  ^b <HOST>\n", nil, "0 ^a <HOST>, 0 ^b <HOST>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := LoadFilter(filepath.Join(writeConf(t, tt.files), "x.conf"), tt.params)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range f.FailRegex {
				got = append(got, fmt.Sprint(r.Line, " ", r.Regex))
			}
			if got := strings.Join(got, ", "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoadFilterOptions(t *testing.T) {
	dir := writeConf(t, "-- dir/name.conf --\n[Definition]\nprefregex = ^p <F-CONTENT>.+</F-CONTENT>$\nfailregex = ^<HOST>\nignoreregex = ^a\n ^b\n"+
		"datepattern = ^%%Y\n  {^LN-BEG}\nusedns = yes\njournalmatch = A=1 + B=2\n  C=3\n[Init]\nmaxlines = 7\n")
	f, err := LoadFilter(filepath.Join(dir, "dir/name.conf"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.Name != "name" || f.Path != filepath.Join(dir, "dir/name.conf") || f.PrefRegex != "^p <F-CONTENT>.+</F-CONTENT>$" || f.UseDNS != "yes" || f.MaxLines != 7 ||
		len(f.IgnoreRegex) != 2 || f.IgnoreRegex[1] != (Rule{Regex: "^b", Line: 5}) || !slices.Equal(f.DatePattern, []string{"^%Y", "{^LN-BEG}"}) ||
		!slices.Equal(f.JournalMatch, []string{"A=1 + B=2", "C=3"}) {
		t.Errorf("got %+v", f)
	}
}

func TestLoadFilterErrors(t *testing.T) {
	laughs := "[Definition]\nfailregex = <a>\na = " + strings.Repeat("<b>", 20) + "\nb = " + strings.Repeat("<c>", 20) + "\nc = " + strings.Repeat("<d>", 20) + "\nd = " + strings.Repeat("<e>", 20) + "\ne = " + strings.Repeat("x", 1000) + "\n"
	tests := []struct{ text, want string }{
		{"x = 1\n", `x.conf:1: option outside of a [section]: "x = 1"`},
		{"[Definition]\nfailregex\n", `x.conf:2: missing = in "failregex"`},
		{"[Definition]\na = 1\n\na = 2\n", `x.conf:4: option a is set twice`},
		{"[Definition]\n[a]\n[Definition]\n", `x.conf:3: section [Definition] is there twice`},
		{"[Def]\na = 1\n", `x.conf: no [Definition]: it is no filter`},
		{"[Definition]\n\nfailregex = ^%(no)s <HOST>\n", `x.conf:3: option failregex: %(no)s is not set`},
		{"[Definition]\nfailregex = 5% <HOST>\n", `x.conf:2: option failregex: % must be followed by % or (name)s: "% <HOST>"`},
		{"[Definition]\nfailregex = %(a)s\na = %(b)s\nb = %(a)s\n", `x.conf:2: option failregex: %(x)s within %(x)s goes too deep`},
		{"[Definition]\nfailregex = <a>\na = <b>\nb = <a>\n", `x.conf: option failregex: <a> is replaced again and again`},
		{"[Definition]\nfailregex = <failregex>\n", `x.conf: option failregex: <failregex> refers to itself`},
		{"[Definition]\nfailregex = ^<HOST>\nmaxlines = many\n", `x.conf:3: maxlines = "many" is no number from 1 to 1000`},
		{laughs, `x.conf: option failregex: the value grows beyond 1 MiB`},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			dir := writeConf(t, "-- x.conf --\n"+tt.text)
			_, err := LoadFilter(filepath.Join(dir, "x.conf"), nil)
			if err == nil || strings.ReplaceAll(err.Error(), dir+"/", "") != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := LoadFilter(filepath.Join(t.TempDir(), "none.conf"), nil); !os.IsNotExist(err) {
		t.Errorf("got %v, want that it does not exist", err)
	}
}

func TestLoadFilterManyIncludes(t *testing.T) {
	var files strings.Builder
	for i := range 8 {
		fmt.Fprintf(&files, "-- %d.conf --\n[INCLUDES]\nbefore =", i)
		for j := range 8 {
			fmt.Fprintf(&files, " %d.conf\n  ", j)
		}
		files.WriteString("\n[Definition]\nfailregex = ^<HOST>\n")
	}
	_, err := LoadFilter(filepath.Join(writeConf(t, files.String()), "0.conf"), nil)
	if err == nil || !strings.Contains(err.Error(), "files are included") {
		t.Errorf("got %v, want that too many files are included", err)
	}
}

func TestParseSpec(t *testing.T) {
	tests := []struct{ spec, want string }{
		{"sshd", "sshd map[]"},
		{"sshd[mode=aggressive]", "sshd map[mode:aggressive]"},
		{"sshd[mode=aggressive, logtype=short]", "sshd map[logtype:short mode:aggressive]"},
		{`sshd[a="x, y]", b='z"']`, `sshd map[a:x, y] b:z"]`},
		{"sshd[a=1][b=2]", "sshd map[a:1 b:2]"},
		{"sshd[a=]", "sshd map[a:]"},
		{"sshd[]", "sshd map[]"},
		{"./dir/x.conf[a=1, ]", "./dir/x.conf map[a:1]"},
		{"sshd[a]", `error filter "sshd[a]": want key=value at "a"`},
		{"sshd[a=1 b]x", `error filter "sshd[a=1 b]x": want NAME or NAME[key=value, ...]`},
		{`sshd[a="1]`, `sshd map[a:"1]`},
		{"", `error filter "": want NAME or NAME[key=value, ...]`},
	}
	for _, tt := range tests {
		t.Run(tt.spec, func(t *testing.T) {
			name, params, err := ParseSpec(tt.spec)
			got := fmt.Sprint(name, " ", params)
			if err != nil {
				got = "error " + err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
