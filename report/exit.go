package report

import "errors"

// Exit is a process exit code. The table ExitCodes is the one source of help
// text, man page and main.
type Exit int

// The exit codes.
const (
	ExitOK          Exit = 0
	ExitFailed      Exit = 1
	ExitUsage       Exit = 2
	ExitDifferences Exit = 3
	ExitPartial     Exit = 4
	ExitWithheld    Exit = 5
	ExitDropped     Exit = 6
	ExitNotReady    Exit = 7
	ExitStore       Exit = 10
	ExitBusy        Exit = 11
	ExitInterrupted Exit = 130
)

// ExitCode is a row of the table.
type ExitCode struct {
	Code    Exit
	Meaning string
}

// ExitCodes says what each code means, in the order of the documentation.
var ExitCodes = []ExitCode{
	{ExitOK, "done; in agreement"},
	{ExitFailed, "failed"},
	{ExitUsage, "usage or configuration error"},
	{ExitDifferences, "differences found: audit has findings, sync --dry-run has steps"},
	{ExitPartial, "partly done: some servers or steps failed; the report says which"},
	{ExitWithheld, "withheld: a guard stopped writes; everything it did not cover was done"},
	{ExitDropped, "a plan was applied, but steps were dropped because what they rested on had changed"},
	{ExitNotReady, "not ready: a gate (bootstrap --wait, undrain) was not reached in time"},
	{ExitStore, "store not initialised, or needs db migrate"},
	{ExitBusy, "busy: another dnsctl holds the only server asked for"},
	{ExitInterrupted, "interrupted; safe to run again"},
}

// worst orders the codes that a run may end with: the first present wins.
var worst = []Exit{ExitFailed, ExitPartial, ExitDropped, ExitWithheld, ExitNotReady, ExitDifferences}

// Worse is the code that a run with both results ends with.
func (e Exit) Worse(o Exit) Exit {
	for _, c := range worst {
		if e == c || o == c {
			return c
		}
	}
	return max(e, o)
}

// Error is an error with what a person needs to act on it: the hint says the
// remedy, Exit is the code the process ends with. Both survive wrapping.
type Error struct {
	Err  error
	Hint string
	Exit Exit
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Fail makes an Error.
func Fail(exit Exit, err error, hint string) error { return &Error{Err: err, Hint: hint, Exit: exit} }

// Hint is Fail with ExitFailed.
func Hint(err error, hint string) error { return Fail(ExitFailed, err, hint) }

// ExitOf is the code an error ends the process with, and its hint.
func ExitOf(err error) (Exit, string) {
	if err == nil {
		return ExitOK, ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Exit, e.Hint
	}
	return ExitFailed, ""
}
