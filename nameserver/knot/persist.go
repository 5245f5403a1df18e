package knot

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"dnsctl/nameserver"
	"dnsctl/report"
)

// defaultDatabase is what knotd uses where its arguments say nothing, if it is
// there (knotd(8)).
const defaultDatabase = "/var/lib/knot/confdb"

// inFile refuses a knotd that has its configuration in a text file. It takes changes
// of that all the same, and forgets them when it is started again or reloaded.
func inFile(file string) error {
	return report.Hint(fmt.Errorf("%w: it has its configuration in the file %s, and would forget added zones when it is reloaded", nameserver.ErrRefused, file),
		fmt.Sprintf("give it a configuration database: knotc -C %[1]s conf-import %[2]s, then start it with knotd -C %[1]s (Debian: KNOTD_ARGS in /etc/default/knot)", defaultDatabase, file))
}

// hasDatabase refuses a knotd on this host whose arguments name a configuration
// file. Where they cannot be read nothing is said: the first write finds out.
func (c *channel) hasDatabase() error {
	args, ok := c.arguments()
	if !ok {
		return nil
	}
	if file := configFileOf(args); file != "" {
		return inFile(nameserver.Printable(file))
	}
	return nil
}

// arguments are those of the knotd at the other end of a socket on this host.
func (c *channel) arguments() ([]string, bool) {
	conn, local := c.conn.(*net.UnixConn)
	if _, direct := c.to.(socket); !local || !direct {
		return nil, false
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, false
	}
	var peer *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if errors.Join(err, failed) != nil {
		return nil, false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", peer.Pid))
	if err != nil || len(text) == 0 {
		return nil, false
	}
	args := strings.Split(string(bytes.TrimSuffix(text, []byte{0})), "\x00")
	return args, strings.HasSuffix(args[0], "knotd")
}

// configFileOf is the configuration file that knotd's arguments name; "" for a
// database.
func configFileOf(args []string) string {
	file, database := "", ""
	for i := 1; i < len(args); i++ {
		arg := args[i]
		for _, o := range []struct {
			short, long string
			dest        *string
		}{{"-c", "--config", &file}, {"-C", "--confdb", &database}} {
			switch {
			case arg == o.short || arg == o.long:
				if i+1 < len(args) {
					i++
					*o.dest = args[i]
				}
			case strings.HasPrefix(arg, o.long+"="):
				*o.dest = arg[len(o.long)+1:]
			case strings.HasPrefix(arg, o.short) && !strings.HasPrefix(arg, "--"):
				*o.dest = arg[2:]
			}
		}
	}
	if file == "" && database == "" {
		if _, err := os.Stat(defaultDatabase); err != nil {
			return "/etc/knot/knot.conf"
		}
	}
	return file
}
