package sources

import (
	"bytes"
	"time"
)

// seekUndated is how many bytes without a date are searched before a file is taken to have none.
const seekUndated = 4 << 20

// place moves a file that is followed without a cursor to where reading starts.
func (f *Files) place(fl *follower, g *generation) error {
	size, _ := g.status()
	since := f.began // of a file that is made while others are read, nothing is old
	if !f.resumed.IsZero() {
		since = f.resumed // nor of one that was made while nobody was reading
	}
	if born := g.born(); born.After(since) || born.IsZero() && f.begun {
		return nil
	}
	if f.opt.From == nil {
		if f.opt.Once {
			return nil
		}
		return fl.skip(g, size, f.buf)
	}
	from := f.opt.From(fl.path)
	if from.IsZero() {
		return nil
	}
	if f.opt.DateOf != nil {
		s := dateSearch{g: g, buf: f.buf, dateOf: func(line []byte) (time.Time, bool) { return f.opt.DateOf(fl.path, line) }}
		off, err := s.find(from, size)
		if err != nil {
			return err
		}
		if off >= 0 {
			fl.moved = true
			return g.seek(off)
		}
	}
	return fl.skip(g, size, f.buf)
}

// skip has reading start at the end of the file.
func (fl *follower) skip(g *generation, size int64, buf []byte) error {
	fl.moved = size > 0
	return g.seekEnd(size, buf)
}

// seekEnd moves to the end of the file, or to the beginning of its last line if that is not finished.
func (g *generation) seekEnd(size int64, buf []byte) error {
	start := max(0, size-int64(len(buf)))
	n, err := pread(g.file, buf[:size-start], start)
	if err != nil {
		return err
	}
	if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
		size = start + int64(i) + 1
	}
	return g.seek(size)
}

// A dateSearch finds by bisection where in a file a time begins. Lines without a date belong to the dated
// one before; where dates go back a little, a few lines more or less are found.
type dateSearch struct {
	g      *generation
	buf    []byte
	dateOf func(line []byte) (time.Time, bool)
}

// find returns the offset of the first line dated from or later; -1 if there is none, or no date at all in
// the first megabytes.
func (s *dateSearch) find(from time.Time, size int64) (int64, error) {
	lo, hi := int64(0), size // dated lines that begin before lo are earlier
	any := false
	for hi-lo > int64(len(s.buf)) {
		mid := lo + (hi-lo)/2
		v, err := s.view(mid, time.Time{})
		if err != nil {
			return 0, err
		}
		any = any || v.dated
		if v.found && v.date.Before(from) {
			lo = max(v.start, mid)
		} else {
			hi = mid
		}
	}
	for undated := int64(0); ; {
		v, err := s.view(lo, from)
		if err != nil {
			return 0, err
		}
		if v.found {
			return v.start, nil
		}
		any = any || v.dated
		undated += v.end - lo
		if v.end <= lo || v.end >= size || !any && undated > seekUndated {
			return -1, nil
		}
		lo = v.end
	}
}

// A view is what one block of a file says about a date.
type view struct {
	start int64     // where the line begins that was looked for
	date  time.Time // its date
	found bool
	dated bool  // a line of the block has a date
	end   int64 // behind the last line of the block; where it began if that is the end of the file
}

// view looks in the block at off, which need not be the beginning of a line, for the first line that is
// dated from or later.
func (s *dateSearch) view(off int64, from time.Time) (v view, err error) {
	at := max(0, off-1) // the newline before off tells that a line begins there
	n, err := pread(s.g.file, s.buf, at)
	if err != nil {
		return v, err
	}
	p := s.buf[:n]
	v.end = off
	if off > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			v.end = at + int64(n) // one line, longer than the block
			return v, nil
		}
		p, at = p[i+1:], at+int64(i)+1
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		if date, ok := s.dateOf(bytes.TrimSuffix(p[:i], []byte("\r"))); ok {
			v.dated = true
			if !date.Before(from) {
				v.start, v.date, v.found = at, date, true
				return v, nil
			}
		}
		p, at = p[i+1:], at+int64(i)+1
		v.end = at
	}
	if n == len(s.buf) && v.end <= off {
		v.end = off + int64(n) - 1
	}
	return v, nil
}
