package zonefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dnsctl/zone"
)

// directive carries out a line that begins with $. The error is errGiveUp or
// ctx's.
func (r *reader) directive(line int, toks []token) error {
	name, args := strings.ToUpper(string(toks[0].text)), toks[1:]
	var err error
	switch name {
	case "$ORIGIN":
		err = r.setOrigin(args)
	case "$TTL":
		err = r.setTTL(args)
	case "$INCLUDE":
		return r.include(line, args)
	case "$GENERATE":
		return r.generate(line, args)
	default:
		err = &hinted{fmt.Sprintf("directive %q is unknown", clip(toks[0].text)),
			`there are $ORIGIN, $TTL, $INCLUDE and $GENERATE; an owner that begins with $ is written \$`}
	}
	if err != nil {
		return r.report(line, err.Error(), hintFor(err))
	}
	return nil
}

func (r *reader) setOrigin(args []token) error {
	if len(args) != 1 {
		return errors.New("$ORIGIN wants one NAME")
	}
	n, err := r.name(args[0].text)
	if err != nil {
		return fmt.Errorf("$ORIGIN %q %w", clip(args[0].text), err)
	}
	r.src.origin = n
	return nil
}

func (r *reader) name(text []byte) (zone.Name, error) {
	b, err := appendName(nil, text, r.src.origin)
	return zone.Name(b), err
}

func (r *reader) setTTL(args []token) error {
	if len(args) != 1 {
		return errors.New("$TTL wants one TIME")
	}
	ttl, err := readTTL(args[0].text)
	if err != nil {
		return err
	}
	r.ttl, r.ttlKnown = ttl, true
	r.defaultTTL, r.defaultKnown = ttl, true
	return nil
}

// maxDepth is how deep files may include each other.
const maxDepth = 16

// include reads another file in the place of the line (RFC 1035 section 5.1).
func (r *reader) include(line int, args []token) error {
	if len(args) != 1 && len(args) != 2 {
		return r.report(line, "$INCLUDE wants FILE [ORIGIN]", "")
	}
	outer := r.src
	origin := outer.origin
	if len(args) == 2 {
		var err error
		if origin, err = r.name(args[1].text); err != nil {
			return r.report(line, fmt.Sprintf("$INCLUDE: origin %q %v", clip(args[1].text), err), hintFor(err))
		}
	}
	b, err := unescape(nil, args[0].text)
	if err != nil {
		return r.report(line, "$INCLUDE: the file's name "+err.Error(), "")
	}
	f, shown, path, err := r.open(string(b))
	if err != nil {
		return r.report(line, fmt.Sprintf("$INCLUDE %q: %s", clip(b), reason(err)), hintFor(err))
	}
	defer f.Close()
	depth := 0
	for s := outer; s != nil; s = s.parent {
		depth++
		if s.path == path || s.parent == nil && sameFile(f, s.name) {
			return r.report(line, fmt.Sprintf("$INCLUDE %q: this file is being read already: files include each other in a circle", clip(b)), "remove one of the $INCLUDE lines of the circle")
		}
	}
	if depth > maxDepth {
		return r.report(line, fmt.Sprintf("$INCLUDE %q: files include each other more than %d deep", clip(b), maxDepth), "")
	}
	// The owner is taken along, as named does, but neither owner nor origin come back.
	return r.file(&source{lex: newLexer(f), name: shown, origin: origin, parent: outer, path: path,
		owner: outer.owner, key: outer.key, outside: outer.outside})
}

// sameFile says whether f is the file of that name, if there is one.
func sameFile(f *os.File, name string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(name)
	return err == nil && os.SameFile(a, b)
}

// open opens a file for $INCLUDE; shown is its name for messages, path where it
// really is. Nothing outside of the root is ever opened: the path is resolved
// first, and then followed by an os.Root, which holds even when a link is
// changed in between.
func (r *reader) open(name string) (f *os.File, shown, path string, err error) {
	allowed := r.opts.IncludeRoot
	if allowed == "" {
		return nil, "", "", &hinted{"files may not be included here", "say the directory that they may be read from with --include-root"}
	}
	base, err := resolve(allowed)
	if err != nil {
		return nil, "", "", fmt.Errorf("the allowed directory %s: %s", allowed, reason(err))
	}
	candidates := []string{name}
	if !filepath.IsAbs(name) {
		candidates = []string{filepath.Join(allowed, name), filepath.Join(filepath.Dir(r.src.name), name)}
	}
	for _, shown = range candidates {
		if path, err = resolve(shown); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", "", &hinted{"there is no such file", "a relative path is taken from --include-root, then from the folder of the file that includes it"}
	case err != nil:
		return nil, "", "", err
	}
	rel, err := filepath.Rel(base, path)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, "", "", &hinted{fmt.Sprintf("is outside of the allowed directory %s", allowed), "allow another one with --include-root"}
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return nil, "", "", err
	}
	defer root.Close()
	info, err := root.Stat(rel)
	if err != nil {
		return nil, "", "", err
	}
	if !info.Mode().IsRegular() {
		return nil, "", "", &hinted{"is not a regular file", "devices, folders and pipes cannot be included"}
	}
	f, err = root.Open(rel)
	return f, shown, path, err
}

// resolve is the absolute path without symbolic links.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(abs)
}
