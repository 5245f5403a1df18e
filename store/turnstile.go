package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// turnstile lets the writers of one SQLite database in one at a time, whichever
// processes they are in. SQLite's own waiting polls with growing pauses, so that
// a writer of many short transactions starves the others. Here a writer takes
// the gate, waits for the write lock, and opens the gate when it has it: while
// one waits at the write lock nobody can pass it, so the next writer gets in
// between any two transactions of another.
//
// Both locks are flock(2) on files beside the database; the kernel drops them
// when a process dies.
type turnstile struct {
	turn  chan struct{} // held by the goroutine of this store that is at the locks
	gate  *os.File
	write *os.File
}

// turnPoll is how often a lock that another holds is tried again.
const turnPoll = time.Millisecond

func newTurnstile(path string) (*turnstile, error) {
	t := &turnstile{turn: make(chan struct{}, 1)}
	var err error
	if t.gate, err = lockFile(path + "-gate"); err != nil {
		return nil, err
	}
	if t.write, err = lockFile(path + "-write"); err != nil {
		return nil, errors.Join(err, t.gate.Close())
	}
	return t, nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	return f, nil
}

// enter waits until it is this writer's turn; leave ends it.
func (t *turnstile) enter(ctx context.Context) (leave func(), err error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := flock(ctx, t.gate); err != nil {
		<-t.turn
		return nil, err
	}
	err = flock(ctx, t.write)
	funlock(t.gate)
	if err != nil {
		<-t.turn
		return nil, err
	}
	return func() {
		funlock(t.write)
		<-t.turn
	}, nil
}

func (t *turnstile) close() error { return errors.Join(t.gate.Close(), t.write.Close()) }

func flock(ctx context.Context, f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(turnPoll):
		}
	}
}

// funlock cannot fail on a file that is open.
func funlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }
