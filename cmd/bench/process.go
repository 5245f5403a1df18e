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

	"golang.org/x/sys/unix"
)

// ticks is how many units of /proc's CPU times make a second; Linux says 100 to
// programs on every architecture.
const ticks = 100

// cpu is the processor time that a process has used so far, in seconds: its own
// to the nanosecond (clock_getcpuclockid(3)), and to 10 ms that of the children
// it has waited for.
func cpu(pid int) float64 {
	var own unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &own); err != nil {
		return 0
	}
	sum := time.Duration(own.Nano()).Seconds()
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := bytes.Cut(text, []byte(") ")) // the program's name may have blanks
	f := strings.Fields(string(rest))
	for _, i := range []int{13, 14} { // cutime, cstime: proc(5)
		if i < len(f) {
			n, _ := strconv.ParseFloat(f[i], 64)
			sum += n / ticks
		}
	}
	return sum
}

// tree is a process and its living descendants.
func tree(pid int) []int {
	all := []int{pid}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		text, _ := os.ReadFile(t)
		for child := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				all = append(all, tree(n)...)
			}
		}
	}
	return all
}

// family is the processor time of a process and its living descendants: that of
// PostgreSQL, which has one for each connection.
func family(pid int) (sum float64) {
	for _, p := range tree(pid) {
		sum += cpu(p)
	}
	return sum
}

// memory is what a process and its descendants have resident, each page shared
// out among those that have it (Pss of /proc/PID/smaps_rollup), in MB.
func memory(pid int) (sum float64) {
	for _, p := range tree(pid) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p))
		sum += kilobytes(string(text), "Pss")
	}
	return sum
}

// status is a value in kB of /proc/PID/status, in MB.
func status(pid int, key string) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return kilobytes(string(text), key)
}

// kilobytes is a value of a text like /proc/PID/status, in MB.
func kilobytes(text, key string) float64 {
	for line := range strings.Lines(text) {
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
