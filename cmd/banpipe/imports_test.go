package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/banpipe/banpipe/"

// mayImport says which of our packages each may depend on, directly or not: arrows go one way.
var mayImport = map[string][]string{
	"pipeline":              {},
	"pipeline/pipelinetest": {"pipeline"},
	"pipeline/store":        {"pipeline"},
	"pipeline/control":      {"pipeline"},
	"sources":               {"pipeline"},
	"matchers":              {"pipeline", "matchers/dfa"},
	"matchers/dfa":          {},
	"matchers/logtest":      {"pipeline", "matchers", "matchers/dfa"},
	"sinks":                 {"pipeline"},
	"configs":               {"pipeline", "pipeline/store", "sources", "matchers", "matchers/dfa", "sinks"},
	"configs/fail2ban":      {"configs", "pipeline", "pipeline/store", "sources", "matchers", "matchers/dfa", "sinks"},
	"configs/compare":       {"configs", "pipeline", "pipeline/store", "sources", "matchers", "matchers/dfa", "sinks"},
	"cmd/banpipe":           {"configs", "configs/compare", "configs/fail2ban", "pipeline", "pipeline/store", "pipeline/control", "sources", "matchers", "matchers/dfa", "sinks"},
}

// belongsTo says which one package may import a library.
var belongsTo = map[string]string{
	"github.com/influxdata/tail": "sources",
	"github.com/google/nftables": "sinks",
	"github.com/google/renameio": "sinks",
	"github.com/BurntSushi/toml": "configs",
	"github.com/dlclark/regexp2": "matchers",
	"go.etcd.io/bbolt":           "pipeline/store",
	"github.com/spf13/cobra":     "cmd/banpipe",
}

func TestImportsGoOneWay(t *testing.T) {
	for _, line := range goList(t, "{{.ImportPath}}: {{join .Deps \" \"}}") {
		pkg, deps, _ := strings.Cut(line, ": ")
		pkg = strings.TrimPrefix(pkg, module)
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("package %s is not in the table: say what it may import", pkg)
		}
		for dep := range strings.FieldsSeq(deps) {
			if ours, ok := strings.CutPrefix(dep, module); ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s must not depend on %s", pkg, ours)
			}
		}
	}
}

func TestLibrariesHaveOneOwner(t *testing.T) {
	for _, line := range goList(t, "{{.ImportPath}}: {{join .Imports \" \"}}") {
		pkg, imports, _ := strings.Cut(line, ": ")
		pkg = strings.TrimPrefix(pkg, module)
		for imp := range strings.FieldsSeq(imports) {
			for lib, owner := range belongsTo {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && pkg != owner {
					t.Errorf("%s imports %s, which belongs to %s", pkg, imp, owner)
				}
			}
		}
	}
}

func goList(t *testing.T, format string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps=false", "-f", format, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
