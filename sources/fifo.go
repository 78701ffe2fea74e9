package sources

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// A FIFO is opened by the first read, and again after one that failed because there was none.
type fifo struct {
	path  string
	flags int

	mu     sync.Mutex // guards the others
	file   *os.File
	closed bool
}

// NewFIFO makes a source of a named pipe, called "fifo:" and the path. It does not end when the writers
// close it, others may come, unless once is set: then it ends when nobody writes. Read fails as long as there is no
// pipe at the path.
func NewFIFO(path string, once bool) *Reader {
	// Opened for writing too, there is always a writer (fifo(7)); without O_NONBLOCK, Close would have to wait
	// for a line.
	flags := os.O_RDWR | syscall.O_NONBLOCK
	if once {
		flags = os.O_RDONLY | syscall.O_NONBLOCK
	}
	return NewReader("fifo:"+path, &fifo{path: path, flags: flags})
}

func (f *fifo) Read(p []byte) (int, error) {
	file, err := f.open()
	if err != nil {
		return 0, err
	}
	return file.Read(p)
}

func (f *fifo) open() (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return nil, os.ErrClosed
	case f.file != nil:
		return f.file, nil
	}
	info, err := os.Stat(f.path) // to open a device may have effects
	if err == nil && info.Mode().Type() != fs.ModeNamedPipe {
		err = fmt.Errorf("%s is not a named pipe", f.path)
	}
	if err != nil {
		return nil, err
	}
	f.file, err = os.OpenFile(f.path, f.flags, 0)
	return f.file, err
}

// Close ends a Read that waits.
func (f *fifo) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
