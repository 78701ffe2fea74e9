package control

import (
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Every field that goes over the wire is in docs/control.md, and no other.
func TestEveryFieldIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/control.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented[m[1]] = false
			}
		}
	}
	for _, name := range []string{"bans", "events", "results", "counts", "key"} { // said in a sentence
		documented[name] = false
	}
	for _, v := range []any{Status{}, Jail{}, Source{}, Sink{}, State{}, Matching{}, Bans{}, Action{}, Event{}, History{}, Count{}, Why{}, Order{}, Results{}, Result{}, Reloaded{}, Failure{}} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous {
				continue
			}
			if _, ok := documented[name]; !ok {
				t.Errorf("%v: field %q is not in docs/control.md", typ, name)
			}
			documented[name] = true
		}
	}
	for name, used := range documented {
		if !used {
			t.Errorf("docs/control.md: no answer has a field %q", name)
		}
	}
	b := start(t)
	b.Handler.once.Do(b.routes)
	for _, m := range regexp.MustCompile(`(?m)^## (GET|POST) (.*)$`).FindAllStringSubmatch(string(text), -1) {
		for _, path := range strings.Split(strings.ReplaceAll(m[2], "/v1/", ""), ", ") {
			path, _, _ = strings.Cut(path, "?")
			if _, pattern := b.mux.Handler(request(m[1], "/v1/"+path)); pattern != m[1]+" /v1/"+path {
				t.Errorf("docs/control.md: there is no %s %s", m[1], path)
			}
		}
	}
}

func request(method, path string) *http.Request { return httptest.NewRequest(method, path, nil) }
