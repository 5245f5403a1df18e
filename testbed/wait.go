package testbed

import (
	"errors"
	"time"
)

// T is what the package needs of a test. *testing.T and *testing.B are one; a
// program that is no test brings its own.
type T interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Eventually calls cond until it is true and fails the test if that takes
// longer than deadline.
func Eventually(t T, deadline time.Duration, cond func() bool) {
	t.Helper()
	EventuallyNil(t, deadline, func() error {
		if !cond() {
			return errNotYet
		}
		return nil
	})
}

var errNotYet = errors.New("the condition did not become true")

// EventuallyNil calls cond until it returns nil and fails the test with its
// last error if that takes longer than deadline.
func EventuallyNil(t T, deadline time.Duration, cond func() error) {
	t.Helper()
	if err := poll(deadline, cond); err != nil {
		t.Fatalf("after %s: %v", deadline, err)
	}
}

// poll calls cond, at first every few milliseconds and then ever more seldom,
// until it returns nil, and gives its last error at the deadline or when the
// server has ended.
func poll(deadline time.Duration, cond func() error) error {
	end := time.Now().Add(deadline)
	pause := 2 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		<-timer.C
		err := cond()
		if err == nil || errors.Is(err, errEnded) || time.Now().After(end) {
			return err
		}
		timer.Reset(pause)
		pause = min(pause*3/2, 50*time.Millisecond)
	}
}
