package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
	"github.com/banpipe/banpipe/pipeline/control"
)

// A report is what `banpipe test` prints.
type report interface {
	line(n int, line []byte, t *matchers.Trace) error
	end(t *trial) error
}

// A jsonReport is an object per line of the log.
type jsonReport struct{ w io.Writer }

func (r *jsonReport) line(n int, _ []byte, t *matchers.Trace) error {
	out := struct {
		Line    int               `json:"line"`
		Verdict string            `json:"verdict"`
		Host    string            `json:"host,omitempty"`
		Time    *time.Time        `json:"time,omitempty"`
		Rule    *int              `json:"rule,omitempty"`
		Groups  map[string]string `json:"groups,omitempty"`
	}{Line: n, Verdict: t.Verdict.String()}
	if t.Rule >= 0 {
		out.Rule, out.Time = &t.Rule, &t.Time
		out.Groups = make(map[string]string, len(t.Groups))
		for _, g := range t.Groups {
			out.Groups[g.Name] = g.Text
		}
	}
	if t.Host.IsValid() {
		out.Host = t.Host.String()
	}
	line, err := json.Marshal(out)
	if err == nil {
		_, err = r.w.Write(append(line, '\n'))
	}
	return err
}

func (r *jsonReport) end(*trial) error { return nil }

// A wordReport is for people: what was asked for of the lines, then what it comes to.
type wordReport struct {
	w               io.Writer
	explain, missed bool
}

func (r *wordReport) line(n int, line []byte, t *matchers.Trace) error {
	var err error
	switch {
	case r.missed && t.Verdict == matchers.Miss:
		_, err = fmt.Fprintf(r.w, "missed %d: %s\n", n, plain(string(line)))
	case r.explain && t.Rule >= 0:
		_, err = fmt.Fprint(r.w, explain(n, t))
	}
	return err
}

// explain draws where each group of a match lies.
func explain(n int, t *matchers.Trace) string {
	var s strings.Builder
	fmt.Fprintf(&s, "line %d: %v by rule %d", n, t.Verdict, t.Rule)
	if t.Host.IsValid() {
		fmt.Fprintf(&s, ", %v at %s", t.Host, t.Time.Format(time.RFC3339))
	}
	fmt.Fprintf(&s, "\n  %s\n", columns(t.Text))
	for _, g := range t.Groups {
		fmt.Fprintf(&s, "  %s%s %s\n", strings.Repeat(" ", g.Span.Start), strings.Repeat("^", max(1, g.Span.Len())), g.Name)
	}
	return s.String()
}

// columns writes a text with one column per byte, so that what is drawn under it stands right: whatever is not
// printable ASCII, and could move a terminal's cursor, becomes a dot.
func columns(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c > '~' {
			b[i] = '.'
		}
	}
	return string(b)
}

// plain writes a line of a log for a terminal: what could be a control sequence is escaped.
func plain(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == utf8.RuneError && n == 1, c < ' ' && c != '\t', c == 0x7f, c >= 0x80 && c < 0xa0:
			fmt.Fprintf(&out, `\x%02x`, s[i:i+n])
		default:
			out.WriteString(s[i : i+n])
		}
		i += n
	}
	return out.String()
}

func (r *wordReport) end(t *trial) error {
	w := tabwriter.NewWriter(r.w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "filter\t%s\n", t.filter.Name)
	fmt.Fprintf(w, "lines\t%d: %d hit, %d ignored, %d missed\n", t.lines, t.counts[matchers.Hit], t.counts[matchers.Ignored], t.counts[matchers.Miss])
	if t.dated > 0 {
		fmt.Fprintf(w, "dates\tin %d lines, %s to %s\n", t.dated, t.first.Format(time.RFC3339), t.last.Format(time.RFC3339))
	} else if t.lines > 0 {
		fmt.Fprintf(w, "dates\tnone found\n")
	}
	w.Flush()
	fmt.Fprintln(r.w, "\nrules")
	w = tabwriter.NewWriter(r.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "#\thits\tweight\tper line\t  failregex\n")
	for i, s := range t.tracer.Rules() {
		fmt.Fprintf(w, "%d\t%d\t%d\t%v\t  %s\n", i, s.Hits, max(1, s.Rule.Weight), (s.Time / time.Duration(max(1, t.lines))).Round(10*time.Nanosecond), plain(oneLine(s.Rule.Regex)))
	}
	w.Flush()
	r.bans(t)
	if s := t.shapeWarning(); s != "" {
		fmt.Fprintf(r.w, "\n%s\n", s)
	}
	return nil
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", `\n`) }

func (r *wordReport) bans(t *trial) {
	limits := t.limits
	forHow := limits.BanTime.String()
	if limits.BanTime < 0 {
		forHow = "ever"
	}
	fmt.Fprintf(r.w, "\nwould be banned (maxretry %d, findtime %v, bantime %s)\n", limits.MaxRetry, limits.FindTime, forHow)
	if len(t.bans) == 0 {
		fmt.Fprintln(r.w, "  nobody")
	}
	w := tabwriter.NewWriter(r.w, 0, 0, 2, ' ', 0)
	for _, a := range t.bans {
		if a.Op == pipeline.Hold {
			fmt.Fprintf(w, "  and here it would stop: %s (max_bans_per_minute)\t\t\n", a.Reason)
		}
		if a.Op != pipeline.Ban {
			continue
		}
		at := ""
		if !a.Until.IsZero() {
			at = a.Until.Add(-limits.BanTime).Format(time.RFC3339)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", control.Word(a.Prefix), at, a.Reason)
	}
	w.Flush()
}

// shapeWarning says that the filter can never match, because the log is another one.
func (t *trial) shapeWarning() string {
	if t.lines == 0 || t.counts[matchers.Hit]+t.counts[matchers.Ignored] > 0 || t.shaped > 0 || t.filter.Shape == "" {
		return ""
	}
	return fmt.Sprintf("no line of this log has the shape %q that filter %s is for: it cannot match here. Is it the right log?", t.filter.Shape, t.filter.Name)
}
