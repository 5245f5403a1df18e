package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is one setting: where it is in a Config and what its tags say.
type field struct {
	key      string // dotted
	flag     string // "" when no flag sets it
	fallback string // the default as text
	oneof    []string
	min      string
	index    []int
	typ      reflect.Type
	parent   string // the struct that declares it, and
	name     string // the field's Go name: for its comment
}

// env is the environment variable of the setting.
func (f field) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

// fields lists the settings of Config in their order.
func fields() []field { return fieldsOf(reflect.TypeFor[Config](), "", nil) }

func fieldsOf(t reflect.Type, prefix string, index []int) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key := prefix + sf.Tag.Get("key")
		at := append(append([]int(nil), index...), i)
		if sf.Type.Kind() == reflect.Struct {
			out = append(out, fieldsOf(sf.Type, key+".", at)...)
			continue
		}
		f := field{key: key, flag: sf.Tag.Get("flag"), fallback: sf.Tag.Get("default"), min: sf.Tag.Get("min"),
			index: at, typ: sf.Type, parent: t.Name(), name: sf.Name}
		if s := sf.Tag.Get("oneof"); s != "" {
			f.oneof = strings.Split(s, ",")
		}
		out = append(out, f)
	}
	return out
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	ageType      = reflect.TypeFor[Age]()
	listType     = reflect.TypeFor[[]string]()
)

// want says in words what the setting holds.
func (f field) want() string {
	switch {
	case f.oneof != nil:
		return "one of " + strings.Join(f.oneof, ", ")
	case f.typ == durationType:
		return "a duration such as 500ms, 30s or 10m"
	case f.typ == sizeType:
		return "a size such as 512MiB"
	case f.typ == ageType:
		return "an age such as 90d or 36h, or 0 for ever"
	case f.typ == listType:
		return "a list of strings"
	case f.typ.Kind() == reflect.Int:
		return "a whole number"
	default:
		return "a string"
	}
}

// fromText reads a value as flags, the environment and defaults write it.
func (f field) fromText(s string) (any, error) {
	var v any
	var err error
	switch {
	case f.typ == durationType:
		v, err = time.ParseDuration(s)
	case f.typ == sizeType:
		v, err = ParseSize(s)
	case f.typ == ageType:
		v, err = ParseAge(s)
	case f.typ == listType:
		list := []string{}
		for _, e := range strings.Split(s, ",") {
			if e = strings.TrimSpace(e); e != "" {
				list = append(list, e)
			}
		}
		v = list
	case f.typ.Kind() == reflect.Int:
		v, err = strconv.Atoi(s)
	default:
		v = s
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not %s", s, f.want())
	}
	return v, f.check(v)
}

// fromFile reads a value as YAML gives it; nothing is converted that a person
// would not have meant, so a number is no string and a bare number no duration.
func (f field) fromFile(raw any) (any, error) {
	var v any
	switch x := raw.(type) {
	case string:
		return f.fromString(x)
	case int:
		switch {
		case f.typ == sizeType && x >= 0:
			v = Size(x)
		case f.typ.Kind() == reflect.Int && f.typ != durationType && x <= math.MaxInt32:
			v = x
		case f.typ == durationType && x == 0:
			v = time.Duration(0)
		case f.typ == ageType && x == 0:
			v = Age(0)
		}
	case []any:
		if f.typ != listType {
			break
		}
		list := make([]string, 0, len(x))
		for _, e := range x {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("%v in the list is not a string", e)
			}
			list = append(list, s)
		}
		v = list
	}
	if v == nil {
		return nil, fmt.Errorf("%v is not %s", shown(raw), f.want())
	}
	return v, f.check(v)
}

// fromString is fromText for a YAML string: a lone string is a list of one, and
// no number.
func (f field) fromString(s string) (any, error) {
	switch {
	case f.typ == listType:
		return []string{s}, nil
	case f.typ.Kind() == reflect.Int && f.typ != durationType:
		return nil, fmt.Errorf("%q is not %s", s, f.want())
	}
	return f.fromText(s)
}

// shown makes a YAML value fit for an error message.
func shown(raw any) string {
	switch raw.(type) {
	case nil:
		return "nothing"
	case []any:
		return "a list"
	case map[string]any, map[any]any:
		return "a mapping"
	}
	return fmt.Sprintf("%v", raw)
}

// check holds a value against oneof and min.
func (f field) check(v any) error {
	if f.oneof != nil {
		for _, o := range f.oneof {
			if v == o {
				return nil
			}
		}
		return fmt.Errorf("%q is not %s", v, f.want())
	}
	var low bool
	switch x := v.(type) {
	case time.Duration:
		least, _ := time.ParseDuration(f.min)
		low = x < least
	case Age:
		least, _ := ParseAge(f.min)
		low = x != 0 && x < least
	case int:
		least, _ := strconv.Atoi(f.min)
		low = x < least
	}
	if low {
		return fmt.Errorf("%v is less than the least allowed, %s", v, orZero(f.min))
	}
	return nil
}

func orZero(s string) string {
	if s == "" {
		return "0"
	}
	return s
}
