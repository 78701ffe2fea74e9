// Package compare tells where fail2ban and banpipe differ about whom to ban, and why: for the time in which both run, or
// for deciding whether to change over.
//
// What fail2ban did stands in its log. What banpipe does with the same lines is found by letting it read its logs once, in the
// time of their own dates; what a service has decided, if there is one, comes from its history.
package compare

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// How much of a log is kept: lines are hostile.
const (
	maxLine  = 8 << 10 // bytes of a line
	maxTimes = 1000    // of what is known of one address
)

// A Theirs is what fail2ban's log says.
type Theirs struct {
	From, To time.Time // of its first and last line
	Ended    bool      // it was shut down at the end
	Jails    map[string]*TheirJail
	Lines    int // that could be read
}

// A TheirJail is one jail of it.
type TheirJail struct {
	Settings Settings // as far as the log has them
	Logs     []string // that it reads
	Addrs    map[netip.Addr]*TheirAddr
}

// Settings are a jail's limits; zero where they are not known.
type Settings struct {
	MaxRetry          int
	FindTime, BanTime time.Duration // negative never ends
}

// A TheirAddr is what happened to one address.
type TheirAddr struct {
	Found    []time.Time // offences, by their own dates
	Bans     []time.Time
	Restored []time.Time // bans of an earlier run
	Unbans   []time.Time
	Ignored  bool
	Already  bool // it was banned when it offended on
}

// The lines of fail2ban.log (server/filter.py, actions.py, jail.py, server.py of 0.11 to 1.1). Where an address may stand is
// bounded, so what somebody has written into a log line cannot pass for a jail's.
var (
	header  = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} fail2ban\.(\w+)\s*\[\d+\]: [A-Z]+\s+(.*)$`)
	event   = regexp.MustCompile(`^\[([\w.:-]{1,64})\] (Found|Ban|Restore Ban|Unban|Ignore) ([0-9A-Fa-f.:]{2,45})(?: - (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\b.*| by .*)?$`)
	already = regexp.MustCompile(`^\[([\w.:-]{1,64})\] ([0-9A-Fa-f.:]{2,45}) already banned$`)
	created = regexp.MustCompile(`^Creating new jail '([\w.:-]{1,64})'$`)
	added   = regexp.MustCompile(`^Added logfile: '([^']{1,1000})'`)
	setting = regexp.MustCompile(`^(maxRetry|findtime|banTime): (-?\d{1,10})$`)
)

// ReadLogs reads fail2ban's logs, rotated and compressed ones among them, in the order of their dates.
func ReadLogs(paths ...string) (*Theirs, error) {
	type log struct {
		text  io.Reader
		close func() error
		first time.Time
	}
	var logs []log
	defer func() {
		for _, l := range logs {
			l.close()
		}
	}()
	for _, path := range paths {
		text, done, err := openLog(path)
		if err != nil {
			return nil, err
		}
		head, _ := text.Peek(maxLine)
		first, _ := dateOf(head)
		logs = append(logs, log{text, done, first})
	}
	slices.SortStableFunc(logs, func(a, b log) int { return a.first.Compare(b.first) })
	t := &Theirs{Jails: map[string]*TheirJail{}}
	for i, l := range logs {
		if err := t.Read(l.text); err != nil {
			return nil, fmt.Errorf("%s: %w", paths[i], err)
		}
	}
	return t, nil
}

// openLog opens a log, compressed or not.
func openLog(path string) (*bufio.Reader, func() error, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	text := bufio.NewReaderSize(f, maxLine)
	if magic, _ := text.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return text, f.Close, nil
	}
	z, err := gzip.NewReader(text)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return bufio.NewReaderSize(z, maxLine), f.Close, nil
}

// dateOf is the date of the first line that has one.
func dateOf(text []byte) (time.Time, bool) {
	for line := range bytes.Lines(text) {
		if m := header.FindSubmatch(bytes.TrimRight(line, "\r\n")); m != nil {
			return localTime(m[1])
		}
	}
	return time.Time{}, false
}

// localTime reads a date as fail2ban writes it: without a zone.
func localTime(text []byte) (time.Time, bool) {
	t, err := time.ParseInLocation(time.DateTime, string(text), time.Local)
	return t, err == nil
}

// Read takes in one log. Lines that fail2ban did not write are overlooked, and of long ones the rest.
func (t *Theirs) Read(text io.Reader) error {
	r := bufio.NewReaderSize(text, maxLine)
	jail := "" // that was created last: the settings that follow are its
	for {
		line, err := r.ReadSlice('\n')
		whole := err == nil || errors.Is(err, io.EOF)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.ReadSlice('\n')
		}
		if whole {
			t.line(bytes.TrimRight(line, "\r\n"), &jail)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *Theirs) line(line []byte, jail *string) {
	m := header.FindSubmatch(line)
	if m == nil {
		return
	}
	at, ok := localTime(m[1])
	if !ok {
		return
	}
	t.Lines++
	if t.From.IsZero() {
		t.From = at
	}
	t.To = at
	logger, text := string(m[2]), m[3]
	t.Ended = logger == "server" && (string(text) == "Exiting Fail2ban" || t.Ended)
	switch logger {
	case "jail":
		if c := created.FindSubmatch(text); c != nil {
			*jail = string(c[1])
			t.jail(*jail)
		}
	case "filter", "actions":
		if s := setting.FindSubmatch(text); s != nil && *jail != "" {
			t.jail(*jail).Settings.set(string(s[1]), string(s[2]))
		} else if a := added.FindSubmatch(text); a != nil && *jail != "" {
			t.jail(*jail).reads(string(a[1]))
		} else if e := event.FindSubmatch(text); e != nil {
			t.event(at, e)
		} else if a := already.FindSubmatch(text); a != nil {
			if x := t.addr(a[1], a[2]); x != nil {
				x.Already = true
			}
		}
	}
}

func (j *TheirJail) reads(path string) {
	if len(j.Logs) < maxTimes && !slices.Contains(j.Logs, path) {
		j.Logs = append(j.Logs, path)
	}
}

func (s *Settings) set(key, value string) {
	n, err := strconv.Atoi(value)
	if err != nil {
		return
	}
	switch key {
	case "maxRetry":
		s.MaxRetry = n
	case "findtime":
		s.FindTime = time.Duration(n) * time.Second
	case "banTime":
		s.BanTime = time.Duration(n) * time.Second
	}
}

func (t *Theirs) event(at time.Time, e [][]byte) {
	x := t.addr(e[1], e[3])
	if x == nil {
		return
	}
	switch string(e[2]) {
	case "Found":
		if when, ok := localTime(e[4]); ok {
			at = when
		}
		x.Found = keep(x.Found, at)
	case "Ban":
		x.Bans = keep(x.Bans, at)
	case "Restore Ban":
		x.Restored = keep(x.Restored, at)
	case "Unban":
		x.Unbans = keep(x.Unbans, at)
	case "Ignore":
		x.Ignored = true
	}
}

func keep(times []time.Time, at time.Time) []time.Time {
	if len(times) < maxTimes {
		return append(times, at)
	}
	return times
}

func (t *Theirs) jail(name string) *TheirJail {
	j := t.Jails[name]
	if j == nil {
		j = &TheirJail{Addrs: map[netip.Addr]*TheirAddr{}}
		t.Jails[name] = j
	}
	return j
}

func (t *Theirs) addr(jail, addr []byte) *TheirAddr {
	a, err := netip.ParseAddr(string(addr))
	if err != nil {
		return nil
	}
	j := t.jail(string(jail))
	x := j.Addrs[a.Unmap()]
	if x == nil {
		x = &TheirAddr{}
		j.Addrs[a.Unmap()] = x
	}
	return x
}
