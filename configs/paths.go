package configs

import (
	"slices"
	"strings"
)

// expand replaces each %(name)s of paths in the given ones, as deep as they go, and %% by %. A name that
// stands for several paths gives several.
func expand(paths List, names map[string]List) (List, error) {
	return expandDeep(paths, names, nil)
}

func expandDeep(paths List, names map[string]List, open []string) (List, error) {
	var out List
	for _, path := range paths {
		all, err := expandOne(path, names, open)
		if err != nil {
			return nil, err
		}
		if out = append(out, all...); len(out) > 10_000 {
			return nil, mistake("", "%q stands for more than 10,000 paths", path)
		}
	}
	return out, nil
}

// expandOne goes from the left: what stands before the first name, times what the name stands for, times
// what the rest becomes. open are the names that are being replaced just now.
func expandOne(path string, names map[string]List, open []string) (List, error) {
	i := strings.IndexByte(path, '%')
	if i < 0 || i == len(path)-1 {
		return List{path}, nil
	}
	before, rest := path[:i], path[i+1:]
	middle := List{"%"}
	switch {
	case rest[0] == '%':
		rest = rest[1:]
	case rest[0] == '(':
		name, after, ok := strings.Cut(rest[1:], ")s")
		if !ok {
			return nil, mistake("", "%q: a name is written %%(name)s", path)
		}
		values, known := names[name]
		if !known {
			return nil, mistake(didYouMean(name, keysOf(names)), "%q: [paths] has no %q", path, name)
		}
		// Eight names inside one another are more than anybody needs; without the limit a few dozen names
		// that each hold the next one twice would fill the memory.
		if len(open) == 8 || slices.Contains(open, name) {
			return nil, mistake("", "%%(%s)s stands for itself: %s", name, strings.Join(append(slices.Clip(open), name), ", "))
		}
		var err error
		if middle, err = expandDeep(values, names, append(slices.Clip(open), name)); err != nil {
			return nil, err
		}
		rest = after
	}
	ends, err := expandOne(rest, names, open)
	if err != nil {
		return nil, err
	}
	if len(middle)*len(ends) > 10_000 {
		return nil, mistake("", "%q stands for more than 10,000 paths", path)
	}
	var out List
	for _, m := range middle {
		for _, end := range ends {
			out = append(out, before+m+end)
		}
	}
	return out, nil
}
