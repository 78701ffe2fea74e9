package configs

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func seeds(f *testing.F) {
	for _, pattern := range []string{"banpipe.toml", "filter.d/*.toml", "testdata/invalid/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	for _, text := range []string{
		"", "\xef\xbb\xbfa = 1\n", "a.b.c = 1\na.d = [1,\n2, [3,\n4]]", "'x.y'.\"z\\u0041\" = {a = 1, b = [{c = 2}], # note\n d = 3}\n",
		"[[a]]\nb = 1\n[[a.c]]\nd = 2\n[a.e]\nf = 1\n[[a]]\nb = 3\n[[a.c]]\nd = 4\n", "a = \"\"\"\nb = 1\n\"\"\"\"\"\nc = '''\n'''''\nd = \"\\\"#\"\n",
		"a = 1979-05-27 07:32:00 # x\nb = \"\"\"\\\n  \"\"\"\nc = 'x#y'", "[a]\r\nb = 1\r\n[ 'c' . d ]\r\ne = 2\r\n", "jails.sshd = {port = 'ssh', enabled = true}",
	} {
		f.Add(text)
	}
}

// FuzzParse holds that no text makes the loader panic, and that every mistake it tells has a place and
// one line of text.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Parse("f.toml", []byte(text))
		var all Errors
		if err != nil && (!errors.As(err, &all) || len(all) == 0) {
			t.Fatalf("got %T, want Errors", err)
		}
		for _, one := range all {
			if one.File != "f.toml" || one.Msg == "" {
				t.Errorf("got %+v, want a place and a message", *one)
			}
		}
		if _, err := ParseFilter("f", "f.toml", []byte(text), ""); err != nil && !errors.As(err, &all) {
			t.Fatalf("got %T, want Errors", err)
		}
	})
}

// FuzzLines holds the walk that finds lines to the parser: each key and each element has a line, and what
// is written there begins like it.
func FuzzLines(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		got := lineMap(text) // of any text, without hanging
		var tree map[string]any
		if _, err := toml.Decode(text, &tree); err != nil || strings.ContainsAny(text, "\x00\x01") || strings.Contains(text, `\`) {
			return
		}
		lines := strings.Split(text, "\n")
		eachPath("", tree, func(path, key string) {
			line, ok := got[path]
			if !ok || line < 1 || line > len(lines) {
				t.Fatalf("got line %d, %v for %q in %q", line, ok, path, text)
			}
			if bareKey.MatchString(key) && !strings.Contains(lines[line-1], key) {
				t.Errorf("got line %d for %q: %q", line, path, lines[line-1])
			}
		})
	})
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func eachPath(path string, v any, visit func(path, key string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			visit(keyPath(path, key), key)
			eachPath(keyPath(path, key), inner, visit)
		}
	case []map[string]any:
		for i, inner := range v {
			visit(indexPath(path, i), "")
			eachPath(indexPath(path, i), inner, visit)
		}
	case []any:
		for i, inner := range v {
			visit(indexPath(path, i), "")
			eachPath(indexPath(path, i), inner, visit)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	keys := []string{"maxretry", "findtime", "bantime", "enabled", "port", "filter", "ignoreip", "ignoreself", "logpath"}
	tests := []struct{ word, want string }{
		{"maxretries", "maxretry"},
		{"max_retry", "maxretry"},
		{"ban-time", "bantime"},
		{"enable", "enabled"},
		{"prot", "port"},
		{"ignorself", "ignoreself"},
		{"BanTime", "bantime"},
		{"x", ""},
		{"completelyelse", ""},
		{"", ""},
		{strings.Repeat("a", 1000), ""},
	}
	for _, tt := range tests {
		t.Run(tt.word, func(t *testing.T) {
			want := ""
			if tt.want != "" {
				want = `did you mean "` + tt.want + `"?`
			}
			if got := didYouMean(tt.word, keys); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
