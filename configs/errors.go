package configs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// An Error is one mistake in a configuration or a filter, told so that its author can mend it.
type Error struct {
	File string `json:"file,omitempty"` // as it was named to Load; "" for a configuration without a file
	Line int    `json:"line,omitempty"` // from 1; 0 if the mistake has no line
	Msg  string `json:"error"`          // lower case, outside in: `jail "sshd": unknown key "maxretries"`
	Hint string `json:"hint,omitempty"` // what to do about it; "" if nothing better than Msg can be said
}

// Error writes "file:line: message", and the hint on a line of its own behind it.
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if e.Hint != "" {
		b.WriteString("\nhint: " + e.Hint)
	}
	return b.String()
}

// Errors is every mistake that was found in one go, by file and line. It is never empty where it is
// returned as an error.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As and errors.Is the single mistakes.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, err := range e {
		all[i] = err
	}
	return all
}

// add notes err as a mistake at v. What an Error already knows (its file, its hint) stays; label, the
// table that the value stands in, goes in front.
func (e *Errors) add(v *value, label string, err error) {
	var many Errors
	if errors.As(err, &many) {
		for _, one := range many {
			e.add(v, label, one)
		}
		return
	}
	out := &Error{Msg: err.Error()}
	if one := (*Error)(nil); errors.As(err, &one) {
		*out = *one
	}
	if out.File == "" {
		out.File, out.Line = v.file, v.line
	}
	if label != "" {
		out.Msg = label + ": " + out.Msg
	}
	*e = append(*e, out)
}

// err is e by file and line, or nil if there is none. Files keep the order in which they were read.
func (e Errors) err() error {
	if len(e) == 0 {
		return nil
	}
	var files []string
	for _, one := range e {
		if !slices.Contains(files, one.File) {
			files = append(files, one.File)
		}
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		if a.File != b.File {
			return slices.Index(files, a.File) - slices.Index(files, b.File)
		}
		return a.Line - b.Line
	})
	return e
}

// mistake makes an Error that has yet to learn its place.
func mistake(hint, format string, args ...any) *Error {
	return &Error{Msg: fmt.Sprintf(format, args...), Hint: hint}
}

// didYouMean names the candidate that word was probably meant to be; "" if none is near.
func didYouMean(word string, candidates []string) string {
	best, least := "", 1+max(1, len(word)/3) // a third of the letters wrong is another word
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(word, c); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour until a is
// b (optimal string alignment); '-' and '_' count as the same letter, case does not count.
func distance(a, b string) int {
	same := strings.NewReplacer("-", "_", ".", "_")
	x, y := same.Replace(strings.ToLower(a)), same.Replace(strings.ToLower(b))
	if len(x) > 64 || len(y) > 64 {
		return max(len(x), len(y)) // no key of ours is that long, and the table below is quadratic
	}
	before, row := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(x) {
		next := make([]int, len(y)+1)
		next[0] = i + 1
		for j := range len(y) {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(y)]
}
