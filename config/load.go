package config

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"dnsctl/report"
)

const (
	envPrefix  = "DNSCTL_"
	envConfig  = envPrefix + "CONFIG" // the same as --config
	delimiter  = "::"                 // of keys in viper, which would split a zone's name at its dots
	systemFile = "/etc/dnsctl/dnsctl.yaml"
	baseName   = "dnsctl/dnsctl.yaml"
)

// Source says from what kind of place a value came.
type Source string

// The sources, the strongest first.
const (
	FromFlag    Source = "flag"
	FromEnv     Source = "environment"
	FromFile    Source = "file"
	FromDefault Source = "default"
)

// Value is one setting with where it came from.
type Value struct {
	Key    string
	Value  any // string, int, []string, time.Duration or Size
	Source Source
	Place  string // the flag, the variable or the file's path; "" for a default
}

// Safe is the value, without the password of a URL.
func (v Value) Safe() any {
	s, ok := v.Value.(string)
	if !ok || !strings.Contains(s, "://") {
		return v.Value
	}
	u, err := url.Parse(s)
	if err != nil {
		return "(not a URL)"
	}
	q := u.Query()
	if q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}

// Loaded is a configuration with the origin of each value.
type Loaded struct {
	Config
	Values []Value  // every setting, in the order of Config
	Files  []string // read, the strongest first
}

// Origin is the setting with that key; the zero Value when there is none.
func (l *Loaded) Origin(key string) Value {
	for _, v := range l.Values {
		if v.Key == key {
			return v
		}
	}
	return Value{}
}

// Surroundings is what Load reads besides files.
type Surroundings struct {
	Flags      *pflag.FlagSet // of the command being run; nil for none
	File       string         // --config; "" for none
	Env        []string       // NAME=value
	Root       bool           // run by root
	SystemFile string         // "" is /etc/dnsctl/dnsctl.yaml
}

func (s Surroundings) getenv(name string) string {
	v, _ := s.lookup(name)
	return v
}

func (s Surroundings) lookup(name string) (string, bool) {
	for _, e := range slices.Backward(s.Env) {
		if k, v, _ := strings.Cut(e, "="); k == name {
			return v, true
		}
	}
	return "", false
}

// Load reads the configuration. Its errors say the place, the key and the
// remedy, and end the process with report.ExitUsage. A file that --config or
// DNSCTL_CONFIG names must be there.
func Load(s Surroundings) (*Loaded, error) {
	all := fields()
	files, err := readFiles(s, all)
	if err != nil {
		return nil, usage(err)
	}
	if err := checkEnv(s.Env, all); err != nil {
		return nil, usage(err)
	}
	l := &Loaded{}
	for _, f := range files {
		l.Files = append(l.Files, f.path)
	}
	for _, f := range all {
		for _, c := range files { // what is wrong there is wrong, even where something stronger replaces it
			if _, _, err := inFile(f, c); err != nil {
				return nil, usage(err)
			}
		}
		v, err := find(s, f, files)
		if err != nil {
			return nil, usage(err)
		}
		if f.key == "store" && v.Value == "" {
			v = Value{Key: f.key, Value: defaultStore(s), Source: FromDefault}
		}
		reflect.ValueOf(&l.Config).Elem().FieldByIndex(f.index).Set(reflect.ValueOf(v.Value))
		l.Values = append(l.Values, v)
	}
	return l, nil
}

// usage gives an error the exit code of configuration errors and keeps a hint.
func usage(err error) error {
	var h *hinted
	if errors.As(err, &h) {
		return report.Fail(report.ExitUsage, err, h.hint)
	}
	return report.Fail(report.ExitUsage, err, "the settings, and what each may be, are listed by: dnsctl environment")
}

// hinted is an error that knows its remedy.
type hinted struct {
	error
	hint string
}

// checkEnv refuses DNSCTL_ variables that no setting has: a mistyped
// DNSCTL_STORE must not lead to another database.
func checkEnv(env []string, all []field) error {
	known := []string{envConfig}
	for _, f := range all {
		known = append(known, f.env())
	}
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) || fromKubernetes(name) {
			continue
		}
		hint := "the variables are listed by: dnsctl environment"
		if near := Nearest(name, known); near != "" {
			hint = "the nearest variable is " + near
		}
		return &hinted{fmt.Errorf("unknown environment variable %s", name), hint}
	}
	return nil
}

// fromKubernetes says whether Kubernetes sets the variable by itself in pods
// beside a service called dnsctl.
func fromKubernetes(name string) bool {
	return strings.HasPrefix(name, envPrefix+"SERVICE_") || name == envPrefix+"PORT" || strings.HasPrefix(name, envPrefix+"PORT_")
}

// find looks a setting up in all places.
func find(s Surroundings, f field, files []file) (Value, error) {
	if s.Flags != nil && f.flag != "" {
		if fl := s.Flags.Lookup(f.flag); fl != nil && fl.Changed {
			v, err := fromFlag(f, fl)
			if err != nil {
				return Value{}, fmt.Errorf("flag --%s: %w", f.flag, err)
			}
			return Value{f.key, v, FromFlag, "--" + f.flag}, nil
		}
	}
	if raw, ok := s.lookup(f.env()); ok && raw != "" {
		v, err := f.fromText(raw)
		if err != nil {
			return Value{}, fmt.Errorf("environment variable %s: %w", f.env(), err)
		}
		return Value{f.key, v, FromEnv, f.env()}, nil
	}
	for _, c := range files {
		if v, there, err := inFile(f, c); there || err != nil {
			return Value{f.key, v, FromFile, c.path}, err
		}
	}
	v, err := f.fromDefault()
	if err != nil {
		return Value{}, fmt.Errorf("default of %s: %w", f.key, err)
	}
	return Value{f.key, v, FromDefault, ""}, nil
}

func (f field) fromDefault() (any, error) {
	if f.fallback == "" {
		if f.typ == listType {
			return []string{}, nil
		}
		return reflect.Zero(f.typ).Interface(), nil
	}
	return f.fromText(f.fallback)
}

func fromFlag(f field, fl *pflag.Flag) (any, error) {
	if list, ok := fl.Value.(pflag.SliceValue); ok {
		return list.GetSlice(), nil
	}
	return f.fromText(fl.Value.String())
}

// defaultStore is the database when nothing names one.
func defaultStore(s Surroundings) string {
	dir := "/var/lib"
	if !s.Root {
		dir = s.getenv("XDG_DATA_HOME")
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(s.getenv("HOME"), ".local", "share")
		}
	}
	return "sqlite:" + filepath.Join(dir, "dnsctl", "dnsctl.db")
}
