package nameserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"dnsctl/zone"
)

// RunChecker runs a server's own checker on a configuration file, with what the
// program prints as the error. checked is false when it is not installed.
func RunChecker(ctx context.Context, program, file string) (checked bool, err error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return false, nil
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, file)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && out.Len() > 0 {
			return true, fmt.Errorf("check %s: %s", filepath.Base(file), bytes.TrimSpace(out.Bytes()))
		}
		return true, fmt.Errorf("check %s: %w", filepath.Base(file), err)
	}
	return true, nil
}

// FreePort is one of loopback that is free now, for UDP and TCP: a configuration
// whose checker is the server itself is started there for a moment.
func FreePort(ctx context.Context) (int, error) {
	// A program started meanwhile would have the port open until its exec.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var lc net.ListenConfig
	for try := 0; ; try++ {
		l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		p, err := lc.ListenPacket(ctx, "udp", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = p.Close()
			return p.LocalAddr().(*net.UDPAddr).Port, nil
		}
		if try == 10 {
			return 0, err
		}
	}
}

// CheckNoCatalog is ErrUntouchable when the content is that of a catalog zone: it
// has a version (RFC 9432 section 4.2.1).
func CheckNoCatalog(content *zone.Snapshot) error {
	version, err := content.Apex().Prepend("version")
	if err != nil {
		return nil
	}
	set, ok := content.Get(zone.ID{Owner: version.Key(), Type: zone.TypeTXT})
	if v := set.Data.First(); ok && (v == "\x012" || v == "\x011") {
		return fmt.Errorf("%w: it is a catalog zone", ErrUntouchable)
	}
	return nil
}

// Printable is a server's text, cut short and without control characters.
func Printable(text string) string {
	const most = 300
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
