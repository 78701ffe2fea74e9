package sources

import (
	"path/filepath"
	"slices"
	"strings"
)

// isGlob reports whether path/filepath.Match sees more in the pattern than a name.
func isGlob(pattern string) bool { return strings.ContainsAny(pattern, `*?[\`) }

// isCompressed reports whether the name is that of a file which logrotate or somebody else has packed.
func isCompressed(path string) bool {
	return slices.Contains([]string{".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".zip"}, filepath.Ext(path))
}
