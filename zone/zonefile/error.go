package zonefile

import (
	"fmt"
	"strings"
)

// Error is one fault in a master file, or one warning about it.
type Error struct {
	File string // as it was named to the reader
	Line int    // where the record or what is wrong begins, from 1; 0: the whole file
	Msg  string
	Hint string // what to do about it; may be empty
}

// Error prints FILE:LINE: message.
func (e *Error) Error() string {
	switch {
	case e.File == "" && e.Line == 0:
		return e.Msg
	case e.Line == 0:
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Errors is everything wrong that was found in a file, in file order as far as
// the reader came: it gives up after MaxErrors.
type Errors []*Error

// MaxErrors is how many faults of one file are collected.
const MaxErrors = 20

// Error prints one fault per line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, x := range e {
		lines[i] = x.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single faults to errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, x := range e {
		all[i] = x
	}
	return all
}
