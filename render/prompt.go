package render

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrNoAnswer is returned by Confirm when nobody can be asked: standard input or
// standard error is no terminal.
var ErrNoAnswer = errors.New("nobody to ask: not on a terminal")

// Confirm asks a person to type a number, which is what the question is about:
// how many zones will be deleted. Anything else is a no. It returns ErrNoAnswer
// where nobody can be asked.
func (o *Output) Confirm(question string, count int) (bool, error) {
	if !o.InTerminal || !o.ErrTerminal {
		return false, ErrNoAnswer
	}
	fmt.Fprintf(o.Err, "%s\nType %s to confirm: ", Clean(question), o.PaintErr(Strong, strconv.Itoa(count)))
	if o.lines == nil {
		o.lines = bufio.NewReader(o.In)
	}
	line, err := o.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line) == strconv.Itoa(count), nil
}
