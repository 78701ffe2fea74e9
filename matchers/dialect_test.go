package matchers

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A regexMaker makes random regexes of the kind that filters have, over few letters, so that they match
// now and then.
type regexMaker struct {
	*rand.Rand
	names int
	depth int
}

func (r *regexMaker) pick(s ...string) string { return s[r.IntN(len(s))] }

func (r *regexMaker) regex() string {
	r.names, r.depth = 0, 0
	s := r.sequence()
	if r.IntN(2) == 0 {
		s = "^" + s
	}
	if r.IntN(2) == 0 {
		s += "$"
	}
	return s
}

func (r *regexMaker) sequence() string {
	var b strings.Builder
	for range 1 + r.IntN(4) {
		b.WriteString(r.item())
	}
	return b.String()
}

func (r *regexMaker) item() string {
	if r.depth++; r.depth > 12 {
		return "a"
	}
	word := r.pick("a", "b", "ab", " from ", ": ", "ba", "aa", " ")
	switch r.IntN(14) {
	case 0, 1, 2:
		return word
	case 3:
		return r.pick(`\S`, `\s`, `\w`, `.`, `[ab]`, `[^a]`, `[^:]`, `\d`, `\W`) + r.pick("*", "+", "?", "*?", "+?", "??", "{,2}", "{1,2}", "")
	case 4:
		r.names++
		return fmt.Sprintf("(?P<g%d>%s)", r.names, r.alternatives())
	case 5:
		return "(?:" + r.alternatives() + ")" + r.pick("", "", "?", "*", "??", "{0,2}")
	case 6:
		return "(?!" + r.lookable() + ")" + r.pick(`\S+`, `.*`, `[ab ]*`, r.item())
	case 7:
		return "(?=" + r.lookable() + ")" + r.pick(`\S+`, `.*?`, r.item())
	case 8:
		w := r.pick(" from ", "ab", "aa", "b:", "aba")
		return "(?:(?!" + w + ").)" + r.pick("*", "*?", "+") + r.pick(w, "$", "")
	case 9:
		r.names++
		n := r.names
		return fmt.Sprintf("(?P<g%d>%s)?%s(?(g%d)%s|%s)", n, r.sequence(), r.item(), n, r.item(), r.item())
	case 10:
		r.names++
		n := r.names
		return fmt.Sprintf("(?:(?P<g%d>%s)|%s)%s(?(g%d)%s|%s)", n, r.item(), r.item(), r.item(), n, r.item(), r.item())
	case 11:
		return r.pick(`\b`, `\B`, `(?i:A)`, `(?=a)`, `(?!b)`)
	}
	return word
}

func (r *regexMaker) alternatives() string {
	s := r.sequence()
	for r.IntN(3) == 0 {
		s += "|" + r.sequence()
	}
	return s
}

func (r *regexMaker) lookable() string {
	s := r.pick("a", "ab", "aba", " from ", "b ", `a\b`, `a*b`, `\w+ a`, "aa|b", "a$")
	if r.IntN(3) == 0 {
		s += "|" + r.pick("b", "ba", " a", `[^a]b`)
	}
	return s
}

func (r *regexMaker) text() string {
	var b strings.Builder
	for range r.IntN(12) {
		b.WriteString(r.pick("a", "b", " ", ":", " from ", "ab", "1", "A", ": "))
	}
	return b.String() + "\n"
}

// A pythonQuestion asks Python's re what a regex makes of texts; the answer has a match or nil for each.
type pythonQuestion struct {
	Regex string   `json:"regex"`
	Texts []string `json:"texts"`
}

type pythonAnswer struct {
	Error   string
	Matches []*struct {
		Start  int
		Groups map[string][2]int
	}
}

func askPython(t *testing.T, questions []pythonQuestion) []pythonAnswer {
	t.Helper()
	if _, err := os.Stat(debianPython); err != nil {
		t.Skip("needs python3")
	}
	request, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "request.json")
	if err := os.WriteFile(path, request, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(debianPython, "testdata/research.py", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []pythonAnswer
	for line := range strings.Lines(string(out)) {
		var a pythonAnswer
		parseJSON(t, line, &a)
		answers = append(answers, a)
	}
	return answers
}

// TestClassesAgainstPython holds that \s, \w and \d mean what they do in Python. Of letters and digits only
// those are compared that every version of Unicode in use has.
func TestClassesAgainstPython(t *testing.T) {
	tests := []struct {
		regex string
		below rune
	}{{`^\s\Z`, 0x3100}, {`^\w\Z`, 0x500}, {`^\d\Z`, 0x700}, {`^\S\Z`, 0x3100}, {`^.\Z`, 0x3100}, {`^(?i:[a-z])\Z`, 0x3100}}
	var questions []pythonQuestion
	for _, tt := range tests {
		q := pythonQuestion{Regex: tt.regex}
		for r := rune(0); r < tt.below; r++ {
			q.Texts = append(q.Texts, string(r))
		}
		questions = append(questions, q)
	}
	for i, answer := range askPython(t, questions) {
		re, err := compileRegex(tests[i].regex, "", false)
		if err != nil {
			t.Fatal(err)
		}
		for j, m := range answer.Matches {
			if _, got, _ := re.find([]byte(questions[i].Texts[j]), nil); got != (m != nil) {
				t.Errorf("%s: %q: got %v, want %v", tests[i].regex, questions[i].Texts[j], got, m != nil)
			}
		}
	}
}

// TestDialectAgainstPython compares random regexes with Python's own re: they must match the same texts,
// from the same place, with the same groups, those with a linear form and those on the slow path.
func TestDialectAgainstPython(t *testing.T) {
	maker := regexMaker{Rand: rand.New(rand.NewPCG(3, 4))}
	n := 5_000
	if testing.Short() {
		n = 500
	}
	var questions []pythonQuestion
	for range n {
		q := pythonQuestion{Regex: maker.regex()}
		for range 20 {
			q.Texts = append(q.Texts, maker.text())
		}
		questions = append(questions, q)
	}
	exact, rewritten, matches, wrong := 0, 0, 0, 0
	for i, answer := range askPython(t, questions) {
		q := questions[i]
		re, err := compileRegex(q.Regex, "", false)
		if (err != nil) != (answer.Error != "") {
			t.Errorf("%s: got error %v, want %q", q.Regex, err, answer.Error)
			continue
		}
		if err != nil {
			continue
		}
		if re.slow == nil {
			exact++
		}
		if re.slow == nil && (strings.Contains(q.Regex, "(?!") || strings.Contains(q.Regex, "(?=") || strings.Contains(q.Regex, "(?(")) {
			rewritten++
		}
		for j, m := range answer.Matches {
			text := q.Texts[j]
			want, got := "no match", "no match"
			if m != nil {
				matches++
				want = fmt.Sprint(m.Start)
				for _, name := range slices.Sorted(keys(m.Groups)) {
					want += fmt.Sprintf(" %s:%d-%d", name, m.Groups[name][0], min(m.Groups[name][1], len(text)-1))
				}
			}
			if spans, found, _ := re.find([]byte(text), nil); found {
				got = fmt.Sprint(spans[0])
				names := slices.Clone(re.names)
				slices.Sort(names)
				for _, name := range names {
					if k := slices.Index(re.names, name); name != "" && spans[2*k] >= 0 {
						got += fmt.Sprintf(" %s:%d-%d", name, spans[2*k], min(spans[2*k+1], len(text)-1))
					}
				}
			}
			if got != want {
				if wrong++; wrong < 20 {
					t.Errorf("%s on %q: got %s, want %s\n\t%s", q.Regex, text, got, want, re.fast)
				}
				break
			}
		}
	}
	t.Logf("%d of %d regexes have a linear form, %d of them a rewritten one; %d matches", exact, n, rewritten, matches)
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
