package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/banpipe/banpipe/configs"
)

// blocks are the fenced blocks of a language in the README.
func blocks(t *testing.T, language string) (all []string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

// The README's program is the Example of the pipeline package, which is run.
func TestReadmeProgram(t *testing.T) {
	example, err := os.ReadFile("../../pipeline/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	want := string(example)
	want = want[strings.Index(want, "// office drops"):strings.Index(want, "\t// Output:")] + "}\n"
	want = strings.NewReplacer("func Example()", "func main()", `"stdin", stdin`, `"stdin", os.Stdin`).Replace(want)
	if got := blocks(t, "go"); len(got) != 1 || got[0] != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

// The README's configuration loads, and its filter does what its samples say.
func TestReadmeConfiguration(t *testing.T) {
	toml := blocks(t, "toml")
	if len(toml) != 2 {
		t.Fatalf("got %d blocks, want a configuration and a filter", len(toml))
	}
	if _, err := configs.Parse("banpipe.toml", []byte(toml[0])); err != nil {
		t.Error(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "myapp.toml"), toml[1])
	f, err := configs.LoadFilter("myapp", []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Samples) != 2 {
		t.Errorf("got %d samples, want 2", len(f.Samples))
	}
	for _, err := range f.Check() {
		t.Error(err)
	}
}
