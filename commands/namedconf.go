package commands

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// confWords begin the statements of a named.conf (named.conf(5)).
var confWords = []string{"zone", "options", "include", "acl", "view", "key", "logging", "controls", "server", "masters",
	"primaries", "parental-agents", "remote-servers", "statistics-channels", "dnssec-policy", "tls", "http", "managed-keys",
	"trusted-keys", "trust-anchors", "dlz", "dyndb", "plugin"}

// isNamedConf says whether a file is a named.conf or a part of one: by its name,
// or by its first word with a string or a block behind it, which no master file
// has.
func isNamedConf(path string) (bool, error) {
	base := filepath.Base(path)
	if strings.HasSuffix(base, ".conf") || strings.HasPrefix(base, "named.conf") {
		return true, nil
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return false, err // what is read from a pipe is gone
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(bufio.NewReader(f), 64<<10))
	if err != nil {
		return false, err
	}
	return beginsAsConf(string(text)), nil
}

// beginsAsConf looks at the first words behind comments.
func beginsAsConf(s string) bool {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		switch {
		case strings.HasPrefix(s, "//"), strings.HasPrefix(s, "#"):
			_, s, _ = strings.Cut(s, "\n")
			continue
		case strings.HasPrefix(s, "/*"):
			_, s, _ = strings.Cut(s, "*/")
			continue
		}
		break
	}
	i := strings.IndexAny(s, " \t\r\n{\"")
	return i > 0 && slices.Contains(confWords, s[:i]) && afterConfWord.MatchString(s[i:])
}

// afterConfWord is what stands behind the first word of a statement: a string, a
// block, or a name (and class) and a block.
var afterConfWord = regexp.MustCompile(`^\s*(["{]|[^\s"{;]+(\s+IN)?\s*\{)`)
