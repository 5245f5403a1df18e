package testbed

import "syscall"

// instance is a nameserver that a test runs.
type instance struct {
	what string
	run  func() error // starts it, with the files and ports it has, and waits until it answers
	proc *process
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
