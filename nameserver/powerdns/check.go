package powerdns

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dnsctl/nameserver"
)

// checkTime bounds how long a configuration may take to start.
const checkTime = 20 * time.Second

// ready is what pdns_server logs when it has started.
const ready = "ready to distribute questions"

// CheckConfig starts pdns_server on a written configuration, as nothing else
// shows whether it is good: not where it will run, but on a free port of loopback,
// without its API, and on an empty SQLite database that is thrown away, whatever
// database it is to have. checked is false when the program is not installed.
func (Type) CheckConfig(ctx context.Context, dir string) (checked bool, err error) {
	program, err := exec.LookPath("pdns_server")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/pdns_server"); err != nil {
			return false, nil
		}
	}
	tmp, err := os.MkdirTemp("", "dnsctl-pdns-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)
	file := filepath.Join(tmp, databaseFile)
	if err := checkFiles(dir, tmp, file); err != nil {
		return false, err
	}
	port, err := nameserver.FreePort(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--config-dir="+tmp, "--daemon=no", "--guardian=no", "--write-pid=no", "--disable-syslog=yes",
		"--log-timestamp=no", "--loglevel=5", "--local-address=127.0.0.1", fmt.Sprintf("--local-port=%d", port), "--webserver=no", "--api=no",
		"--socket-dir="+tmp, "--launch=gsqlite3", "--gsqlite3-database="+file)
	cmd.WaitDelay = time.Second
	return true, startAndStop(cmd)
}

// checkFiles makes the database, and a copy of the configuration without what it
// says of a PostgreSQL that may not have it yet.
func checkFiles(dir, tmp, file string) error {
	database, err := unzip(emptyDatabase)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, database, 0o600); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "gpgsql-") {
			kept.WriteString(line)
		}
	}
	return os.WriteFile(filepath.Join(tmp, configFile), []byte(kept.String()), 0o600)
}

// startAndStop runs a pdns_server until it has started.
func startAndStop(cmd *exec.Cmd) error {
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	cmd.Stdout = cmd.Stderr // it logs to both
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("check %s: %w", configFile, err)
	}
	var said []string
	started := false
	for lines := bufio.NewScanner(out); !started && lines.Scan(); {
		line := nameserver.Printable(lines.Text())
		started = strings.Contains(line, ready)
		said = append(said, line)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if started {
		return nil
	}
	if len(said) == 0 {
		return fmt.Errorf("check %s: %w", configFile, errors.New("pdns_server ended without a word"))
	}
	return fmt.Errorf("check %s: pdns_server does not start: %s", configFile, strings.Join(said[max(0, len(said)-3):], "; "))
}
