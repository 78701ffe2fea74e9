package matchers

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/banpipe/banpipe/pipeline"
)

// TestOnce runs lines through Match and Session, with a Session that is saved and loaded between any two.
func TestOnce(t *testing.T) {
	filter := inJail("j", Filter{
		PrefRegex: `^(?:<F-MLFID>d\[\d+\]:</F-MLFID>|d:) <F-CONTENT>.*</F-CONTENT>$`,
		FailRegex: rules(`^wrong from <ADDR>$`, `^<F-ONCE>unknown</F-ONCE> from <ADDR>$`, `^<F-MLFFORGET><F-ONCE>closed</F-ONCE></F-MLFFORGET> by <ADDR>$`),
	})
	tests := []struct{ lines, want string }{
		{"d[1]: unknown from 192.0.2.1", "1"},
		{"d[1]: unknown from 192.0.2.1; d[1]: unknown from 192.0.2.1; d[1]: closed by 192.0.2.1", "1 0 0"},
		{"d[1]: closed by 192.0.2.1", "1"},
		{"d[1]: wrong from 192.0.2.1; d[1]: wrong from 192.0.2.1; d[1]: closed by 192.0.2.1", "1 1 0"},
		{"d[1]: unknown from 192.0.2.1; d[1]: wrong from 192.0.2.1", "1 1"},
		{"d[1]: unknown from 192.0.2.1; d[2]: unknown from 192.0.2.1", "1 1"},
		{"d[1]: closed by 192.0.2.1; d[1]: unknown from 192.0.2.1", "1 1"},
		{"d: unknown from 192.0.2.1; d: unknown from 192.0.2.1", "1 1"}, // which connection it is, nobody knows
	}
	p, err := NewProgram([]JailFilter{filter})
	if err != nil {
		t.Fatal(err)
	}
	programs := func(string) *Program { return p }
	for _, tt := range tests {
		t.Run(tt.lines, func(t *testing.T) {
			match, session := &Match{Programs: programs}, &Session{Programs: programs}
			var got []string
			for line := range strings.SplitSeq(tt.lines, "; ") {
				b := &pipeline.Batch{Source: "test"}
				b.Append([]byte(line), noon)
				hits := 0
				for _, s := range []pipeline.Stage{match, session} {
					if err := s.Process(context.Background(), b); err != nil {
						t.Fatal(err)
					}
				}
				for _, r := range b.Records {
					if r.Kind == pipeline.Hit {
						hits++
					}
				}
				got = append(got, fmt.Sprint(hits))
				saved := map[string][]byte{}
				session.Save(true, func(k, v []byte) { saved[string(k)] = append([]byte(nil), v...) })
				session = &Session{Programs: programs}
				if err := session.Load(bytePairs(saved)); err != nil {
					t.Fatal(err)
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func bytePairs(m map[string][]byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range m {
			if !yield([]byte(k), v) {
				return
			}
		}
	}
}
