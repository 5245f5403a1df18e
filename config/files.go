package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

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
