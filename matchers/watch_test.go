package matchers

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/banpipe/banpipe/pipeline"
)

func TestShapeWatch(t *testing.T) {
	filter := func(shape string) Filter {
		return Filter{Name: shape, Shape: shape, FailRegex: []Rule{{Regex: `^<ADDR> x$`}}}
	}
	p, err := NewProgram([]JailFilter{{Jail: "access", Filter: filter("access")}, {Jail: "any", Filter: filter("")}, {Jail: "error", Filter: filter("nginx-error")}})
	if err != nil {
		t.Fatal(err)
	}
	const access, errors = `192.0.2.1 - - [22/Nov/2026:07:23:11 +0000] "GET / HTTP/1.1" 200 1 "-" "-"`, `2026/11/22 07:23:11 [error] 1#1: *1 x`
	for _, c := range []struct {
		name  string
		lines map[int]string // those that are not of the access log
		n     int
		want  []string
	}{
		{"999 lines are no proof", nil, 999, nil},
		{"the wrong log", nil, 1000, []string{"error nginx-error 1000"}},
		{"it is said once", nil, 5000, []string{"error nginx-error 1000"}},
		{"one line is enough", map[int]string{998: errors}, 5000, nil},
		{"too late", map[int]string{1000: errors}, 5000, []string{"error nginx-error 1000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			programs := func(string) *Program { return p }
			w := &ShapeWatch{Programs: programs, Foreign: func(source, jail, shape string, lines int) {
				got = append(got, fmt.Sprint(jail, " ", shape, " ", lines))
			}}
			parse := &Parse{Programs: programs}
			for i := 0; i < c.n; {
				b := &pipeline.Batch{Source: "file:/var/log/nginx/access.log"}
				for ; i < c.n && len(b.Records) < 100; i++ {
					line := access
					if other := c.lines[i]; other != "" {
						line = other
					}
					b.Append([]byte(line), time.Now())
				}
				for _, s := range []pipeline.Stage{parse, w} {
					if err := s.Process(t.Context(), b); err != nil {
						t.Fatal(err)
					}
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	none := &ShapeWatch{Programs: func(string) *Program { return nil }}
	b := &pipeline.Batch{Source: "stdin"}
	b.Append([]byte("x"), time.Now())
	if err := none.Process(t.Context(), b); err != nil {
		t.Error(err)
	}
	w := &ShapeWatch{Programs: func(string) *Program { return p }, Foreign: func(string, string, string, int) {}}
	if n := testing.AllocsPerRun(1000, func() {
		if err := w.Process(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations a batch, want none", n)
	}
}
