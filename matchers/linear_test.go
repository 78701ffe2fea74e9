package matchers

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestStockFiltersAreLinear holds that only back-references keep a stock filter from the linear engine.
func TestStockFiltersAreLinear(t *testing.T) {
	long(t)
	needFail2ban(t)
	backref := map[string]bool{
		"mongodb-auth": true, "openwebmail": true, "roundcube-auth": true, "selinux-ssh": true,
		"sendmail-reject": true, "slapd": true, "stunnel": true,
	}
	files, _ := filepath.Glob(filepath.Join(stockFilters, "*.conf"))
	loaded := 0
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".conf")
		if strings.HasSuffix(name, "common") {
			continue // a part of others
		}
		for _, mode := range []string{"", "normal", "ddos", "extra", "aggressive", "more", "auth", "rbl", "errors"} {
			params := map[string]string{}
			if mode != "" {
				params["mode"] = mode
			}
			f, err := LoadFilter(path, params)
			if err != nil {
				t.Fatal(err)
			}
			p, err := NewProgram([]JailFilter{{Jail: name, Filter: f}})
			if err != nil && strings.Contains(err.Error(), "is not defined") {
				continue // no such mode
			}
			if err != nil {
				t.Error(err)
				continue
			}
			loaded++
			for _, s := range p.SlowRules() {
				if !backref[name] {
					t.Error(s)
				}
			}
		}
	}
	if loaded < 500 {
		t.Errorf("got %d filters and modes, want more than 500", loaded)
	}
}
