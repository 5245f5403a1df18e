package commands

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dnsctl/edit"
	"dnsctl/namedconf"
	"dnsctl/report"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// sources gathers the zone files that an import or a check reads.
type sources struct {
	includeRoot string
	only        zone.Name // --zone; "" is none
	lax         bool
	maps        [][2]string // of --map-path: old, new
	list        []edit.Source
	missing     []missing
	names       map[string]zone.Name // of files, where it is known before they are read
}

// missing is a zone whose file is not there or not usable.
type missing struct {
	zone zone.Name
	path string
	err  error
}

func newSources(includeRoot string, o zoneImportOptions) (*sources, error) {
	s := &sources{includeRoot: includeRoot, lax: o.lax, names: map[string]zone.Name{}}
	if o.zone != "" {
		n, err := parseZone(o.zone)
		if err != nil {
			return nil, err
		}
		s.only = n
	}
	for _, m := range o.mapPath {
		from, to, ok := strings.Cut(m, "=")
		if !ok || from == "" {
			return nil, usagef("write --map-path /old/folder=/new/folder", "--map-path %q is not of the form OLD=NEW", m)
		}
		s.maps = append(s.maps, [2]string{from, to})
	}
	return s, nil
}

// addAll takes the arguments.
func (s *sources) addAll(paths []string) error {
	for _, p := range paths {
		if err := s.add(p); err != nil {
			return err
		}
	}
	return nil
}

// add takes one argument: a zone file, a folder of them, or a named.conf.
func (s *sources) add(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		s.missing = append(s.missing, missing{path: path, err: err})
		return nil
	}
	if info.IsDir() {
		return s.addFolder(path)
	}
	conf, err := isNamedConf(path)
	if err != nil {
		s.missing = append(s.missing, missing{path: path, err: err})
		return nil
	}
	if conf {
		return s.addNamedConf(path)
	}
	s.addFile(path, s.only)
	return nil
}

// addFolder takes the master files below a folder.
func (s *sources) addFolder(dir string) error {
	if s.only != "" {
		return usagef("name its file", "--zone is for one file, %s is a folder", dir)
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			s.missing = append(s.missing, missing{path: path, err: err})
			return nil
		}
		if strings.HasPrefix(d.Name(), ".") && path != dir {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if slices.Contains(noZoneFiles, filepath.Ext(path)) {
			return nil
		}
		// A link counts as what it leads to; folders behind links are not entered,
		// and a link that leads nowhere fails when it is read.
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return nil
		}
		if conf, err := isNamedConf(path); err == nil && conf {
			return nil // what cannot be read fails when it is parsed
		}
		s.addFile(path, "")
		return nil
	})
}

// noZoneFiles are endings of files that lie beside zone files: journals, keys,
// configuration, notes.
var noZoneFiles = []string{".jnl", ".jbk", ".private", ".key", ".state", ".conf", ".md", ".txt", ".inc"}

// addFile takes one master file. name is "" where the file says it.
func (s *sources) addFile(path string, name zone.Name) {
	if s.names[path] = name; name == "" {
		if guess, usual := zoneOfFile(path); usual {
			s.names[path] = guess
		}
	}
	s.list = append(s.list, edit.Source{Path: path, Parse: func(ctx context.Context) (edit.Parsed, error) {
		return s.read(ctx, path, name)
	}})
}

// read parses a master file. Without a name, the file's own, then the one that
// its file name suggests is tried; a file name in one of the usual forms goes
// first, since it makes for better messages.
func (s *sources) read(ctx context.Context, path string, name zone.Name) (edit.Parsed, error) {
	origins := []zone.Name{name}
	if name == "" {
		guess, usual := zoneOfFile(path)
		switch {
		case guess == "":
		case usual:
			origins = []zone.Name{guess, ""}
		default:
			origins = []zone.Name{"", guess}
		}
	}
	var first error
	fewest := 0
	for _, origin := range origins {
		res, err := zonefile.ReadFile(ctx, path, zonefile.Options{Origin: origin, IncludeRoot: s.includeRoot, Lax: s.lax})
		if err == nil {
			if res.Apex == zone.Root && s.only != zone.Root {
				return edit.Parsed{}, report.Hint(fmt.Errorf("%s: this is the root zone", path), "it is imported only when it is named, with --zone . and its file")
			}
			return edit.Parsed{Content: res.Snapshot, Warnings: warningsOf(res.Warnings), Checked: true}, nil
		}
		if n := faults(err); first == nil || n < fewest {
			first, fewest = hintOf(err), n
		}
		if ctx.Err() != nil {
			break
		}
	}
	return edit.Parsed{}, first
}

// faults is how many there are in an error of the reader: under a name that is
// not the zone's there are more than under its own.
func faults(err error) int {
	var all zonefile.Errors
	if errors.As(err, &all) {
		return len(all)
	}
	return 1
}

// hintOf gives an error of the reader the hint of its first fault that has one.
func hintOf(err error) error {
	var all zonefile.Errors
	if errors.As(err, &all) {
		for _, fault := range all {
			if fault.Hint != "" {
				return report.Hint(err, fault.Hint)
			}
		}
	}
	return err
}

func warningsOf(all zonefile.Errors) []edit.Warning {
	out := make([]edit.Warning, 0, len(all))
	for _, e := range all {
		place := e.File
		if e.Line > 0 {
			place = fmt.Sprintf("%s:%d", e.File, e.Line)
		}
		out = append(out, edit.Warning{Place: place, Text: e.Msg})
	}
	return out
}

// zoneOfFile is the zone that a file's name suggests: db.NAME, NAME.zone,
// NAME.db, NAME.signed or just NAME; usual says that it is not the last one.
func zoneOfFile(path string) (name zone.Name, usual bool) {
	base := filepath.Base(path)
	text := strings.TrimSuffix(base, ".signed")
	if t, ok := strings.CutPrefix(text, "db."); ok {
		text = t
	} else {
		for _, end := range []string{".zone", ".db"} {
			if t, ok := strings.CutSuffix(text, end); ok {
				text = t
				break
			}
		}
	}
	n, err := zone.ParseName(text)
	if err != nil {
		return "", false
	}
	return n, text != base
}

// addNamedConf takes the primary zones of a named.conf and what it includes.
func (s *sources) addNamedConf(path string) error {
	conf, err := namedconf.Read(path, namedconf.Options{MapPath: s.maps})
	if err != nil {
		var e *namedconf.Error
		if errors.As(err, &e) && e.Hint != "" {
			err = report.Hint(err, e.Hint)
		}
		s.missing = append(s.missing, missing{path: path, err: err})
		return nil
	}
	hint := namedconf.MovedHint // said once, not for each of a thousand files
	for _, z := range conf.Zones {
		if !z.Primary() || z.Class != "IN" || s.only != "" && !z.Name.Equal(s.only) || z.Name == zone.Root && s.only != zone.Root {
			continue
		}
		place := fmt.Sprintf("%s:%d", z.Source, z.Line)
		if z.File == "" {
			s.missing = append(s.missing, missing{z.Name, place, fmt.Errorf("zone %q names no file", z.Name)})
			continue
		}
		if _, err := os.Stat(z.File); err != nil {
			s.missing = append(s.missing, missing{z.Name, z.File, report.Hint(fmt.Errorf("zone %q (%s): the file is missing", z.Name, place), hint)})
			hint = ""
			continue
		}
		s.addFile(z.File, z.Name)
	}
	return nil
}
