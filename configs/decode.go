package configs

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// A setter takes its value from TOML by its own rules: a duration, a list that may be one string. The
// error says what is wrong with the value alone; the decoder adds where it stands.
type setter interface{ set(v *value) error }

// A decoder fills structs from tables by their toml tags. It is not the TOML library's own because that
// one stops at the first mistake, says nothing of the place of most, and cannot lay one table over
// another; here every mistake of a file is told at once.
type decoder struct{ errs Errors }

// table fills the struct that into points to: keys that v lacks keep what they had. label says in errors
// which table it is. also are further keys that belong in v but that somebody else reads.
func (d *decoder) table(v *value, label string, into any, also ...string) {
	fields := map[string]reflect.Value{}
	known := slices.Clone(also)
	s := reflect.ValueOf(into).Elem()
	for i := range s.NumField() {
		if tag := s.Type().Field(i).Tag.Get("toml"); tag != "" && tag != "-" {
			fields[tag] = s.Field(i)
			known = append(known, tag)
		}
	}
	for _, key := range v.keys() {
		at := v.at(key)
		if field, ok := fields[key]; ok {
			d.value(at, join(label, key), field)
		} else if !slices.Contains(also, key) {
			hint := elsewhere(key)
			if hint == "" {
				hint = didYouMean(key, known)
			}
			d.errs.add(at, label, mistake(hint, "unknown key %q", key))
		}
	}
}

// value fills one field, which label names in errors.
func (d *decoder) value(v *value, label string, field reflect.Value) {
	switch into := field.Addr().Interface().(type) {
	case setter:
		if err := into.set(v); err != nil {
			d.errs.add(v, label, err)
		}
		return
	case **value: // somebody else's to decode
		*into = v
		return
	}
	switch field.Kind() {
	case reflect.String:
		s, ok := v.v.(string)
		d.scalar(v, label, ok, "a string", func() { field.SetString(s) })
	case reflect.Bool:
		b, ok := v.v.(bool)
		d.scalar(v, label, ok, "true or false", func() { field.SetBool(b) })
	case reflect.Int:
		n, ok := v.v.(int64)
		d.scalar(v, label, ok && !field.OverflowInt(n), "a whole number", func() { field.SetInt(n) })
	case reflect.Struct:
		d.scalar(v, label, v.table() != nil, "a table", func() { d.table(v, label, field.Addr().Interface()) })
	case reflect.Map:
		d.scalar(v, label, v.table() != nil, "a table", func() { d.mapping(v, label, field) })
	case reflect.Slice:
		list, ok := v.v.([]*value)
		d.scalar(v, label, ok, "a list", func() {
			field.Set(reflect.MakeSlice(field.Type(), len(list), len(list)))
			for i, inner := range list {
				d.value(inner, fmt.Sprintf("%s %d", label, i+1), field.Index(i))
			}
		})
	default:
		panic(fmt.Sprintf("configs: no rule for a field of type %s", field.Type())) // a mistake in the schema
	}
}

// scalar sets a field if the value is of its type, and says so if not.
func (d *decoder) scalar(v *value, label string, ok bool, kind string, set func()) {
	if !ok {
		d.errs.add(v, label, wants(v, kind))
		return
	}
	set()
}

// mapping adds the tables of v to the map field: [sinks.x] is called `sink "x"` in errors.
func (d *decoder) mapping(v *value, label string, field reflect.Value) {
	merged := reflect.MakeMap(field.Type())
	for it := field.MapRange(); it.Next(); {
		merged.SetMapIndex(it.Key(), it.Value())
	}
	for _, key := range v.keys() {
		elem := reflect.New(field.Type().Elem()).Elem()
		d.value(v.at(key), fmt.Sprintf("%s %q", strings.TrimSuffix(label, "s"), key), elem)
		merged.SetMapIndex(reflect.ValueOf(key), elem)
	}
	field.Set(merged)
}

// wants says that v has the wrong type.
func wants(v *value, kind string) error {
	return fmt.Errorf("got %s, want %s", v.kind(), kind)
}

func join(label, key string) string {
	if label == "" {
		return key
	}
	return label + ": " + key
}

// elsewhere says what takes the place of a fail2ban option that has no counterpart, and of words that
// people look for; "" for everything else.
func elsewhere(key string) string {
	switch key {
	case "backend":
		return "there is no backend to choose: logpath follows files, journalmatch reads the journal"
	case "action", "banaction_allports":
		return "banaction names the sinks; without port a ban covers all ports"
	case "protocol":
		return "a port is closed for TCP and UDP alike"
	case "chain":
		return "the sink's hook and priority say where packets are dropped"
	case "logencoding":
		return "lines are matched as bytes, whatever their encoding"
	}
	return ""
}

var errEmpty = errors.New("is empty")
