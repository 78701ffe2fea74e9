package configs

import (
	"io/fs"
	"os"
	"path/filepath"
)

// isFIFO reports whether there is a named pipe at the path.
func isFIFO(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == fs.ModeNamedPipe
}

// oddLogs warns of what a jail's logpath leads to and nothing can be read from: a folder, a device, a socket.
func (b *builder) oddLogs(j *Jail) {
	for _, pattern := range j.LogPath {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if kind, hint := oddKind(path); kind != "" {
				b.warn(j, "logpath", mistake(hint, "%s is %s: nothing is read from it", path, kind))
			}
		}
	}
}

// oddKind says what is at a path if that is no log.
func oddKind(path string) (kind, hint string) {
	info, err := os.Stat(path)
	if err != nil {
		return "", ""
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "a folder", filepath.Join(path, "*.log") + " reads what is in it"
	case mode&fs.ModeDevice != 0:
		return "a device", ""
	case mode&fs.ModeSocket != 0:
		return "a socket", "let its daemon write a file, or to the journal"
	}
	return "", ""
}
