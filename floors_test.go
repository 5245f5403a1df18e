package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module       = "dnsctl"
	architecture = "docs/ARCHITECTURE.md"
)

// owners says which rooms may import a library, by the start of its path. Tests
// may import those that say so.
var owners = []struct {
	library string
	rooms   []string
	tests   bool
}{
	{"github.com/spf13/cobra", []string{"commands", "cmd"}, false},
	{"github.com/spf13/viper", []string{"config"}, false},
	{"github.com/jmoiron/sqlx", []string{"store"}, false},
	{"github.com/lib/pq", []string{"store"}, true},
	{"modernc.org/sqlite", []string{"store"}, true},
	{"github.com/pressly/goose", []string{"store"}, false},
	{"database/sql", []string{"store"}, true},
	{"github.com/olekukonko/tablewriter", []string{"render"}, false},
	{"github.com/miekg/dns", []string{"zone/zonefile", "dnsclient"}, true},
}

// forTests are the rooms that only tests and other rooms for tests import.
var forTests = []string{"testbed", "testscripts", "store/storetest"}

// source is one Go file: the room it is in and what it imports.
type source struct {
	file    string // slash-separated, from the root
	room    string // its folder; "main" in the root
	test    bool
	imports []string
}

// floors are the rooms by height, lowest first, as docs/ARCHITECTURE.md lists
// them: a line of rooms between commas and arrows. "a/*" stands for every folder
// in a.
func floors(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Floors\n")
	var list string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "    ") {
			list += line
		} else if list != "" {
			break
		}
	}
	var all [][]string
	for floor := range strings.SplitSeq(list, "->") {
		var rooms []string
		for room := range strings.SplitSeq(floor, ",") {
			rooms = append(rooms, strings.TrimSpace(room))
		}
		all = append(all, rooms)
	}
	if len(all) < 5 {
		t.Fatalf("%s has no list of floors (an indented block under \"## Floors\")", architecture)
	}
	return all
}

// height finds a package's floor and the room of that floor it belongs to: the
// longest that its path starts with.
func height(all [][]string, pkg string) (floor int, room string) {
	floor = -1
	for i, rooms := range all {
		for _, r := range rooms {
			if parent, ok := strings.CutSuffix(r, "/*"); ok {
				rest, below := strings.CutPrefix(pkg, parent+"/")
				if !below {
					continue
				}
				first, _, _ := strings.Cut(rest, "/")
				r = parent + "/" + first
			}
			if within(pkg, r) && len(r) > len(room) {
				floor, room = i, r
			}
		}
	}
	return floor, room
}

// within says whether pkg is room or a folder inside it.
func within(pkg, room string) bool {
	return pkg == room || strings.HasPrefix(pkg, room+"/")
}

func withinAny(pkg string, rooms []string) bool {
	return slices.ContainsFunc(rooms, func(room string) bool { return within(pkg, room) })
}

// sources reads the imports of every Go file of the project.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(file) != ".go":
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		s := source{file: filepath.ToSlash(file), test: strings.HasSuffix(file, "_test.go")}
		if s.room = path.Dir(s.file); s.room == "." {
			s.room = "main"
		}
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			s.imports = append(s.imports, name)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestImportsGoDown(t *testing.T) {
	t.Parallel()
	all := floors(t)
	for _, s := range sources(t) {
		if s.test || withinAny(s.room, forTests) {
			continue
		}
		from, room := height(all, s.room)
		if from < 0 {
			t.Errorf("%s: the room %q is on no floor of %s", s.file, s.room, architecture)
			continue
		}
		for _, name := range s.imports {
			pkg, ours := strings.CutPrefix(name, module+"/")
			if !ours {
				continue
			}
			to, other := height(all, pkg)
			switch {
			case withinAny(pkg, forTests):
				if room != "cmd" {
					t.Errorf("%s imports %s, which is for tests", s.file, pkg)
				}
			case to < 0:
				t.Errorf("%s imports %s, which is on no floor of %s", s.file, pkg, architecture)
			case room == other:
			case to >= from:
				t.Errorf("%s imports %s: imports go down only, and %s is on floor %d, %s on floor %d", s.file, pkg, room, from, other, to)
			case other == "store" && room != "main" && room != "cmd" && room != "commands":
				t.Errorf("%s imports store: rooms of the domain declare the methods they need, and commands hands them the Store", s.file)
			}
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, name := range s.imports {
			for _, o := range owners {
				inTest := o.tests && (s.test || withinAny(s.room, forTests))
				if within(name, o.library) && !withinAny(s.room, o.rooms) && !inTest {
					t.Errorf("%s imports %s, which stays in %s", s.file, name, strings.Join(o.rooms, ", "))
				}
			}
		}
	}
}

// TestOnlyDriversKnowServerTypes keeps what is true of one kind of nameserver
// below nameserver/.
func TestOnlyDriversKnowServerTypes(t *testing.T) {
	t.Parallel()
	kinds := regexp.MustCompile(`"(bind|nsd|knot|powerdns)"`)
	for _, s := range sources(t) {
		if s.test || withinAny(s.room, []string{"nameserver", "cmd"}) || withinAny(s.room, forTests) {
			continue
		}
		text, err := os.ReadFile(filepath.FromSlash(s.file))
		if err != nil {
			t.Fatal(err)
		}
		if name := kinds.Find(text); name != nil {
			t.Errorf("%s names the server type %s: let nameserver.Type or nameserver.Driver say what is true of it", s.file, name)
		}
	}
}

func TestArchitectureMentionsEveryFolder(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		mention := regexp.MustCompile(`(^|[\s` + "`" + `])` + regexp.QuoteMeta(e.Name()) + `/`)
		if !mention.Match(text) {
			t.Errorf("%s does not mention %s/", architecture, e.Name())
		}
	}
}

func TestHeightTakesTheLongestRoom(t *testing.T) {
	t.Parallel()
	all := [][]string{{"zone"}, {"zone/zonefile"}, {"nameserver"}, {"nameserver/*"}, {"sync/plan"}}
	for pkg, want := range map[string]struct {
		floor int
		room  string
	}{
		"zone":                 {0, "zone"},
		"zone/zonefile":        {1, "zone/zonefile"},
		"nameserver":           {2, "nameserver"},
		"nameserver/bind":      {3, "nameserver/bind"},
		"nameserver/bind/conf": {3, "nameserver/bind"},
		"sync/plan":            {4, "sync/plan"},
		"sync":                 {-1, ""},
		"zones":                {-1, ""},
	} {
		if floor, room := height(all, pkg); floor != want.floor || room != want.room {
			t.Errorf("height(%q) = %d, %q, want %d, %q", pkg, floor, room, want.floor, want.room)
		}
	}
}
