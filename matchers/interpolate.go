package matchers

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Limits of what the options of a filter may grow to while %(x)s and <x> are replaced. fail2ban's largest
// filter has some 30,000 bytes.
const (
	maxValue    = 1 << 20 // bytes of one value
	maxDepth    = 10      // %(x)s within %(x)s
	maxTagCount = 25      // the same <x> in one value
)

var errTooLong = errors.New("the value grows beyond 1 MiB")

// A conf is a filter file with its includes and .local files merged, before anything is replaced.
type conf struct {
	path     string
	sections map[string]section
	known    map[string]section // what a section's options were before a later file set them
}

// A missingError says that an option is not there.
type missingError struct{ what string }

func (e *missingError) Error() string { return "no option " + e.what }

// raw looks an option up: among vars, in the section, among the defaults.
func (c *conf) raw(sec, option string, vars map[string]string) (iniValue, bool) {
	if v, ok := vars[option]; ok {
		return iniValue{text: v}, true
	}
	if v, ok := c.sections[sec][option]; ok {
		return v, true
	}
	v, ok := c.sections[iniDefault][option]
	return v, ok
}

// get returns the value of an option with every %(x)s in it replaced; a *missingError if there is no such
// option.
func (c *conf) get(sec, option string, vars map[string]string) (string, error) {
	option = strings.ToLower(option)
	v, ok := c.raw(sec, option, vars)
	if !ok || c.sections[sec] == nil {
		return "", &missingError{fmt.Sprintf("%s in [%s]", option, sec)}
	}
	text, err := c.interpolate(sec, v.text, vars, 1)
	if err != nil {
		err = fmt.Errorf("option %s: %w", option, err)
		if v.path != "" {
			err = &FileError{v.path, v.line, err}
		}
		return "", err
	}
	return text, nil
}

// interpolate replaces %(option)s, %(section/option)s, %(known/option)s, %(default/option)s, %(__name__)s
// and %% in a value.
func (c *conf) interpolate(sec, value string, vars map[string]string, depth int) (string, error) {
	if depth > maxDepth {
		return "", errors.New("%(x)s within %(x)s goes too deep")
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(value, "%")
		b.WriteString(before)
		if b.Len() > maxValue {
			return "", errTooLong
		}
		if !found {
			return b.String(), nil
		}
		if strings.HasPrefix(rest, "%") {
			b.WriteByte('%')
			value = rest[1:]
			continue
		}
		name, after, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")s")
		if !strings.HasPrefix(rest, "(") || !closed || name == "" || strings.Contains(name, ")") {
			return "", fmt.Errorf("%% must be followed by %% or (name)s: %.20q", "%"+rest)
		}
		text, ok := c.reference(sec, name, vars)
		if !ok {
			return "", fmt.Errorf("%%(%s)s is not set", name)
		}
		text, err := c.interpolate(sec, text, vars, depth+1)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
		value = after
	}
}

// reference finds the raw text that %(name)s stands for.
func (c *conf) reference(sec, name string, vars map[string]string) (string, bool) {
	name = strings.ToLower(name)
	if v, ok := c.raw(sec, name, vars); ok {
		return v.text, true
	}
	if name == "__name__" {
		return sec, true
	}
	other, option, found := strings.Cut(name, "/")
	if !found {
		return "", false
	}
	var from section
	switch other {
	case "default":
	case "known":
		from = c.known[sec]
	default:
		if from = c.sectionFold(other); from == nil {
			return "", false
		}
	}
	v, ok := from[option]
	if !ok {
		v, ok = c.sections[iniDefault][option]
	}
	return v.text, ok
}

// sectionFold finds a section whatever its case.
func (c *conf) sectionFold(name string) section {
	if s := c.sections[name]; s != nil {
		return s
	}
	for n, s := range c.sections {
		if strings.EqualFold(n, name) {
			return s
		}
	}
	return nil
}

var sectionOption = regexp.MustCompile(`^([\w\-]+)/([^\s>]+)$`)

// tagValue finds what the tag <name> stands for in [Definition]: <option>, <section/option>,
// <known/option>. An option that is not there is no error: the tag is another one's.
func (c *conf) tagValue(name string, vars map[string]string) (string, bool, error) {
	if m := sectionOption.FindStringSubmatch(name); m != nil {
		var found bool
		var text string
		var err error
		switch sec := m[1]; strings.ToLower(sec) {
		case "known":
			if v, ok := c.known[definition][strings.ToLower(m[2])]; ok {
				text, err = c.interpolate(definition, v.text, nil, 1)
				found = true
			} else {
				text, found, err = c.option(definition, m[2], nil)
			}
		case "default":
			if v, ok := c.sections[iniDefault][strings.ToLower(m[2])]; ok {
				text, err = c.interpolate(definition, v.text, nil, 1)
				found = true
			}
		default:
			text, found, err = c.option(sec, m[2], nil)
		}
		if found || err != nil {
			return text, found, err
		}
	}
	return c.option(definition, name, vars)
}

// option is get with a missing option told apart from an error.
func (c *conf) option(sec, name string, vars map[string]string) (string, bool, error) {
	text, err := c.get(sec, name, vars)
	var missing *missingError
	if errors.As(err, &missing) {
		return "", false, nil
	}
	return text, err == nil, err
}
