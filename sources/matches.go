package sources

import (
	"fmt"
	"strings"
)

// ParseMatches takes a journalmatch as fail2ban has it, which is as journalctl's arguments are
// (journalctl(1)): FIELD=VALUE words, all of which must hold, those of the same field being
// alternatives, and "+" between groups of which one must. A word with blanks in it is quoted as in a
// shell. The words go to journalctl as they are, through no shell.
func ParseMatches(text string) ([]string, error) {
	words, err := splitWords(text)
	if err != nil {
		return nil, fmt.Errorf("journalmatch %q: %w", text, err)
	}
	for i, word := range words {
		if word == "+" {
			if i == 0 || i == len(words)-1 || words[i-1] == "+" {
				return nil, fmt.Errorf("journalmatch %q: nothing on one side of a +", text)
			}
			continue
		}
		name, _, ok := strings.Cut(word, "=")
		if !ok || name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
			return nil, fmt.Errorf("journalmatch %q: %q is not FIELD=VALUE", text, word)
		}
	}
	return words, nil
}

// splitWords splits at blanks outside of quotes; a backslash takes what is behind it as it is, as in
// POSIX shells, but for variables and the like.
func splitWords(text string) (words []string, err error) {
	var word strings.Builder
	begun, quote := false, rune(0)
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		c := runes[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(runes):
			i++
			word.WriteRune(runes[i])
			begun = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, begun = c, true
		case quote == 0 && strings.ContainsRune(" \t\n", c):
			if begun {
				words = append(words, word.String())
				word.Reset()
				begun = false
			}
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}
