package hostile_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// matrix is how each accident ended on each type of nameserver; docs/guards.md
// shows it.
type matrix struct {
	mu    sync.Mutex
	cells map[[2]string]string // by row and kind
}

var guardMatrix = matrix{cells: map[[2]string]string{}}

func (m *matrix) set(row string, k kind, cell string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cells[[2]string{row, k.name}] = cell
}

// rows are the accidents with what holds.
func (m *matrix) rows() (rows [][2]string) {
	for _, a := range accidents {
		rows = append(rows, [2]string{a.name, a.holds})
	}
	for _, k := range killings {
		rows = append(rows, [2]string{k.name, k.holds})
	}
	return rows
}

const (
	guardsPage  = "../../docs/guards.md"
	beginMatrix = "<!-- made by testscripts/hostile -->\n"
	endMatrix   = "<!-- end -->\n"
)

// check compares the matrix with the page when all of it was run, and writes it
// there under DNSCTL_UPDATE.
func (m *matrix) check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	b.WriteString("| accident | what holds |")
	for _, k := range kinds {
		fmt.Fprintf(&b, " %s |", k.title)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(kinds)) + "\n")
	for _, row := range m.rows() {
		fmt.Fprintf(&b, "| %s | %s |", row[0], row[1])
		for _, k := range kinds {
			cell := m.cells[[2]string{row[0], k.name}]
			if cell == "" {
				return nil // it was not run, or failed
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteByte('\n')
	}
	page, err := os.ReadFile(guardsPage)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(page), beginMatrix)
	was, after, ok2 := strings.Cut(rest, endMatrix)
	switch {
	case !ok || !ok2:
		return errors.New("docs/guards.md has no place for the matrix")
	case was == b.String():
		return nil
	case os.Getenv("DNSCTL_UPDATE") == "":
		return fmt.Errorf("docs/guards.md is not what was seen (write it with DNSCTL_UPDATE=1):\n%s", &b)
	}
	return os.WriteFile(guardsPage, []byte(before+beginMatrix+b.String()+endMatrix+after), 0o644)
}
