package matchers

import "testing"

// TestLinear shows which constructs have a linear form, and that it decides as it should. That it does so
// in general is for TestDialectAgainstPython and FuzzDialect.
func TestLinear(t *testing.T) {
	tests := []struct {
		regex  string
		yes    []string
		no     []string
		linear bool
	}{
		{`^a(?!b)\w`, []string{"ac", "aa"}, []string{"ab", "a"}, true},
		{`^user (?!root\b)\S+ `, []string{"user bob ", "user rooty ", "user roo "}, []string{"user root ", "user root-x "}, true},
		{`^(?!ab)[ab]+$`, []string{"a", "ba", "aab"}, []string{"ab", "abb"}, true},
		{`^failed:(?! lost| gone)`, []string{"failed:", "failed: ", "failed: los", "failed: no"}, []string{"failed: lost", "failed: gone now"}, true},
		{`^x(?=.* \d$)[a-z \d]+$`, []string{"xa 1", "xa1b 2"}, []string{"xa", "x1a", "xa1"}, true},
		{`^x(?=.*\d$)[a-z ]+`, []string{"xa 1", "xa b2"}, []string{"xa", "x1a"}, false}, // what is behind the match decides
		{`^(?:(?! from ).)*? from \d$`, []string{"a from 1", " from 1", "afrom from 1"}, []string{"a from b from 1", "a from from 1"}, true},
		{`^(?:(?!ab).)*$`, []string{"", "aa", "ba"}, []string{"ab", "aab"}, true},
		{`^(?P<g>a)?b(?(g)c|d)e$`, []string{"abce", "bde"}, []string{"abde", "bce"}, true},
		{`^(?:(?P<g>a)|b)(?(g)b|a)$`, []string{"ab", "ba"}, []string{"aa", "bb"}, true},
		{`^(?:\w+ (?!found\b)){0,2}\w+ found$`, []string{"a found", "a b found", "a b c found", "a foundling found"}, []string{"found", "a found found", "a b c d found"}, true},
		{`^(?:x(?=y)\S+ )*z`, []string{"z", "xy z", "xya xyb z"}, []string{"xa z"}, true},
		{`^a$\s`, []string{"a"}, []string{"a b"}, true}, // $ stands before the newline, \s takes it
		{`^(?P<g>\w)b(?P=g)$`, []string{"aba"}, []string{"abc"}, false},
		{`^(?:(?P<g>a)|\w)*(?(g)1|2)`, []string{"ab1", "b2"}, []string{"b1"}, false},                // the group is asked for behind a repetition
		{`^(?P<g>\w+(?!a))\w`, []string{"bcc"}, []string{"ba"}, false},                              // the look-ahead reaches out of the group
		{`^(?:(?!ab).)*.c`, []string{"xac", "c c"}, []string{"x", "xabc"}, false},                   // where to stop is a choice
		{`^(?P<u>\w*?(?P<g>1)?)(?(g)x|y)`, []string{"yz1x", "1x", "y"}, []string{"x", "1z"}, false}, // the order of choices would change
		{`^(?!ab\B)\w+$`, []string{"ab", "ba"}, []string{"abc"}, true},
		{`^(?!ab\b)\w+$`, []string{"abc", "ba"}, []string{"ab"}, true},
		{`(?<!a)b`, []string{"b", "cb"}, []string{"ab"}, false},
		{`^(?>a+)ab|c`, []string{"c"}, []string{"aab"}, false},
		{`^a++ab|c`, []string{"c"}, []string{"aab"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.regex, func(t *testing.T) {
			r, err := compileRegex(tt.regex, "", false)
			if err != nil {
				t.Fatal(err)
			}
			if (r.slow == nil) != tt.linear {
				t.Errorf("got linear %v, want %v: %s", r.slow == nil, tt.linear, r.fast)
			}
			for _, text := range tt.yes {
				if _, found, _ := r.find([]byte(text+"\n"), nil); !found {
					t.Errorf("%q: got no match", text)
				}
			}
			for _, text := range tt.no {
				if _, found, _ := r.find([]byte(text+"\n"), nil); found {
					t.Errorf("%q: got a match", text)
				}
			}
		})
	}
}

func TestParsePython(t *testing.T) {
	tests := []struct{ regex, want string }{ // what Go is given; or, behind "error ", what is wrong
		{`a{,3}b`, `a{0,3}b`},
		{`a{2}{`, `a{2,2}\{`},
		{`a{x}`, `a\{x\}`},
		{`[]a-c]`, `[\]a-c]`},
		{`[^]\d]`, `[^\p{Nd}\]]`},
		{`\w`, `[\p{L}\p{N}_]`},
		{`\d`, `[\p{Nd}]`},
		{`\Z`, `\z`},
		{`^a$`, `\Aa(?:\n?\z)`},
		{`(?m)^a$`, `(?m:^)a(?m:$)`},
		{`(?i)k`, `[Kk\x{212A}]`},
		{`(?i:a)b`, `[Aa]b`},
		{`a(?i)b`, `[Aa][Bb]`},
		{`(?s).`, `[\s\S]`},
		{`.`, `[^\x{A}]`},
		{`(?x) a # x` + "\n" + ` b`, `ab`},
		{`(?#x)a`, `a`},
		{`\x41\101\u0042\t`, `AAB\x{9}`},
		{`(?P<a>x)|(y)`, `(x)|y`},
		{`\.\-\/\"`, `\.\x{2D}/"`},
		{`(a`, "error missing ) at byte 2"},
		{`a)`, "error unbalanced parenthesis at byte 1"},
		{`[a`, "error missing ] at byte 2"},
		{`*a`, "error nothing to repeat at byte 0"},
		{`a**`, "error multiple repeat at byte 1"},
		{`a{2000}`, "error a repeat of more than 1000 at byte 1"},
		{`a{3,2}`, "error min repeat greater than max repeat at byte 1"},
		{`(?P<a>x)(?P<a>y)`, "error group name a is used twice at byte 14"},
		{`(?P<1>x)`, `error bad group name "1" at byte 6`},
		{`(?P=a)`, "error no such group: a at byte 6"},
		{`(a\1)`, "error reference to a group that is still open: 1 at byte 4"},
		{`\2`, "error no such group: 2 at byte 2"},
		{`(a)(?(1)b|c|d)`, "error conditional with more than two branches at byte 14"},
		{`\y`, `error bad escape \y at byte 2`},
		{`\x4`, `error incomplete escape \x at byte 2`},
		{`[b-a]`, "error bad character range at byte 4"},
		{`(?z)`, "error unknown extension (?z at byte 3"},
		{`a\`, "error bad escape at the end at byte 2"},
	}
	for _, tt := range tests {
		t.Run(tt.regex, func(t *testing.T) {
			got := ""
			if r, err := compileRegex(tt.regex, "", false); err != nil {
				got = "error " + err.Error()
			} else {
				got = r.fast.String()
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
