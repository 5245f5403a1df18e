package render

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"dnsctl/zone"
)

// timeForm is RFC 3339 in UTC, to the second.
const timeForm = "2006-01-02T15:04:05Z"

// none stands for a value that is not there on a terminal; elsewhere it is
// empty.
const none = "-"

// text is a value for a table cell or a CSV field.
func (o *Output) text(v any) string {
	v = deref(v)
	switch x := v.(type) {
	case nil:
		return o.absent()
	case string:
		if x == "" {
			return o.absent()
		}
		return Clean(x)
	case bool:
		if x {
			return "yes"
		}
		return "no"
	case zone.Name:
		if x == "" {
			return o.absent()
		}
		if o.pretty() {
			return WithUnicode(x)
		}
		return x.String()
	case time.Time:
		if x.IsZero() {
			return o.absent()
		}
		if o.pretty() {
			return Ago(o.Now(), x)
		}
		return x.UTC().Format(timeForm)
	case time.Duration:
		if o.pretty() {
			return Short(x)
		}
		return strconv.FormatInt(seconds(x), 10)
	case json.RawMessage:
		return Clean(string(x))
	case encoding.TextMarshaler:
		b, err := x.MarshalText()
		if err != nil {
			return Clean(err.Error())
		}
		return o.text(string(b))
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Slice, reflect.Array:
		parts := make([]string, r.Len())
		for i := range parts {
			parts[i] = o.text(r.Index(i).Interface())
		}
		if len(parts) == 0 {
			return o.absent()
		}
		if o.pretty() {
			return strings.Join(parts, ", ")
		}
		return strings.Join(parts, ",")
	case reflect.Map, reflect.Struct:
		b, err := json.Marshal(v)
		if err != nil {
			return Clean(err.Error())
		}
		return Clean(string(b))
	case reflect.String:
		return o.text(r.String())
	}
	return Clean(fmt.Sprint(v))
}

// pretty says whether a person reads: a table on a terminal.
func (o *Output) pretty() bool { return o.Terminal && !o.Format.Machine() && o.Format != Name }

func (o *Output) absent() string {
	if o.pretty() {
		return none
	}
	return ""
}

// data is a value as JSON has it: times in one form, no list null.
func data(v any) any {
	v = deref(v)
	switch x := v.(type) {
	case nil:
		return nil
	case time.Time:
		if x.IsZero() {
			return nil
		}
		return x.UTC().Format(timeForm)
	case time.Duration:
		return seconds(x)
	case encoding.TextMarshaler, json.Marshaler:
		return v
	}
	r := reflect.ValueOf(v)
	if r.Kind() == reflect.Slice && r.Type().Elem().Kind() != reflect.Uint8 {
		out := make([]any, r.Len())
		for i := range out {
			out[i] = data(r.Index(i).Interface())
		}
		return out
	}
	return v
}

// seconds is a length of time as programs read it.
func seconds(d time.Duration) int64 { return int64(d.Round(time.Second) / time.Second) }

// deref follows a pointer; nil for a nil one.
func deref(v any) any {
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer {
		if r.IsNil() {
			return nil
		}
		r = r.Elem()
		v = r.Interface()
	}
	return v
}

// numeric says whether a value is aligned to the right.
func numeric(v any) bool {
	if _, ok := v.(encoding.TextMarshaler); ok {
		return false
	}
	switch reflect.ValueOf(v).Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float64:
		return true
	}
	return false
}

// Ago is a time as seen from now: "3 min ago", "in 2 h", "now".
func Ago(now, t time.Time) string {
	d := now.Sub(t)
	future := d < 0
	if future {
		d = -d
	}
	var s string
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		s = strconv.Itoa(int(d/time.Second)) + " s"
	case d < time.Hour:
		s = strconv.Itoa(int(d/time.Minute)) + " min"
	case d < 48*time.Hour:
		s = strconv.Itoa(int(d/time.Hour)) + " h"
	default:
		s = strconv.Itoa(int(d/(24*time.Hour))) + " d"
	}
	if future {
		return "in " + s
	}
	return s + " ago"
}

// WithUnicode is a name in presentation form, with its form for people (RFC 5890
// U-labels) in parentheses behind it where it is an internationalised one.
func WithUnicode(n zone.Name) string {
	text := n.String()
	if !strings.Contains(strings.ToLower(text), "xn--") {
		return text
	}
	u, err := idna.Display.ToUnicode(strings.TrimSuffix(strings.ToLower(text), "."))
	if err != nil || u+"." == strings.ToLower(text) || strings.ContainsFunc(u, unfit) {
		return text
	}
	return text + " (" + u + ")"
}
