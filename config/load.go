package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

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

// file is one configuration file's content.
type file struct {
	path  string
	viper *viper.Viper
}

// readFiles reads the files that are there, the strongest first.
func readFiles(s Surroundings, all []field) ([]file, error) {
	named := s.File
	if named == "" {
		named = s.getenv(envConfig)
	}
	system := s.SystemFile
	if system == "" {
		system = systemFile
	}
	var out []file
	seen := map[string]bool{}
	for _, path := range []string{named, userFile(s), system} {
		if path == "" || seen[path] {
			continue
		}
		seen[path] = true
		v := viper.NewWithOptions(viper.KeyDelimiter(delimiter))
		v.SetConfigFile(path)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				if path != named {
					continue
				}
				return nil, &hinted{fmt.Errorf("configuration file %s does not exist", path), "it was named by --config or " + envConfig}
			}
			var parse viper.ConfigParseError
			if errors.As(err, &parse) {
				err = parse.Unwrap()
			}
			return nil, fmt.Errorf("read configuration file %s: %w", path, err)
		}
		if err := checkKeys(path, v, all); err != nil {
			return nil, err
		}
		out = append(out, file{path, v})
	}
	return out, nil
}

// checkKeys refuses keys that no setting has.
func checkKeys(path string, v *viper.Viper, all []field) error {
	keys := v.AllKeys()
	slices.Sort(keys)
	for _, k := range keys {
		key := strings.ReplaceAll(k, delimiter, ".")
		isKey := func(f field) bool { return strings.ReplaceAll(f.key, ".", delimiter) == k }
		if slices.ContainsFunc(all, isKey) {
			continue
		}
		if slices.ContainsFunc(all, func(f field) bool { return strings.HasPrefix(f.key, key+".") }) {
			if v.Get(k) == nil {
				continue
			}
			return fmt.Errorf("configuration file %s: key %s: %s is not a mapping of settings", path, key, shown(v.Get(k)))
		}
		// A mapping where a value belongs has keys of its own below the setting's.
		if i := slices.IndexFunc(all, func(f field) bool { return strings.HasPrefix(key, f.key+".") }); i >= 0 {
			return &hinted{fmt.Errorf("configuration file %s: key %s: a mapping is not %s", path, all[i].key, all[i].want()), "write " + all[i].want() + " there"}
		}
		return &hinted{fmt.Errorf("configuration file %s: unknown key %s", path, key), nearestKey(key, all)}
	}
	return nil
}

func nearestKey(key string, all []field) string {
	names := make([]string, 0, len(all))
	for _, f := range all {
		names = append(names, f.key)
	}
	near := Nearest(strings.ReplaceAll(key, "-", "_"), names)
	if near == "" {
		return "the keys are listed by: dnsctl config show"
	}
	if section, rest, ok := strings.Cut(near, "."); ok {
		return fmt.Sprintf("the nearest key is %s (%s below %s:)", near, rest, section)
	}
	return "the nearest key is " + near
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

// inFile looks a setting up in one file.
func inFile(f field, c file) (v any, there bool, err error) {
	key := strings.ReplaceAll(f.key, ".", delimiter)
	if !slices.Contains(c.viper.AllKeys(), key) {
		return nil, false, nil
	}
	if v, err = f.fromFile(c.viper.Get(key)); err != nil {
		return nil, true, &hinted{fmt.Errorf("configuration file %s: key %s: %w", c.path, f.key, err), "write " + f.want() + " there, or remove the key"}
	}
	return v, true, nil
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

// userFile is the user's configuration file; "" when there is no home.
func userFile(s Surroundings) string {
	if dir := s.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, baseName)
	}
	if home := s.getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", baseName)
	}
	return ""
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
