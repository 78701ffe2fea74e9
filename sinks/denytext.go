package sinks

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/banpipe/banpipe/pipeline"
)

// The first words of a DenyFile's file: what does not begin so, and is not empty, is somebody else's.
const denyHeader = "# Written by banpipe"

// maxDenyFile is how much of a file is read, of 100 bytes or so an address.
const maxDenyFile = 64 << 20

// A stamp tells a file from one that was written since.
type stamp struct {
	mod  time.Time
	size int64
	id   uint64 // inode
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{mod: info.ModTime(), size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.id = st.Ino
	}
	return s
}

// open reads the file once. One that is not there, or empty, is made by the first write.
func (f *DenyFile) open() error {
	if f.held != nil {
		return nil
	}
	file, err := os.Open(f.Path)
	if errors.Is(err, os.ErrNotExist) {
		f.held, f.text, f.written = map[banKey]*entry{}, nil, stamp{}
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxDenyFile))
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(text)) > 0 && !bytes.HasPrefix(text, []byte(denyHeader)) {
		return fmt.Errorf("%s was not written by banpipe, and is left alone: give the sink a path of its own", f.Path)
	}
	f.held, f.text, f.written = parseDenyText(string(text)), text, stampOf(info)
	return nil
}

// replaceDenyFile puts text in the file's place, with the owner and the mode that it had.
func replaceDenyFile(path string, text []byte, old fs.FileInfo) (stamp, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	next, err := renameio.NewPendingFile(path, renameio.WithTempDir(filepath.Dir(path)), renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
	if err != nil {
		return stamp{}, err
	}
	defer next.Cleanup() //nolint:errcheck // of what is replaced nothing is left to clean
	if old != nil {
		if st, ok := old.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			if err := next.Chown(int(st.Uid), int(st.Gid)); err != nil {
				return stamp{}, err
			}
		}
	}
	if _, err := next.Write(text); err != nil {
		return stamp{}, err
	}
	info, err := next.Stat()
	if err != nil {
		return stamp{}, err
	}
	return stampOf(info), next.CloseAtomicallyReplace()
}

// withoutComments is what the server reads.
func withoutComments(text []byte) []byte {
	var read []byte
	for line := range bytes.Lines(text) {
		words, _, _ := bytes.Cut(line, []byte{'#'})
		if words = bytes.TrimSpace(words); len(words) > 0 {
			read = append(append(read, words...), '\n')
		}
	}
	return read
}

// denyText is the file: a line for each prefix, since a map does not stand the same one twice, and in its comment who
// denies it, on what ports, until when.
func denyText(entries map[banKey]*entry, sink string, asMap bool) []byte {
	var b bytes.Buffer
	what := "include it in http, server or location of nginx"
	if asMap {
		what = "include it in a geo block of nginx"
	}
	fmt.Fprintf(&b, "%s, for its sink %q, and written anew with every ban: %s.\n# What else is to be denied belongs in another file. banpipe list shows the bans, banpipe unban lifts them.\n", denyHeader, sink, what)
	by := make(map[netip.Prefix][]string, len(entries))
	for k, e := range entries {
		by[k.prefix] = append(by[k.prefix], denyNote(k, e))
	}
	for _, p := range slices.SortedFunc(maps.Keys(by), netip.Prefix.Compare) {
		addr, notes := p.String(), by[p]
		if p.IsSingleIP() {
			addr = p.Addr().String()
		}
		slices.Sort(notes)
		if asMap {
			fmt.Fprintf(&b, "%s 1; # %s\n", addr, strings.Join(notes, ", "))
		} else {
			fmt.Fprintf(&b, "deny %s; # %s\n", addr, strings.Join(notes, ", "))
		}
	}
	return b.Bytes()
}

// denyNote is one ban, in the comment behind its address: "nginx-404 port 80,443 until 2026-11-22T07:23:11Z".
func denyNote(k banKey, e *entry) string {
	note := cmp.Or(strings.Map(jailRune, e.jail), pipeline.RestoredJail)
	if k.ports != "" {
		note += " port " + k.ports
	}
	if e.until.IsZero() {
		return note + " for ever"
	}
	return note + " until " + e.until.UTC().Format(time.RFC3339Nano)
}

// parseDenyText reads what denyText wrote, in either form. Lines that it did not write are overlooked.
func parseDenyText(text string) map[banKey]*entry {
	entries := map[banKey]*entry{}
	for line := range strings.Lines(text) {
		words, notes, ok := strings.Cut(strings.TrimSpace(line), "; # ")
		addr := strings.TrimSuffix(strings.TrimPrefix(words, "deny "), " 1")
		p, err := netip.ParsePrefix(addr)
		if err != nil {
			a, err := netip.ParseAddr(addr)
			if err != nil || a.Zone() != "" {
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if !ok || p != p.Masked() {
			continue
		}
		for note := range strings.SplitSeq(notes, ", ") {
			if k, e, ok := parseDenyNote(note); ok {
				k.prefix = p
				entries[k] = e
			}
		}
	}
	return entries
}

// jailRune keeps the name of a jail from being anything else in a server's configuration.
func jailRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
		return r
	}
	return '_'
}

func parseDenyNote(note string) (k banKey, e *entry, ok bool) {
	f := strings.Fields(note)
	if len(f) == 5 && f[1] == "port" {
		if _, err := (scope{ports: f[2]}).portRanges(); err != nil {
			return k, nil, false
		}
		k.ports = f[2]
		f = slices.Delete(f, 1, 3)
	}
	if len(f) != 3 {
		return k, nil, false
	}
	if f[1] == "for" && f[2] == "ever" {
		return k, &entry{jail: f[0]}, true
	}
	until, err := time.Parse(time.RFC3339Nano, f[2])
	return k, &entry{jail: f[0], until: until}, err == nil && f[1] == "until"
}
