package matchers

import "unicode/utf8"

// requiredLiteral is the longest text that is part of every match of n; "" if there is none.
func requiredLiteral(n *node) []byte {
	var best, run []byte
	end := func() {
		if len(run) > len(best) {
			best = run
		}
		run = nil
	}
	var walk func(n *node)
	walk = func(n *node) {
		switch n.op {
		case opClass:
			if len(n.set) == 2 && n.set[0] == n.set[1] && n.set[0] != utf8.RuneError {
				run = utf8.AppendRune(run, n.set[0])
				return
			}
			end()
		case opConcat:
			for _, s := range n.subs {
				walk(s)
			}
		case opCapture:
			walk(n.subs[0])
		case opRepeat:
			end()
			if n.min > 0 {
				walk(n.subs[0])
				end()
			}
		case opAlt:
			end()
		}
	}
	walk(n)
	end()
	return best
}
