package zonefile

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const gigabyte = 1 << 30

// gigaline gives one octet a gigabyte long.
type gigaline struct {
	block string
	left  int
}

func newGigaline(octet string) *gigaline {
	return &gigaline{block: strings.Repeat(octet, 64<<10), left: gigabyte}
}

func (e *gigaline) Read(b []byte) (int, error) {
	n := min(len(b), e.left)
	if n == 0 {
		return 0, io.EOF
	}
	for i := 0; i < n; {
		i += copy(b[i:n], e.block)
	}
	e.left -= n
	return n, nil
}

func TestGigabyteCommentsAreSkippedInLittleMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	res, err := Read(t.Context(), io.MultiReader(strings.NewReader(head+";"), newGigaline(";")), Options{Origin: testOrigin, File: "z"})
	runtime.ReadMemStats(&after)
	if err != nil || res.Snapshot.Records() != 3 {
		t.Errorf("a comment of a gigabyte: %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d octets were allocated for it", used)
	}
}

// A pipe that nobody writes to is empty, and one whose writer stalls is left
// when the run ends.
func TestPipesDoNotHoldARun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe.zone")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ReadFile(t.Context(), path, Options{Origin: testOrigin})
	requireFault(t, err, path+": the file has no SOA record", "")

	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString(head); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := ReadFile(ctx, path, Options{Origin: testOrigin}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stalled pipe: %v, want the end of the context", err)
	}
}

func TestAFaultySOAIsOneFault(t *testing.T) {
	t.Parallel()
	text := "@ 300 SOA ns h 4294967296 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
	_, err := read(t, text, Options{Origin: testOrigin})
	requireFault(t, err, `z:1: SOA wants PRIMARY MAILBOX SERIAL REFRESH RETRY EXPIRE MINIMUM: "4294967296": serial is more than 4294967295`, "")
}
