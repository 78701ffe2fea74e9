package sources

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A sibling is a file beside a followed one that may hold an earlier part of the same log: logrotate's
// auth.log.1 or auth.log-20261122, app-2026-11-22.log beside app.log.
type sibling struct {
	path string
	id   fileID
	born int64 // in nanoseconds, 0 where the file system does not know: tells it from the next file of that id
	size int64
	mod  time.Time
}

// A seenFile names a sibling that may be deleted before it is asked for again.
type seenFile struct {
	id   fileID
	born int64
}

func (s *sibling) seen() seenFile { return seenFile{s.id, s.born} }

// siblings lists those of path, the last written last; and where path is a symlink, those of the file that
// it means, and that file. Packed files are none: what was in them is read or gone.
func siblings(path, real string) []sibling {
	all := siblingsIn(path)
	if real != path {
		all = append(append(all, siblingsIn(real)...), siblingAt(real, 0)...)
	}
	slices.SortStableFunc(all, func(a, b sibling) int { return a.mod.Compare(b.mod) })
	seen := map[fileID]bool{}
	return slices.DeleteFunc(all, func(s sibling) bool {
		dup := seen[s.id]
		seen[s.id] = true
		return dup
	})
}

func siblingsIn(path string) (all []sibling) {
	dir, base := filepath.Split(path)
	d, err := os.Open(filepath.Clean(dir + "."))
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1) // what could be read is better than nothing
	for _, name := range names {
		if isRotated(base, name) {
			all = append(all, siblingAt(dir+name, unix.AT_SYMLINK_NOFOLLOW)...)
		}
	}
	return all
}

// siblingAt is the file at path, if it is a regular one. A symlink beside a log is not followed: who may
// write to the folder could have any file read.
func siblingAt(path string, flags int) []sibling {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	return []sibling{{
		path: path,
		id:   fileID{dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino},
		born: st.Btime.Sec*1e9 + int64(st.Btime.Nsec),
		size: int64(st.Size),
		mod:  time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec)),
	}}
}

// isRotated reports whether name is what rotation makes of base: numbers or a date behind it, or between
// its stem and its extension, or a word such as "old". Nothing wider: access.log.shop may well be a log
// of its own.
func isRotated(base, name string) bool {
	if isCompressed(name) || name == base {
		return false
	}
	if rest, ok := strings.CutPrefix(name, base); ok {
		return isRotation(rest)
	}
	ext := filepath.Ext(base)
	stem := strings.TrimSuffix(base, ext)
	rest, ok := strings.CutPrefix(name, stem)
	if !ok || ext == "" || stem == "" {
		return false
	}
	rest, ok = strings.CutSuffix(rest, ext)
	return ok && isRotation(rest)
}

// isRotation reports whether rest is a mark of rotation: ".1", "-20261122", ".2026-11-22T07:23", ".old".
func isRotation(rest string) bool {
	if rest == "" || !strings.ContainsRune(".-_~", rune(rest[0])) {
		return false
	}
	switch rest[1:] {
	case "", "0", "old", "bak", "prev", "orig", "save":
		return rest != "." && rest != "-" && rest != "_"
	}
	return strings.Trim(rest, "0123456789.-_:T") == "" && strings.ContainsAny(rest, "0123456789")
}
