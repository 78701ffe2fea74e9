package dfa

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// host is what a <HOST> of a filter becomes.
const host = `(?:(?:::f{4,6}:)?((?:\d{1,3}\.){3}\d{1,3})|\[?((?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|:))\]?|([\w\-.^_]*\w))`

// differences runs a regex over a text and says where it differs from regexp; "" if nowhere. The text is
// cut at every place, the caches stay, and what stops early is asked for each group alone as well.
func differences(expr, text string) string {
	want := regexp.MustCompile(expr).FindStringSubmatchIndex(text)
	for group := -1; 2*group < len(want); group++ {
		var wanted []int
		if group >= 0 {
			wanted = []int{group}
		}
		c, err := CompileCaptures(expr, wanted)
		if err != nil {
			return err.Error()
		}
		caches := []*CaptureCache{c.NewCache(), c.NewCache()}
		only := slices.Clone(want)
		for i := range only {
			if group >= 0 && i/2 != group {
				only[i] = -1
			}
		}
		for _, matches := range []bool{false, true} {
			if matches && want == nil {
				continue
			}
			for cut := range len(text) + 1 {
				last := cut + (len(text)-cut)/3
				got, found, thrashes := caches[cut%2].Find([]byte(text[:cut]), []byte(text[cut:last]), []byte(text[last:]), matches, nil)
				if found != (want != nil) || thrashes || !slices.Equal(got, only) {
					return fmt.Sprintf("%q on %q, %q, %q for group %d, known to match %v: got %v, found %v, thrashes %v, want %v",
						expr, text[:cut], text[cut:last], text[last:], group, matches, got, found, thrashes, only)
				}
			}
		}
	}
	return ""
}

// captureCases are regexes and texts of all beside: seeds of the fuzz target too.
var captureCases = []struct{ expr, text string }{
	{`a`, "a"},
	{`a`, "b"},
	{``, "a"},
	{`(a*)(a?)b`, "xaaab"},
	{`(a*?)(a+)`, "baaa"},
	{`(a|ab)(c|bcd)(d*)`, "abcd"},
	{`(?:(a)|b)*`, "ab"},
	{`(?:(a)|(b)|(c))+`, "cab"},
	{`((a)*)*`, "aaa"},
	{`(a*)*`, "b"},
	{`(a|)+b`, "aab"},
	{`(|a)+`, "aa"},
	{`(|a)*`, "aa"},
	{`(a+)+$`, "aaaaaaaab"},
	{`^(\w+) (\d{2,4})(\d*)$`, "user 123456"},
	{`^(\d+)|^\w+`, "77 x"},
	{`(x)?y\z`, "xyy"},
	{`(?m:^)(b+)(?m:$)`, "a\nbb\nc"},
	{`\bfoo\b|\Boo`, "xfoo foo"},
	{`\B`, "a"},
	{`(\b|x)+`, "x x"},
	{`^$`, ""},
	{`(?:\n?\z)`, "\n"},
	{`(.*)(?:\n?\z)`, "line\n"},
	{`(?s)(.*?)\n(.*)`, "a\nb\n"},
	{`(?i)(k+)(ſ)`, "K\u212aS"},
	{`[^a](.)`, "a\xff\xe2\x82"},
	{`(\x{fffd}+)`, "x\xff\xe2\x82\ufffd"},
	{`(é)([^é]+)`, "xéàü"},
	{`(\p{L}+) (\p{Greek}*)`, "xéλ λλ1"},
	{`[\x{d7ff}-\x{e000}]`, "\ue000"},
	{`[^\x{d800}]|[^\x{dc00}]`, "\ue000"},
	{`(.)(.)`, "\xe2\x82\xac\xf0\x9f\x98\x80"},
	{`(a{2,4}?)(a{1,3})(a*)`, "aaaaaaa"},
	{`(?:a{0,3}b){2,3}(c)?`, "aabaabbc"},
	{`(a)|(b)|(c)|(d)`, "d"},
	{`^(?:(a)(b)|(a)(c)|a(.))`, "ax"},
	{`(x(y(z)?)?)+`, "xyzxyx"},
	{`[[:^ascii:]]+(\d)`, "1é2"},
	{`a(?:(b)(c)|(bc))d|(abcd)e`, "abcde"},
	{`(.+)(?:.(.))(?:(.)|x)`, "abcdefgh"},
	{`(\w*?)(\d+)(?:\D|(z))*?(-)`, "ab12zz-"},
	{`^` + host + ` -`, "192.0.2.7 - "},
	{`^` + host + ` -`, "2001:db8::7 - "},
	{`^` + host + ` -`, "host.example - "},
	{`from ` + host + `(?: port (\d+))?\s*$`, "from a from ::ffff:192.0.2.7 port 22"},
	{`^(?:a|b)*?([^ ]*) .* from (\S+?)(:\d+)?$`, "abc from from 192.0.2.7:22"},
}

func TestCaptures(t *testing.T) {
	for _, c := range captureCases {
		t.Run(c.expr, func(t *testing.T) {
			for _, text := range []string{c.text, "", "x" + c.text, c.text + "\n", c.text + "\ufffd", strings.Repeat(c.text, 3)} {
				if d := differences(c.expr, text); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

// TestCapturesWanted holds that groups that are not wanted are not looked for.
func TestCapturesWanted(t *testing.T) {
	for _, wanted := range [][]int{{}, {0}, {2}, {1, 3}} {
		c, err := CompileCaptures(`(a)(b)(c)`, wanted)
		if err != nil {
			t.Fatal(err)
		}
		spans, found, _ := c.NewCache().Find([]byte("abc"), nil, nil, false, []int{7})
		want := []int{7, -1, -1, -1, -1, -1, -1, -1, -1}
		for _, g := range wanted {
			copy(want[1+2*g:], [][]int{{0, 3}, {0, 1}, {1, 2}, {2, 3}}[g])
		}
		if !found || !slices.Equal(spans, want) {
			t.Errorf("%v: got %v, want %v", wanted, spans, want)
		}
	}
	for _, wrong := range [][]int{{-1}, {2}} {
		if _, err := CompileCaptures(`(a)`, wrong); err == nil {
			t.Errorf("%v: no error", wrong)
		}
	}
	if _, err := CompileCaptures(`(`, nil); err == nil {
		t.Error("no error for what is no regex")
	}
}

// TestCapturesStop holds that a search whose result is known to match ends where the host is settled.
func TestCapturesStop(t *testing.T) {
	c, err := CompileCaptures(`^`+host+` -.*"(?:GET|POST) [^"]*" 404 `, []int{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(`192.0.2.7 - - "GET /` + strings.Repeat("x", 1000) + `" 404 1`)
	cache := c.NewCache()
	spans, found, _ := cache.Find(line, nil, nil, true, nil)
	if !found || spans[3] != len("192.0.2.7") {
		t.Fatalf("got %v", spans)
	}
	if cache.read > 15 {
		t.Errorf("read %d bytes to find the host", cache.read)
	}
}

// TestCapturesFlush runs with room for next to no states, and wants the same results.
func TestCapturesFlush(t *testing.T) {
	for _, c := range captureCases {
		compiled, err := CompileCaptures(c.expr, nil)
		if err != nil {
			t.Fatal(err)
		}
		small := compiled.NewCache()
		small.most = 3
		for _, text := range []string{c.text, strings.Repeat(c.text, 3), "x" + c.text + "\n"} {
			want := regexp.MustCompile(c.expr).FindStringSubmatchIndex(text)
			got, _, _ := small.Find([]byte(text), nil, nil, false, nil)
			if !slices.Equal(got, want) {
				t.Errorf("%q on %q: got %v, want %v", c.expr, text, got, want)
			}
		}
	}
}

// TestCapturesThrash holds that a regex with an exponential number of states gives up, after work that is
// linear in what was read, and says so ever after.
func TestCapturesThrash(t *testing.T) {
	c, err := CompileCaptures(`(?:a|b)*a(?:a|b){24}(c)`, nil)
	if err != nil {
		t.Fatal(err)
	}
	cache := c.NewCache()
	text, x := make([]byte, 1<<20), uint32(1)
	for i := range text {
		x = x*1664525 + 1013904223
		text[i] = 'a' + byte(x>>31)
	}
	_, _, thrashes := cache.Find(text, nil, nil, false, nil)
	if !thrashes {
		t.Fatalf("it does not thrash: %+v", cache.Stats())
	}
	if s := cache.Stats(); s.States > edgeCredit+1 || s.Work > 100*edgeCredit {
		t.Errorf("got %+v", s)
	}
	if _, _, thrashes = cache.Find([]byte("x"), nil, nil, false, nil); !thrashes {
		t.Error("it does not say so again")
	}
}

// TestCapturesLinear counts what a long line costs: next to nothing per byte once it is known.
func TestCapturesLinear(t *testing.T) {
	for _, expr := range []string{
		`(x+x+)+y`, `(.*)(.*)(.*)(.*)z$`, `^(\S+) .*from ` + host + ` port (\d+)$`, `(\w+\s?)*$`, `foo .*bar .*baz .*from (\S+)`,
	} {
		c, err := CompileCaptures(expr, nil)
		if err != nil {
			t.Fatal(err)
		}
		cache := c.NewCache()
		cache.Find([]byte(strings.Repeat("x foo bar baz from 192.0.2.7 ", 100)), nil, nil, false, nil)
		before := cache.Stats()
		cache.Find([]byte(strings.Repeat("x foo bar baz from 192.0.2.7 ", 1<<20/30)), nil, nil, false, nil)
		if after := cache.Stats(); after.Work-before.Work > before.Work+1000 || after.States > 500 {
			t.Errorf("%q: got %+v, then %+v", expr, before, after)
		}
	}
}

// TestCapturesAllocate holds that nothing is allocated for lines whose states are there.
func TestCapturesAllocate(t *testing.T) {
	c, err := CompileCaptures(`^`+host+` \S+ "(\S+) [^"]*é?" (\d+)`, nil)
	if err != nil {
		t.Fatal(err)
	}
	cache := c.NewCache()
	line, rest, spans := []byte("192.0.2.7 - "), []byte(`"GET /é" 404`), make([]int, 0, 20)
	if n := testing.AllocsPerRun(100, func() {
		var found bool
		if spans, found, _ = cache.Find(line, rest, []byte("\n"), false, spans[:0]); !found {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}

func ExampleCompileCaptures() {
	c, err := CompileCaptures(`^(\S+) \S+ "(?:GET|POST) ([^"]*)"`, []int{1, 2})
	if err != nil {
		panic(err)
	}
	cache := c.NewCache()
	head, tail := []byte("192.0.2.7 - "), []byte(`"GET /.env"`)
	spans, found, _ := cache.Find(head, tail, []byte("\n"), false, nil)
	fmt.Println(found, spans)
	// Output: true [-1 -1 0 9 17 22]
}
