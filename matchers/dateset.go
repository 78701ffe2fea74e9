package matchers

import (
	"unicode"
	"unicode/utf8"
)

// A byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) add(c byte)      { s[c>>6] |= 1 << (c & 63) }
func (s *byteSet) has(c byte) bool { return s[c>>6]>>(c&63)&1 != 0 }

func (s *byteSet) addRange(lo, hi byte) {
	for c := int(lo); c <= int(hi); c++ {
		s.add(byte(c))
	}
}

func (s *byteSet) union(t byteSet) {
	for i := range s {
		s[i] |= t[i]
	}
}

func (s byteSet) negate() byteSet {
	for i := range s {
		s[i] = ^s[i]
	}
	return s
}

// disjoint says that no byte is in both sets.
func (s byteSet) disjoint(t byteSet) bool {
	return s[0]&t[0]|s[1]&t[1]|s[2]&t[2]|s[3]&t[3] == 0
}

// fold adds the other case of every letter in the set.
func (s byteSet) fold() byteSet {
	for c := byte('a'); c <= 'z'; c++ {
		if s.has(c) || s.has(c-32) {
			s.add(c)
			s.add(c - 32)
		}
	}
	return s
}

func setOf(bytes string) (s byteSet) {
	for i := range len(bytes) {
		s.add(bytes[i])
	}
	return s
}

// bytes lists the members.
func (s byteSet) bytes() (list []byte) {
	for c := range 256 {
		if s.has(byte(c)) {
			list = append(list, byte(c))
		}
	}
	return list
}

// classSet is the set of a class escape: \d \w \s and their opposites. Bytes above 0x7f are in none of the three,
// where Python would look at the letter that they are part of.
func classSet(c byte) (s byteSet, ok bool) {
	switch c {
	case 'd', 'D':
		s.addRange('0', '9')
	case 'w', 'W':
		s.addRange('0', '9')
		s.addRange('a', 'z')
		s.addRange('A', 'Z')
		s.add('_')
	case 's', 'S':
		s = setOf(" \t\n\v\f\r\x1c\x1d\x1e\x1f")
	default:
		return s, false
	}
	if c < 'a' {
		s = s.negate()
	}
	return s, true
}

// wordBefore says that the character that ends at pos is a letter, a digit or "_"; letters of all scripts count.
func wordBefore(line []byte, pos int) bool {
	if pos <= 0 {
		return false
	}
	if c := line[pos-1]; c < utf8.RuneSelf {
		return isWord(c)
	}
	r, _ := utf8.DecodeLastRune(line[:pos])
	return unicode.IsLetter(r) || unicode.IsNumber(r)
}

// wordAt says the same of the character that begins at pos.
func wordAt(line []byte, pos int) bool {
	if pos >= len(line) {
		return false
	}
	if c := line[pos]; c < utf8.RuneSelf {
		return isWord(c)
	}
	r, _ := utf8.DecodeRune(line[pos:])
	return unicode.IsLetter(r) || unicode.IsNumber(r)
}

// inWord says that pos lies inside a word: fail2ban looks for no date that begins or ends there.
func inWord(line []byte, pos int) bool { return wordBefore(line, pos) && wordAt(line, pos) }

func isWord(c byte) bool { return isDigit(c) || (c|0x20)-'a' < 26 || c == '_' }

// nonWord is the length of the character at pos if it is not a letter, a digit or "_", else 0.
func nonWord(line []byte, pos int) int {
	if pos >= len(line) || wordAt(line, pos) {
		return 0
	}
	if line[pos] < utf8.RuneSelf {
		return 1
	}
	_, n := utf8.DecodeRune(line[pos:])
	return n
}
