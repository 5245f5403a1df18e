package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
)

// usageError is a command line that cannot be carried out; only these show the
// command's usage.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef makes a usageError.
func usagef(hint, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), hint}
}

// ended is the result of a command that has said all there is to say: only its
// exit code is left.
type ended report.Exit

func (e ended) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// end makes a command's result of an exit code.
func end(code report.Exit) error {
	if code == report.ExitOK {
		return nil
	}
	return ended(code)
}

// finish shows an error and gives the exit code.
func (a *App) finish(ctx context.Context, cmd *cobra.Command, err error) report.Exit {
	if err == nil {
		return report.ExitOK
	}
	var done ended
	if errors.As(err, &done) {
		return report.Exit(done)
	}
	if errors.Is(err, syscall.EPIPE) { // whoever reads has seen enough
		return report.ExitOK
	}
	code, hint := exitOf(err)
	var usage *usageError
	isUsage := errors.As(err, &usage)
	if isUsage {
		code, hint = report.ExitUsage, usage.hint
	}
	text := err.Error()
	var timeout *timeoutError
	switch cause := context.Cause(a.ctxOr(ctx)); {
	case errors.Is(cause, errInterrupted):
		code, text, hint = report.ExitInterrupted, "interrupted", "it is safe to run the command again"
	case errors.As(cause, &timeout) && errors.Is(err, context.DeadlineExceeded):
		where := strings.TrimSuffix(strings.TrimSuffix(text, context.DeadlineExceeded.Error()), ": ")
		if text = "not done within --timeout " + timeout.after; where != "" {
			text += ": " + where
		}
		if hint == "" {
			hint = "it is safe to run the command again, with more time if it needs that"
		}
	}
	a.showError(text, hint, code)
	if isUsage && !a.wantsJSON() {
		fmt.Fprintf(a.Out.Err, "\nUsage: %s\nSee %s --help.\n", cmd.UseLine(), cmd.CommandPath())
	}
	return code
}

// unread makes nothing of the error that nobody reads the output any more, where
// the run's result has an exit code that stands all the same.
func unread(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// exitOf is report.ExitOf with the remedies of errors that have none of their
// own.
func exitOf(err error) (report.Exit, string) {
	code, hint := report.ExitOf(err)
	if hint == "" && errors.Is(err, fleet.ErrCorrupt) {
		hint = fleet.CorruptHint
	}
	return code, hint
}

// showError writes an error as people or, with -o json, programs read it.
func (a *App) showError(text, hint string, code report.Exit) {
	a.showProblem("error:", render.Bad, text, hint, code)
}

// showProblem is showError of what has another word in front for people.
func (a *App) showProblem(word string, style render.Style, text, hint string, code report.Exit) {
	hint = a.pasteable(hint)
	if a.wantsJSON() {
		b, err := json.Marshal(map[string]any{"error": text, "hint": hint, "exit": code})
		if err == nil {
			fmt.Fprintf(a.Out.Err, "%s\n", b)
			return
		}
	}
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		fmt.Fprintf(a.Out.Err, "dnsctl: %s %s\n", a.Out.PaintErr(style, word), render.Clean(line))
	}
	if hint != "" {
		fmt.Fprintf(a.Out.Err, "dnsctl: %s %s\n", a.Out.PaintErr(render.Strong, "hint:"), render.Clean(hint))
	}
}

// inHint is the start of a command in a hint that works on a store.
var inHint = regexp.MustCompile(`\bdnsctl (audit|bootstrap|db|drain|mdns|pool|quarantine|record|server|sync|task|tsig|undrain|zone)\b`)

// pasteable makes the commands in a hint work on the store of this run, where
// flags say which that is.
func (a *App) pasteable(hint string) string {
	if a.place == "" || strings.Contains(hint, "--store") {
		return hint
	}
	return inHint.ReplaceAllString(hint, "dnsctl "+strings.ReplaceAll(a.place, "$", "$$")+" $1")
}

// placeFlags is those flags of a run that say which store it is on, as a shell
// takes them; "" where a password is among them.
func placeFlags(flags *pflag.FlagSet) string {
	var out []string
	for _, name := range []string{"config", "store"} {
		f := flags.Lookup(name)
		if f == nil || !f.Changed {
			continue
		}
		v := f.Value.String()
		if u, err := url.Parse(v); err == nil {
			if _, secret := u.User.Password(); secret || u.Query().Has("password") {
				return ""
			}
		}
		if !plainWord.MatchString(v) {
			v = "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
		}
		out = append(out, "--"+name+" "+v)
	}
	return strings.Join(out, " ")
}

// plainWord is what a shell leaves as it is.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@%+,=-]+$`)

// wantsJSON says whether errors are written as JSON too. It holds before the
// configuration is read, when only the flag is known.
func (a *App) wantsJSON() bool {
	f := a.Out.Format
	if a.Config == nil {
		f = render.Format(a.asked)
	}
	return f == render.JSON || f == render.JSONL
}

// warn says something on standard error that does not stop the command.
func (a *App) warn(place, text string) {
	if place != "" {
		text = place + ": " + text
	}
	if a.wantsJSON() {
		if b, err := json.Marshal(map[string]string{"warning": text}); err == nil {
			fmt.Fprintf(a.Out.Err, "%s\n", b)
			return
		}
	}
	fmt.Fprintf(a.Out.Err, "dnsctl: %s %s\n", a.Out.PaintErr(render.Warning, "warning:"), render.Clean(text))
}

// timeoutError is the cause of a context that --timeout ended.
type timeoutError struct{ after string }

func (e *timeoutError) Error() string { return "not done within --timeout " + e.after }
func (e *timeoutError) Unwrap() error { return context.DeadlineExceeded }
