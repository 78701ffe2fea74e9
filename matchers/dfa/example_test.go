package dfa_test

import (
	"fmt"

	"github.com/banpipe/banpipe/matchers/dfa"
)

func ExampleSet() {
	set, err := dfa.NewSet([]string{
		`^sshd: Failed password for (\S+) from (\S+)(?:\n?\z)`,
		`^sshd: Invalid user (.*) from (\S+)(?:\n?\z)`,
		`\bfrom 192\.0\.2\.`,
	}, dfa.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	scanner := set.NewScanner() // one for each goroutine
	lines := []dfa.Line{
		{Head: []byte("sshd: Failed password for root from 192.0.2.7")},
		{Tail: []byte("sshd: Invalid user pi from 198.51.100.7")},
		{Head: []byte("sshd: "), Tail: []byte("Connection from 192.0.2.8")}, // its date was between the two
		{Head: []byte("cron: session opened")},
	}
	scanner.Scan(lines)
	for i := range lines {
		fmt.Printf("%v %03b\n", scanner.Hit(i), scanner.Rules(i))
	}
	// Output:
	// true [101]
	// true [010]
	// true [100]
	// false [000]
}
