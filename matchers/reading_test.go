package matchers

import (
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

// TestReadings says how many forms of a line some views need: what they have in common is read once.
func TestReadings(t *testing.T) {
	view := func(format, zone string, datepattern []string, text ...string) JailFilter {
		f := Filter{FailRegex: rules(`<ADDR>`), Format: format, Text: text, DatePattern: datepattern}
		return JailFilter{Jail: format + zone, Filter: f, Location: time.FixedZone(zone, 3600)}
	}
	tests := []struct {
		name  string
		jails []JailFilter
		want  int
	}{
		{"plain", []JailFilter{view("", "a", nil)}, 1},
		{"zones", []JailFilter{view("", "a", nil), view("", "b", nil)}, 1},
		{"dates", []JailFilter{view("", "a", nil), view("", "a", []string{"%H:%M:%S"})}, 2},
		{"mixed", []JailFilter{view("json|plain", "a", nil, "ip")}, 2},
		{"mixed and plain", []JailFilter{view("json|plain", "a", nil, "ip"), view("", "a", nil), view("json|plain", "b", nil, "ip")}, 2},
		{"mixed and JSON", []JailFilter{view("json|plain", "a", nil, "ip"), view("json", "a", nil, "ip")}, 2},
		{"fields", []JailFilter{view("json|plain", "a", nil, "ip"), view("json|plain", "a", nil, "ip", "user")}, 3},
		{"JSON", []JailFilter{view("json", "a", nil, "ip"), view("json", "b", nil, "ip")}, 1},
		{"UFW", []JailFilter{view("ufw", "a", nil, "src"), view("", "a", nil), view("ufw", "a", nil, "src")}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := NewProgram(tt.jails)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(p.readings); got != tt.want {
				t.Errorf("got %d readings, want %d", got, tt.want)
			}
			lines := []string{`x 192.0.2.1`, `{"ip":"192.0.2.2","user":"192.0.2.3"}`, `{"ip":"192.0.2.2"`, ` { }`, `h kernel: [UFW BLOCK] IN=e SRC=192.0.2.4 `}
			if left := compareEngines(t, p, recordsOf(lines, noon)); left == 0 {
				t.Error("no line is a hit")
			}
		})
	}
}

// A line that looks like JSON and is none counts once for each form of JSON that is asked for; plain lines do only
// where nothing else is.
func TestReadingsNotJSON(t *testing.T) {
	for format, want := range map[string]int64{"json": 2, "json|plain": 1} {
		f := Filter{FailRegex: rules(`<ADDR>`), Format: format, Text: []string{"ip"}}
		p, err := NewProgram([]JailFilter{inJail("j", f)})
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(p, false)
		e.run(t, []pipeline.Record{{Line: []byte("x"), Time: noon}, {Line: []byte("{x"), Time: noon}, {Line: []byte("{}"), Time: noon}})
		if got := e.counts.NotJSON.Load(); got != want {
			t.Errorf("%s: got %d, want %d", format, got, want)
		}
	}
}
