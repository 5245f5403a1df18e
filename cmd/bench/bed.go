package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"

	"dnsctl/testbed"
)

// bed is what testbed needs of a test, for a program: what was begun on it is
// undone when it is closed. Fatalf may be called by its own goroutine only.
type bed struct {
	log    io.Writer
	root   string // of all temporary folders
	failed *bool  // shared with beds inside this one

	mu   sync.Mutex
	undo []func()
	dirs int
}

var _ testbed.T = (*bed)(nil)

// failure is how Fatalf ends a run.
type failure struct{ error }

// guard runs f on a bed and closes it, however f ends.
func guard(log io.Writer, f func(*bed)) (err error) {
	root, err := os.MkdirTemp("", "dnsctl-bench-")
	if err != nil {
		return err
	}
	b := &bed{log: log, root: root, failed: new(bool)}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	defer b.close()
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p.error
		default:
			b.close()
			panic(p)
		}
	}()
	f(b)
	return nil
}

// inside runs f on a bed of its own.
func (b *bed) inside(f func(*bed)) {
	dir, err := os.MkdirTemp(b.root, "")
	if err != nil {
		b.Fatalf("make folder: %v", err)
	}
	in := &bed{log: b.log, root: dir, failed: b.failed}
	defer func() { _ = os.RemoveAll(dir) }()
	defer in.close()
	f(in)
}

func (b *bed) close() {
	for len(b.undo) > 0 {
		last := len(b.undo) - 1
		f := b.undo[last]
		b.undo = b.undo[:last]
		f()
	}
}

// Helper is for testbed.
func (b *bed) Helper() {}

// TempDir is a new folder, removed in the end.
func (b *bed) TempDir() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dirs++
	dir := filepath.Join(b.root, fmt.Sprint(b.dirs))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatalf("make folder: %v", err)
	}
	return dir
}

// Cleanup has f called when the bed is closed, the last first.
func (b *bed) Cleanup(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.undo = append(b.undo, f)
}

// Failed says whether Fatalf was called.
func (b *bed) Failed() bool { return *b.failed }

// Logf writes a line; of a server's log, its end.
func (b *bed) Logf(format string, args ...any) {
	fmt.Fprintf(b.log, "bench: %s\n", last(fmt.Sprintf(format, args...)))
}

// Fatalf ends the run.
func (b *bed) Fatalf(format string, args ...any) {
	*b.failed = true
	panic(failure{fmt.Errorf(format, args...)})
}

// must ends the run on an error.
func (b *bed) must(what string, err error) {
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
}

// build makes the binary and the input that all measures share.
func (b *bench) build(ctx context.Context) {
	dir := b.bed.TempDir()
	b.bin = b.buildGo(ctx, "dnsctl")
	b.bigFile, b.smallDir = filepath.Join(dir, bigZone+".zone"), filepath.Join(dir, "small")
	b.bed.must("write the big zone", writeFile(b.bigFile, func(w io.Writer) error { return writeBig(w, b.records, 0) }))
	b.bed.must("write the small zones", writeFolder(b.smallDir, b.zones))
}

// buildGo builds a program of this module.
func (b *bench) buildGo(ctx context.Context, pkg string) string {
	file := filepath.Join(b.bed.TempDir(), path.Base(pkg))
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", file, pkg).CombinedOutput(); err != nil {
		b.bed.Fatalf("build %s (bench runs inside the project): %v\n%s", pkg, err, out)
	}
	return file
}
