package configs

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/banpipe/banpipe/matchers"
)

// stdin is what the stream is called in Batch.Source. A program that has several calls them "stdin:NAME".
const stdin = "stdin"

// readsFrom reports whether the jail looks at the lines of a source: a file or a named pipe that its logpath names, or the
// stream if there is one.
func (j *Jail) readsFrom(source string) bool {
	if j.CountsBans() {
		return false
	}
	path, isFile := strings.CutPrefix(source, "file:")
	if !isFile {
		path, isFile = strings.CutPrefix(source, "fifo:")
	}
	if match := j.Journal(); match != "" && source == journalSource(match) {
		return true
	}
	if !isFile {
		return source == stdin || strings.HasPrefix(source, stdin+":")
	}
	return slices.ContainsFunc(j.LogPath, func(pattern string) bool {
		if pattern == path || filepath.Clean(pattern) == path {
			return true
		}
		ok, _ := filepath.Match(pattern, path)
		return ok
	})
}

func jailsOn(jails []*Jail, source string) []*Jail {
	var on []*Jail
	for _, j := range jails {
		if j.readsFrom(source) {
			on = append(on, j)
		}
	}
	return on
}

// programs hands out one program per set of jails: a hundred virtual hosts with a log each share one. It
// may be used by several goroutines, and outlives Build, since files appear later.
type programs struct {
	jails []*Jail

	mu    sync.Mutex // guards known
	known map[string]*matchers.Program
}

func newPrograms(jails []*Jail) *programs {
	return &programs{jails: jails, known: map[string]*matchers.Program{}}
}

// of is matchers.Match.Programs.
func (p *programs) of(source string) *matchers.Program {
	var names []string
	var filters []matchers.JailFilter
	for _, j := range jailsOn(p.jails, source) {
		names, filters = append(names, j.Name), append(filters, j.filter())
	}
	if len(names) == 0 {
		return nil
	}
	key := strings.Join(names, "\x00")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known[key] == nil {
		program, err := matchers.NewProgram(filters)
		if err != nil {
			return nil // Build has compiled each of them, and jails do not disturb one another
		}
		p.known[key] = program
	}
	return p.known[key]
}

// slow lists the rules on the slow path, of the sources that were asked for.
func (p *programs) slow() (all []matchers.Note) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, program := range p.known {
		for _, n := range program.SlowRules() {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

// A start says where reading begins in a file that was never read before: as far back as its jails
// remember, by the dates of its lines.
type start struct {
	jails []*Jail
	now   func() time.Time

	mu      sync.Mutex // guards finders
	finders map[string]*matchers.Finder
}

func newStart(b *builder) *start {
	s := &start{jails: b.jails, now: b.opts.Now, finders: map[string]*matchers.Finder{}}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// from is sources.FilesOptions.From.
func (s *start) from(path string) time.Time {
	var longest Duration
	for _, j := range jailsOn(s.jails, "file:"+path) {
		longest = max(longest, j.FindTime)
	}
	return s.now().Add(-time.Duration(longest))
}

// dateOf is sources.FilesOptions.DateOf. Where jails disagree about dates the first one has its way: it
// is only about where to begin.
func (s *start) dateOf(path string, line []byte) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, known := s.finders[path]
	if !known {
		if on := jailsOn(s.jails, "file:"+path); len(on) > 0 {
			dates, err := matchers.NewDates(on[0].Loaded.DatePattern, matchers.DateOptions{Location: on[0].LogTimezone.Location})
			if err == nil {
				f = dates.Finder()
			}
		}
		s.finders[path] = f
	}
	if f == nil {
		return time.Time{}, false
	}
	span, ok := f.Find(line)
	if !ok || span.Len() == 0 {
		return time.Time{}, false
	}
	return f.Time(line, span, s.now())
}
