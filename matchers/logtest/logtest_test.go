package logtest

import (
	"bytes"
	"slices"
	"testing"
)

// The same options give the same lines, other ones others; each kind has its lines, and attackers their share.
func TestLines(t *testing.T) {
	signs := map[Kind]string{Access: ` HTTP/`, Error: "#", Auth: " web1 ", UFW: "[UFW "}
	for _, kind := range Kinds() {
		t.Run(kind.String(), func(t *testing.T) {
			lines := Lines(kind, 2000, Options{Attack: 0.02})
			if again := Lines(kind, 2000, Options{Attack: 0.02}); !slices.EqualFunc(lines, again, bytes.Equal) {
				t.Error("the same options give other lines")
			}
			if other := Lines(kind, 2000, Options{Attack: 0.02, Seed: 2}); slices.EqualFunc(lines, other, bytes.Equal) {
				t.Error("another seed gives the same lines")
			}
			for _, line := range lines {
				if bytes.ContainsAny(line, "\n") || len(line) < 40 {
					t.Fatalf("got %q", line)
				}
				if sign := signs[kind]; kind == UFW && !bytes.Contains(line, []byte(sign)) {
					t.Fatalf("no %s in %q", sign, line)
				}
			}
		})
	}
}

// The share of attacks is what was asked for.
func TestAttack(t *testing.T) {
	for _, share := range []float64{0, 0.02, 1} {
		attacks := 0
		for _, line := range Lines(Access, 10_000, Options{Attack: share}) {
			for _, sign := range []string{`" 404 153 "-"`, `" 403 153 "-"`, `" 400 157 "-"`, `" 401 179 "-"`} {
				if bytes.Contains(line, []byte(sign)) {
					attacks++
				}
			}
		}
		if got := float64(attacks) / 10_000; got < share*0.8 || got > share*1.2+0.001 {
			t.Errorf("got %v, want %v", got, share)
		}
	}
}
