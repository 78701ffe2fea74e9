package sources

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A kick is an inotify descriptor: it says at once that a file has grown or that a name in a folder has
// changed. Without it everything is seen a little later, by polling, so that a watch which cannot be had
// is no error. See inotify(7). Its maps are guarded by Files.mu; only the goroutine that watches calls
// wait.
type kick struct {
	file  *os.File
	grown map[int32][]*follower // by watch: the followers that have the file open
	names map[int32][]string    // by watch: the folder, by all its names
	dirs  map[string]dirWatch
	said  bool // that it is short was logged
	short bool // a watch was refused: the limit of this user is reached
}

// A dirWatch is the watch on a folder; id tells when another folder has taken its name.
type dirWatch struct {
	wd int32
	id fileID
}

const (
	grownMask = unix.IN_MODIFY
	namesMask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ONLYDIR
)

func newKick() (*kick, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	return &kick{
		file:  os.NewFile(uintptr(fd), "inotify"),
		grown: map[int32][]*follower{},
		names: map[int32][]string{},
		dirs:  map[string]dirWatch{},
	}, nil
}

// add watches what path names now.
func (k *kick) add(path string, mask uint32) (int32, bool) {
	wd, err := unix.InotifyAddWatch(int(k.file.Fd()), path, mask)
	if errors.Is(err, unix.ENOSPC) {
		k.short = true
	}
	return int32(wd), err == nil
}

// watchFile watches the open file itself, so that no rename between open and watch matters and a file that
// was rotated away goes on being watched.
func (k *kick) watchFile(fl *follower, g *generation) {
	g.wd = 0
	wd, ok := k.add(fmt.Sprintf("/proc/self/fd/%d", g.file.Fd()), grownMask)
	if !ok && !k.short { // no /proc
		wd, ok = k.add(g.file.Name(), grownMask)
	}
	if ok {
		k.grown[wd] = append(k.grown[wd], fl)
		g.wd = wd
	}
}

func (k *kick) unwatchFile(fl *follower, g *generation) {
	if g.wd == 0 {
		return
	}
	followers := k.grown[g.wd]
	for i, other := range followers {
		if other == fl {
			followers = append(followers[:i:i], followers[i+1:]...)
			break
		}
	}
	if len(followers) > 0 {
		k.grown[g.wd] = followers
		return
	}
	delete(k.grown, g.wd)
	unix.InotifyRmWatch(int(k.file.Fd()), uint32(g.wd))
}

// watchDir watches the names in a folder; where another folder has taken its place, that one.
func (k *kick) watchDir(dir string) {
	info, err := os.Stat(dir)
	if err != nil {
		return
	}
	old, watched := k.dirs[dir]
	if watched && old.id == idOf(info) {
		return
	}
	wd, ok := k.add(dir, namesMask)
	if !ok {
		return
	}
	if watched && old.wd != wd {
		delete(k.names, old.wd)
		unix.InotifyRmWatch(int(k.file.Fd()), uint32(old.wd))
	}
	k.dirs[dir] = dirWatch{wd: wd, id: idOf(info)}
	if !slices.Contains(k.names[wd], dir) {
		k.names[wd] = append(k.names[wd], dir)
	}
}

// An event is what happened: a watched file has grown, or a name in a watched folder has changed.
type event struct {
	wd   int32
	name string // in the folder; "" for a file
	gone bool   // the watch has ended with what it was on
	lost bool   // the kernel has dropped events: anything may have happened
}

// wait returns what has happened, after at most d, or when ctx is done.
func (k *kick) wait(ctx context.Context, d time.Duration, buf []byte) []event {
	k.file.SetReadDeadline(time.Now().Add(d))
	stop := context.AfterFunc(ctx, func() { k.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	n, err := k.file.Read(buf)
	if err != nil {
		return nil
	}
	var events []event
	for p := buf[:n]; len(p) >= unix.SizeofInotifyEvent; {
		mask, size := binary.NativeEndian.Uint32(p[4:]), int(binary.NativeEndian.Uint32(p[12:]))
		name := p[unix.SizeofInotifyEvent:][:size]
		events = append(events, event{
			wd:   int32(binary.NativeEndian.Uint32(p)),
			name: string(name[:clen(name)]),
			gone: mask&unix.IN_IGNORED != 0,
			lost: mask&unix.IN_Q_OVERFLOW != 0,
		})
		p = p[unix.SizeofInotifyEvent+size:]
	}
	return events
}

func clen(p []byte) int {
	for i, c := range p {
		if c == 0 {
			return i
		}
	}
	return len(p)
}

// forget drops a watch on a folder that the kernel has ended.
func (k *kick) forget(wd int32) {
	for _, dir := range k.names[wd] {
		delete(k.dirs, dir)
	}
	delete(k.names, wd)
}
