package sources

import (
	"os"
	"path/filepath"
	"testing"
)

func TestIsRotated(t *testing.T) {
	for name, want := range map[string]bool{
		"auth.log":                 false,
		"auth.log.1":               true,
		"auth.log.10":              true,
		"auth.log-20261122":        true,
		"auth.log-20261122-072311": true,
		"auth.log.2026-11-22":      true,
		"auth.log_1":               true,
		"auth.log.old":             true,
		"auth.log~":                true,
		"auth-2026-11-22.log":      true,
		"auth.1.log":               true,
		"auth.log.1.gz":            false,
		"auth.log-20261122.zst":    false,
		"auth.log.shop":            false, // a log of its own
		"auth.log.":                false,
		"auth.log.-":               false,
		"auth-shop.log":            false,
		"auth2.log":                false,
		"other.log.1":              false,
	} {
		t.Run(name, func(t *testing.T) {
			if got := isRotated("auth.log", name); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// Who may write to a log's folder must not have any file read by a link that looks like a rotated log.
func TestSiblingsFollowNoLinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "")
	write(t, path+".1", "")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "")
	check(os.Symlink(secret, path+".2"))
	if got := siblings(path, path); len(got) != 1 || got[0].path != path+".1" {
		t.Errorf("got %v, want log.1 alone", got)
	}
}
