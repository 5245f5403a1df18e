package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticks is how many units of /proc's CPU times make a second; Linux says 100 to
// programs on every architecture.
const ticks = 100

// cpu is the processor time that a process has used so far, its children that it
// has waited for included, in seconds, to 10 ms.
func cpu(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte(") ")) // the program's name may have blanks
	f := strings.Fields(string(rest))
	var sum float64
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, cutime, cstime: proc(5)
		if i < len(f) {
			n, _ := strconv.ParseFloat(f[i], 64)
			sum += n
		}
	}
	return sum / ticks
}

// family is the processor time of a process and its living children: that of
// PostgreSQL, which has one for each connection.
func family(pid int) float64 {
	sum := cpu(pid)
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		text, _ := os.ReadFile(t)
		for child := range strings.FieldsSeq(string(text)) {
			n, _ := strconv.Atoi(child)
			sum += cpu(n)
		}
	}
	return sum
}

// status is a value in kB of /proc/PID/status, in MB.
func status(pid int, key string) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == key {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
			return kb / 1024
		}
	}
	return 0
}

// usage is what one run of a command took.
type usage struct {
	wall, cpu float64 // seconds
	rss       float64 // greatest resident memory, MB
	out       string
}

// execute runs a command to its end. It is killed should this process die.
func execute(ctx context.Context, env []string, name string, args ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &errs, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// The kernel's own figure after the end would include what this process had
	// when it forked, so the peak is read while the command lives.
	var u usage
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			u.wall = time.Since(begin).Seconds()
			u.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
			u.out = out.String()
			if err != nil {
				err = fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, last(out.String()), last(errs.String()))
			}
			return u, err
		case <-tick.C:
			u.rss = max(u.rss, status(cmd.Process.Pid, "VmHWM"))
		}
	}
}

// last is the end of a text that may be long.
func last(s string) string {
	const n = 2000
	return s[max(0, len(s)-n):]
}
