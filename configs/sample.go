package configs

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/banpipe/banpipe/matchers"
	"github.com/banpipe/banpipe/pipeline"
)

// A Sample is what a log holds and what the filter must make of it.
type Sample struct {
	Line  string `toml:"line"`  // as it stands in the log, its date included; or several lines
	Host  string `toml:"host"`  // whom it counts against; "" if it must not count
	Hits  Count  `toml:"hits"`  // how often; left out it is once
	Login string `toml:"login"` // who has logged in, and is protected; "" if nobody
	Mode  string `toml:"mode"`  // the mode of the filter in which this holds; "" is the normal one
	At    int    `toml:"-"`     // the line of the filter's file
}

// Lines are the lines of the sample.
func (s *Sample) Lines() []string {
	return strings.Split(strings.Trim(s.Line, "\n"), "\n")
}

// Want is what the filter must say of the sample: its host for every hit, and behind them "login ADDR".
func (s *Sample) Want() (all []string) {
	if s.Host != "" {
		all = slices.Repeat([]string{s.Host}, max(1, int(s.Hits)))
	}
	if s.Login != "" {
		all = append(all, loginWord+s.Login)
	}
	return all
}

const loginWord = "login "

// Check runs the filter's samples, each in its mode, through the stages of a service and tells of each that
// comes out wrong. Without the filter's file only samples without a mode can be tried.
func (f *Filter) Check() Errors {
	var wrong Errors
	programs := map[string]*matchers.Program{}
	for i := range f.Samples {
		s := &f.Samples[i]
		at := &value{file: f.Path, line: s.At}
		if _, known := programs[s.Mode]; !known {
			p, err := f.inMode(s.Mode)
			if err != nil {
				wrong.add(at, "", err)
			}
			programs[s.Mode] = p
		}
		if p := programs[s.Mode]; p != nil {
			if got := blamed(p, s.Lines()); !slices.Equal(got, s.Want()) {
				wrong.add(at, "sample", s.wrong(got))
			}
		}
	}
	return wrong
}

// inMode compiles the filter with the rules of a mode; it is nil if nobody knows them.
func (f *Filter) inMode(mode string) (*matchers.Program, error) {
	in := f.Filter
	switch {
	case f.form != nil:
		rules, err := f.form.rules(mode, 0)
		if err != nil {
			return nil, err
		}
		in.FailRegex = rules
	case mode != "":
		return nil, nil
	}
	return matchers.NewProgram([]matchers.JailFilter{{Jail: f.Name, Filter: in}})
}

// blamed is whom a program counts lines against, hit by hit, and who has logged in, as Sample.Want has it.
func blamed(p *matchers.Program, lines []string) []string {
	programs := func(string) *matchers.Program { return p }
	b := &pipeline.Batch{Source: "sample"}
	read := time.Date(2026, time.November, 30, 0, 0, 0, 0, time.UTC) // behind the dates of samples, as a rule
	for _, line := range lines {
		b.Append([]byte(line), read)
	}
	for _, s := range []pipeline.Stage{&matchers.Docker{}, &matchers.Parse{Programs: programs}, &matchers.Match{Programs: programs}, &matchers.Session{Programs: programs}} {
		if err := s.Process(context.Background(), b); err != nil {
			return []string{err.Error()}
		}
	}
	var hosts []string
	for i := range b.Records {
		switch r := &b.Records[i]; r.Kind {
		case pipeline.Hit:
			hosts = append(hosts, r.Addr.String())
		case pipeline.Login:
			hosts = append(hosts, loginWord+r.Addr.String())
		}
	}
	return hosts
}

// wrong says what came out instead of what should have.
func (s *Sample) wrong(got []string) error {
	words := func(hosts []string) string {
		if len(hosts) == 0 {
			return "nobody"
		}
		return strings.Join(hosts, ", ")
	}
	return mistake("", "it counts against %s, want %s: %q", words(got), words(s.Want()), s.Line)
}
