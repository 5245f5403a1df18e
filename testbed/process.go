package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// process is a running server; its output goes to a file.
type process struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed when the process was waited for
}

// errEnded says that a server ended by itself.
var errEnded = errors.New("the server ended")

// startProcess runs a program with its output appended to the file log. It is
// killed by the kernel should the test process die.
func startProcess(log string, owner *syscall.Credential, path string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: owner}
	if owner != nil {
		cmd.Dir = "/"
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: log, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// ended says whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// end sends sig, waits, and kills the process if that takes longer than 30 s.
func (p *process) end(sig syscall.Signal) error {
	if p == nil || p.ended() {
		return nil
	}
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.exited:
		return nil
	case <-time.After(30 * time.Second):
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	return fmt.Errorf("process %d ignored %s for 30 s and was killed", p.cmd.Process.Pid, sig)
}

// output is what the process wrote so far.
func (p *process) output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// shownLines is how much of a server's log a test that failed shows.
const shownLines = 40

// lastLines is the end of a log.
func lastLines(log string) string {
	lines := strings.SplitAfter(log, "\n")
	if cut := len(lines) - shownLines; cut > 0 {
		return fmt.Sprintf("(%d lines before)\n", cut) + strings.Join(lines[cut:], "")
	}
	return log
}

// GORACE is that variable for programs that tests start: under the race detector
// each would otherwise sleep a second before it ends.
const GORACE = "atexit_sleep_ms=0"
