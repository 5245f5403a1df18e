package knot

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"dnsctl/nameserver"
)

// checkTime bounds how long a configuration may take to start.
const checkTime = 20 * time.Second

// CheckConfig makes a configuration database of a written configuration, and starts
// knotd on it: not where it will run, but on a free port of loopback and in a
// folder that is thrown away. checked is false when the programs are not installed.
func (Type) CheckConfig(ctx context.Context, dir string) (checked bool, err error) {
	var programs [2]string
	for i, name := range []string{"knotc", "knotd"} {
		if programs[i], err = exec.LookPath(name); err != nil {
			if programs[i], err = exec.LookPath("/usr/sbin/" + name); err != nil {
				return false, nil
			}
		}
	}
	tmp, err := os.MkdirTemp("", "dnsctl-knot-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := importConfig(ctx, programs[0], filepath.Join(tmp, "whole"), filepath.Join(dir, configFile)); err != nil {
		return true, err
	}
	port, err := nameserver.FreePort(ctx)
	if err != nil {
		return false, err
	}
	moved := filepath.Join(tmp, configFile)
	if err := move(filepath.Join(dir, configFile), moved, tmp, port); err != nil {
		return false, err
	}
	database := filepath.Join(tmp, databaseFolder)
	if err := importConfig(ctx, programs[0], database, moved); err != nil {
		return true, err
	}
	return true, startAndStop(ctx, programs[1], database, filepath.Join(tmp, "knot.sock"))
}

// importConfig makes a configuration database of a file.
func importConfig(ctx context.Context, knotc, database, file string) error {
	out, err := exec.CommandContext(ctx, knotc, "-C", database, "conf-import", file).CombinedOutput()
	if err != nil {
		return fmt.Errorf("check %s: %s", configFile, nameserver.Printable(string(bytes.TrimSpace(out))))
	}
	return nil
}

// move copies a configuration of ours, with what it opens elsewhere.
func move(from, to, dir string, port int) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var b strings.Builder
	section := ""
	for line := range strings.Lines(string(text)) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		if line[0] != ' ' {
			section = key
		}
		switch section + "." + key {
		case "server.user":
			continue
		case "server.rundir", "database.storage", "template.storage":
			line = fmt.Sprintf("    %s: %s\n", key, quote(dir))
		case "server.listen":
			line = fmt.Sprintf("    listen: 127.0.0.1@%d\n", port)
		case "control.listen":
			line = fmt.Sprintf("    listen: %s\n", quote(filepath.Join(dir, "knot.sock")))
		case "log.- target":
			line = "  - target: stderr\n"
		}
		b.WriteString(line)
	}
	return os.WriteFile(to, []byte(b.String()), 0o600)
}

// startAndStop runs a knotd until it answers on its control socket.
func startAndStop(ctx context.Context, knotd, database, at string) error {
	var said tail
	cmd := exec.CommandContext(ctx, knotd, "-C", database)
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("check %s: %w", configFile, err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	d := &driver{to: socket(at)}
	for {
		if _, err := d.Info(ctx); err == nil {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			<-ended
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("check %s: knotd does not start: %s", configFile, nameserver.Printable(said.wait()))
		case <-ctx.Done():
			<-ended
			return fmt.Errorf("check %s: knotd does not start: %s", configFile, nameserver.Printable(said.wait()))
		case <-time.After(askSocket):
		}
	}
}
