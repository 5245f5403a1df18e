package testbed

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// OwnBinary names the variable with the path of the dnsctl that is the test's own
// binary, under the race detector where the test is. TwoBinaries sets it.
const OwnBinary = "TESTBED_DNSCTL"

// TwoBinaries builds dnsctl as it is into dir, for the many short commands, and
// puts it before the test's own in PATH, which mdns runs as (testscript.Main has
// made that).
func TwoBinaries(dir string) error {
	own, err := exec.LookPath("dnsctl")
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(dir, "dnsctl"), "dnsctl")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build dnsctl: %w", err)
	}
	return errors.Join(os.Setenv(OwnBinary, own), os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH")))
}

// Sink keeps what a process writes, for readers at the same time.
type Sink struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write takes more.
func (s *Sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

// String is all so far.
func (s *Sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
