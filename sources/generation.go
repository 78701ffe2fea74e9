package sources

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/banpipe/banpipe/pipeline"
)

// tailLen is how many of the bytes before its offset a generation remembers, to see that the file is still
// the one that it has read.
const tailLen = 64

// errTruncated says that a file no longer holds what was read from it.
var errTruncated = errors.New("truncated")

// A fileID names a file on this machine as long as somebody has it open; the kernel gives the number of
// a deleted one to the next.
type fileID struct{ dev, ino uint64 }

func idOf(info fs.FileInfo) fileID {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{dev: uint64(st.Dev), ino: st.Ino}
}

// A generation is one file behind a path: the one that is there now, or one that was rotated away and
// whose writer may not know yet. Everything that a checkpoint must know of it is here: it is read at an
// offset, and nothing is kept of what was read and not delivered, but for a file that is truncated now and
// again: see readAhead.
type generation struct {
	file  *os.File
	id    fileID
	off   int64 // all before it is delivered
	skip  bool  // off is in a line that was too long
	tail  []byte
	ahead []byte // what is at off, as far as it was read ahead
	head  head
	copy  bool // logrotate's copy of a file that was then truncated: an unfinished line goes on elsewhere

	live    bool      // its end was reached once: what comes now has just been written
	atEnd   bool      // the last read came to the end
	part    int       // bytes of an unfinished line behind off, at the last read
	changed time.Time // when it last grew, was opened, or was rotated away
	wd      int32     // its inotify watch; 0 if none
}

// openGeneration opens a regular file. It blocks on nothing, and opens neither a FIFO nor a device: that
// alone can have effects.
func openGeneration(path string, now time.Time) (*generation, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "follow", Path: path, Err: errNotRegular}
	}
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "follow", Path: path, Err: errNotRegular}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &generation{file: file, id: idOf(info), changed: now}, nil
}

var errNotRegular = errors.New("not a regular file")

// read appends lines to b until b is Full or the end is reached. buf is scratch memory of at least
// tailLen+limit+2 bytes. errTruncated means that nothing was read and the file must be begun anew.
func (g *generation) read(b *pipeline.Batch, buf []byte, limit int, now time.Time) error {
	lines := splitter{max: limit, skip: g.skip}
	if same, err := g.beginsAsRead(buf); err != nil {
		return err
	} else if !same {
		return errTruncated
	}
	for !b.Full() {
		kept := len(g.tail)
		n, err := pread(g.file, buf, g.off-int64(kept))
		if err != nil {
			return err
		}
		if n < kept || !bytes.Equal(buf[:kept], g.tail) {
			return errTruncated
		}
		data := buf[kept:n]
		if !g.holdsAhead(data, n < len(buf)) {
			return errTruncated
		}
		if g.off == 0 && bytes.HasPrefix(data, utf8BOM) {
			g.advance(buf[:len(utf8BOM)], len(utf8BOM))
			continue
		}
		used := lines.split(b, data, now)
		if used > 0 || len(data) != g.part {
			g.changed = now
		}
		g.skip = lines.skip
		g.part = len(data) - used
		g.atEnd = n < len(buf) && (used == len(data) || !b.Full())
		g.advance(buf[:kept+used], used)
		if g.atEnd {
			return nil
		}
		if used > 0 && leadingNULs(data[:used]) == used {
			g.jump()
		}
	}
	return nil
}

// beginsAsRead compares the first bytes. The last ones before the offset, which come with every block, do
// not suffice: many logs end all their lines alike.
func (g *generation) beginsAsRead(buf []byte) (bool, error) {
	h := &g.head
	if len(h.bytes) == 0 || g.off-h.at <= tailLen {
		return true, nil
	}
	n, err := pread(g.file, buf[:len(h.bytes)], h.at)
	return bytes.Equal(buf[:n], h.bytes), err
}

// advance moves the offset by n; seen ends with the n bytes before the new one.
func (g *generation) advance(seen []byte, n int) {
	if n == 0 {
		return
	}
	g.head.extend(g.off, seen[len(seen)-n:])
	g.off += int64(n)
	g.ahead = slices.Delete(g.ahead, 0, min(n, len(g.ahead)))
	g.tail = append(g.tail[:0], seen[max(0, len(seen)-tailLen):]...)
}

// jump skips the rest of a hole, which a writer without O_APPEND leaves before its next line when its file
// is truncated: gigabytes of nothing.
func (g *generation) jump() {
	data, err := unix.Seek(int(g.file.Fd()), g.off, unix.SEEK_DATA)
	if err != nil || data <= g.off {
		return
	}
	g.off, g.ahead = data, nil
	g.tail = append(g.tail[:0], make([]byte, tailLen)...)
}

// restart begins the file anew.
func (g *generation) restart() {
	g.off, g.skip, g.part, g.atEnd = 0, false, 0, false
	g.tail, g.ahead, g.head = nil, nil, head{}
}

// known is what tells the file from others.
func (g *generation) known() known { return known{id: g.id, head: g.head.fingerprint()} }

// short reports whether the file has too little in it to be told from others for good.
func (g *generation) short() bool {
	h, err := readHead(g.file, math.MaxInt64)
	return err != nil || len(h.bytes) < headLen
}

// saved is what a checkpoint knows of the file.
func (g *generation) saved() saved {
	return saved{known: g.known(), off: g.off, tail: slices.Clone(g.tail), skip: g.skip, atEnd: g.atEnd, copy: g.copy}
}

// resume moves to where a cursor stood, if the file holds the bytes that were read then.
func (g *generation) resume(s *saved) bool {
	if s.head.n > 0 && !s.head.begins(g.file) || g.seek(s.off) != nil || !bytes.Equal(g.tail, s.tail) {
		g.restart()
		return false
	}
	g.skip = s.skip
	return true
}

// born is when the file was made, where the file system knows (statx(2)); else the zero time.
func (g *generation) born() time.Time {
	var st unix.Statx_t
	err := unix.Statx(int(g.file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return time.Time{}
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}

// seek moves to off, which must be the beginning of a line, without reading what is before it.
func (g *generation) seek(off int64) error {
	tail := make([]byte, min(off, tailLen))
	n, err := pread(g.file, tail, off-int64(len(tail)))
	h, err2 := readHead(g.file, off)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	if n < len(tail) {
		return errTruncated
	}
	g.restart()
	g.off, g.head, g.tail = off, h, tail
	return nil
}

// flush delivers the unfinished line at the end of a file that nobody will finish.
func (g *generation) flush(b *pipeline.Batch, buf []byte, limit int, now time.Time) error {
	kept := len(g.tail)
	n, err := pread(g.file, buf, g.off-int64(kept))
	if err != nil || n <= kept || g.skip || g.copy || !bytes.Equal(buf[:kept], g.tail) || bytes.IndexByte(buf[kept:n], '\n') >= 0 {
		return err
	}
	line := buf[kept:n]
	appendLine(b, line[leadingNULs(line):], limit, now)
	g.advance(buf[:n], n-kept)
	g.part = 0
	return nil
}

// status says how long the file is and whether it still has a name.
func (g *generation) status() (size int64, linked bool) {
	var st unix.Stat_t
	if unix.Fstat(int(g.file.Fd()), &st) != nil {
		return g.off, false
	}
	return st.Size, st.Nlink > 0
}

// pread reads at off until buf is full or the file ends, in one call unless a signal comes between.
func pread(file *os.File, buf []byte, off int64) (int, error) {
	for {
		n, err := unix.Pread(int(file.Fd()), buf, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", file.Name(), err)
		}
		return n, nil
	}
}
