package matchers

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var optionTag = regexp.MustCompile(`<([^ <>]+)>`)

// substituteTags replaces <x> in every value by the option x, over and over until nothing is left to
// replace, so that <mdre-<mode>> works; values wins over more. A tag that is no option stays: it is one of
// the regex's own.
func substituteTags(values map[string]string, more func(name string) (string, bool, error)) error {
	counts := map[string]map[string]int{}
	for again := true; again; {
		again = false
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if counts[name] == nil {
				counts[name] = map[string]int{}
			}
			value, err := substituteOne(name, values, counts[name], more)
			if err != nil {
				return fmt.Errorf("option %s: %w", name, err)
			}
			if value != values[name] {
				values[name] = value
				again = again || optionTag.MatchString(value)
			}
		}
	}
	return nil
}

// substituteOne replaces the tags of one value, from left to right; what replaces a tag is looked at again.
func substituteOne(name string, values map[string]string, counts map[string]int, more func(string) (string, bool, error)) (string, error) {
	value := values[name]
	for from := 0; ; {
		m := optionTag.FindStringSubmatchIndex(value[from:])
		if m == nil {
			return value, nil
		}
		tag := value[from+m[2] : from+m[3]]
		if tag == name {
			return "", fmt.Errorf("<%s> refers to itself", tag)
		}
		text, found := values[tag]
		if !found {
			var err error
			if text, found, err = more(tag); err != nil {
				return "", err
			}
		}
		if !found {
			from += m[1]
			continue
		}
		if counts[tag]++; counts[tag] > maxTagCount {
			return "", fmt.Errorf("<%s> is replaced again and again", tag)
		}
		if n := strings.Count(value, "<"+tag+">"); len(value)+n*len(text) > maxValue {
			return "", errTooLong
		}
		value = strings.ReplaceAll(value, "<"+tag+">", text)
		from += m[0]
	}
}
