package namedconf

import (
	"path/filepath"
	"strings"

	"dnsctl/zone"
)

// Zone is a zone statement.
type Zone struct {
	Name  zone.Name
	Class string // IN unless the statement or its view says otherwise; upper case
	// Type is the zone's type in named's present words (primary, secondary, mirror,
	// hint, forward, stub, static-stub, redirect, delegation-only); in-view for a
	// zone taken from another view; empty where the statement has none.
	Type string
	File string // master file: absolute, mapped; empty where none is named
	View string // empty outside of views

	// Where the statement begins.
	Source string
	Line   int
}

// Primary says whether the zone's file is where its data is edited.
func (z Zone) Primary() bool { return z.Type == "primary" }

// Config is what Read finds.
type Config struct {
	Directory string // options { directory }, mapped; empty where there is none
	Zones     []Zone // in the order of the files
	Files     []string
}

// Options of Read.
type Options struct {
	// MapPath rewrites the beginnings of absolute paths in the configuration, each
	// {OLD, NEW}, at whole path elements; the first that fits counts.
	MapPath [][2]string
}

// Bounds against configurations that are none.
const (
	maxFile  = 64 << 20
	maxFiles = 10000
	maxDepth = 20  // of includes
	maxBlock = 100 // of braces
)

// Read reads a BIND configuration and the files it includes. A relative include
// is taken from the directory option when that stands before it, as named does,
// or else, and where there is no such file, from the folder of the file that
// includes it. Relative zone files are taken from the directory option, or from
// the folder of path where there is none. Errors are *Error.
func Read(path string, opts Options) (*Config, error) {
	p := newParser(opts)
	if err := p.file(path, Token{}, scope{in: top, class: "IN"}); err != nil {
		return nil, err
	}
	return p.resolved(path)
}

// mapped rewrites an absolute path.
func (o Options) mapped(path string) string {
	if !filepath.IsAbs(path) {
		return path
	}
	path = filepath.Clean(path)
	for _, m := range o.MapPath {
		from := filepath.Clean(m[0])
		if path == from {
			return m[1]
		}
		if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(from, "/")+"/"); ok {
			return filepath.Join(m[1], rest)
		}
	}
	return path
}
