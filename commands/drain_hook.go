package commands

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"dnsctl/bootstrap"
	"dnsctl/report"
)

// hookOutput bounds what is kept of what the hook prints.
const hookOutput = 4 << 10

// drainHook runs the program of the setting drain_hook; nil when there is none.
// Of this process's environment it gets only what programs cannot do without: the
// rest may hold secrets.
func (a *App) drainHook() bootstrap.Hook {
	words := strings.Fields(a.Config.DrainHook)
	if len(words) == 0 {
		return nil
	}
	return func(ctx context.Context, server, state, reason string) error {
		bound, cancel := context.WithTimeout(ctx, a.Config.DrainHookTimeout)
		defer cancel()
		cmd := exec.CommandContext(bound, words[0], words[1:]...)
		// Its children end with it.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		for _, name := range []string{"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"} {
			if v := a.getenv(name); v != "" {
				cmd.Env = append(cmd.Env, name+"="+v)
			}
		}
		cmd.Env = append(cmd.Env, "SERVER="+server, "STATE="+state, "REASON="+reason)
		cmd.WaitDelay = time.Second // what it leaves running may keep the pipe open
		var out tail
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		switch {
		case err == nil, errors.Is(err, exec.ErrWaitDelay):
			return nil
		case ctx.Err() != nil: // the whole run's end, which is told as such
			return fmt.Errorf("drain_hook %s: %w", words[0], ctx.Err())
		case bound.Err() != nil:
			err = fmt.Errorf("not done within %s", a.Config.DrainHookTimeout)
		}
		said := strings.TrimSpace(out.kept.String())
		if said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return report.Hint(fmt.Errorf("drain_hook %s: %w", words[0], err), "the program is named by the setting drain_hook: dnsctl config show --origin")
	}
}

// tail keeps the end of what is written to it.
type tail struct{ kept bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	t.kept.Write(p)
	if over := t.kept.Len() - hookOutput; over > 0 {
		t.kept.Next(over)
	}
	return len(p), nil
}
