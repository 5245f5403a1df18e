// Package commands is the command line: it binds flags, calls one function of a
// domain room per command, and shows the result. It builds what those functions
// need (store, sealer, nameserver types, clock) and maps errors to exit codes.
package commands

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"dnsctl/report"
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// Main runs one command line and returns the process's exit code. The first
// SIGINT or SIGTERM ends the run in order, a second one at once.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	// A closed pipe is an error of the write, not the end of a run half-way.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-finished:
				return
			case <-signals:
				if n > 0 {
					os.Exit(int(report.ExitInterrupted)) //nolint:forbidigo // the run did not end in order; the second signal says at once
				}
				cancel(errInterrupted)
			}
		}
	}()
	return int(Run(ctx, args, stdin, stdout, stderr, env))
}

// Run is Main without signals: it ends when ctx does.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) report.Exit {
	app := newApp(args, stdin, stdout, stderr, env)
	root := newRootCmd(app)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if e := app.close(); e != nil && err == nil {
		err = e
	}
	return app.finish(ctx, cmd, err)
}

// Root is the tree of commands, for what is made of it: manual pages, the
// documentation of the output, tests.
func Root() *cobra.Command {
	return newRootCmd(newApp(nil, strings.NewReader(""), io.Discard, io.Discard, nil))
}

// now is the clock of the whole program.
func now() time.Time { return time.Now() }
