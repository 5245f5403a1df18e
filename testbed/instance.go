package testbed

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"
)

// instance is a nameserver that a test runs.
type instance struct {
	what string
	run  func() error // starts it, with the files and ports it has, and waits until it answers
	proc *process

	// ClockOff is by how much the server's clock is wrong from its next start on
	// (Debian's faketime).
	ClockOff time.Duration
}

// launch starts the server's program.
func (i *instance) launch(log, path string, args ...string) error {
	if i.ClockOff != 0 {
		libs, _ := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
		if len(libs) == 0 {
			return errors.New("there is no libfaketime (install Debian's faketime)")
		}
		// With libc's malloc, since named's (jemalloc) asks for the time before libfaketime
		// is ready.
		args = append([]string{"LD_PRELOAD=" + libs[0] + " libc.so.6", fmt.Sprintf("FAKETIME=%+d", int(i.ClockOff.Seconds())), "FAKETIME_DONT_FAKE_MONOTONIC=1", path}, args...)
		path = "/usr/bin/env"
	}
	proc, err := startProcess(log, nil, path, args...)
	if err == nil {
		i.proc = proc
	}
	return err
}

// Stop ends the server with SIGTERM and waits for it.
func (i *instance) Stop(t T) { i.end(t, syscall.SIGTERM) }

// Kill ends the server with SIGKILL and waits for it.
func (i *instance) Kill(t T) { i.end(t, syscall.SIGKILL) }

func (i *instance) end(t T, sig syscall.Signal) {
	t.Helper()
	if err := i.proc.end(sig); err != nil {
		t.Fatalf("end %s: %v", i.what, err)
	}
}

// Restart stops the server if it runs, starts it again with the files and ports
// it had, and waits until it answers.
func (i *instance) Restart(t T) {
	t.Helper()
	i.Stop(t)
	if err := i.run(); err != nil {
		t.Fatalf("restart %s: %v; its log:\n%s", i.what, err, i.Log())
	}
}

// Running says whether the process lives; a crash shows here.
func (i *instance) Running() bool { return !i.proc.ended() }

// PID is the server's process id.
func (i *instance) PID() int { return i.proc.cmd.Process.Pid }

// Log is what the server has logged so far.
func (i *instance) Log() string {
	if i.proc == nil {
		return ""
	}
	return i.proc.output()
}
