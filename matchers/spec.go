package matchers

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	specForm   = regexp.MustCompile(`(?s)^([^\[]+)(?:\[(.*)\])?\s*$`)
	specOption = regexp.MustCompile(`(?s)^\s*([\w\-.]+)=(?:"([^"]*)"|'([^']*)'|([^,\]]*))(?:,|\]\s*\[|$)`)
	specEnd    = regexp.MustCompile(`(?s)^,?\s*$`)
)

// ParseSpec takes apart what a jail's `filter` says: sshd[mode=aggressive, logtype=short] is the filter
// sshd with two parameters for LoadFilter. A value with a comma or a bracket stands in quotes; several
// bracketed groups are the same as one.
func ParseSpec(spec string) (name string, params map[string]string, err error) {
	m := specForm.FindStringSubmatch(spec)
	if m == nil {
		return "", nil, fmt.Errorf("filter %q: want NAME or NAME[key=value, ...]", spec)
	}
	params = map[string]string{}
	for rest := m[2]; !specEnd.MatchString(rest); {
		o := specOption.FindStringSubmatchIndex(rest)
		if o == nil {
			return "", nil, fmt.Errorf("filter %q: want key=value at %.25q", spec, rest)
		}
		for _, g := range []int{2, 3, 4} {
			if o[2*g] >= 0 {
				params[rest[o[2]:o[3]]] = strings.TrimSpace(rest[o[2*g]:o[2*g+1]])
			}
		}
		rest = rest[o[1]:]
	}
	return strings.TrimSpace(m[1]), params, nil
}
