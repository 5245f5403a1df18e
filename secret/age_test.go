package secret

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func newSealer(t *testing.T, o AgeOptions) *Age {
	t.Helper()
	r, err := o.Recipient(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAge(r, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhatIsSealedOpensAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sub", "identity.age")
	a := newSealer(t, AgeOptions{File: file})
	sealed, err := a.Seal(t.Context(), New([]byte("hunter2")))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sealed), "hunter2") {
		t.Error("the secret is readable in its sealed form")
	}
	for _, o := range []AgeOptions{{File: file}, {Command: "cat " + file}} {
		plain, err := newSealer(t, o).Open(t.Context(), sealed)
		if err != nil || string(plain.Reveal()) != "hunter2" {
			t.Errorf("opened by %+v: %v", o, err)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("identity file: %v, %v", info, err)
	}
}

func TestSealingNeedsNoIdentity(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "identity.age")
	r, err := AgeOptions{File: file}.Recipient(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []AgeOptions{{}, {File: file + ".gone"}, {Command: "false"}, {Command: "/nonexistent/agent"}} {
		a, err := NewAge(r, o)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := a.Seal(t.Context(), New([]byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Open(t.Context(), sealed); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("open with %+v: %v", o, err)
		}
	}
}

func TestBadIdentitiesAreRefusedWithoutShowingThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := newSealer(t, AgeOptions{File: filepath.Join(dir, "mine")})
	other := newSealer(t, AgeOptions{File: filepath.Join(dir, "other")})
	sealed, err := mine.Seal(t.Context(), New([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(t.Context(), sealed); !errors.Is(err, ErrWrongIdentity) {
		t.Errorf("another's identity: %v", err)
	}
	if _, err := mine.Open(t.Context(), sealed[:len(sealed)-1]); err == nil {
		t.Error("a truncated secret opened")
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("AGE-SECRET-KEY-1OOPS\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (AgeOptions{File: bad}).Recipient(t.Context(), true); err == nil || strings.Contains(err.Error(), "OOPS") {
		t.Errorf("malformed identity: %v", err)
	}
	open := filepath.Join(dir, "mine")
	for _, mode := range []os.FileMode{0o644, 0o640, 0o620} {
		if err := os.Chmod(open, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := (AgeOptions{File: open}).Recipient(t.Context(), true); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("identity of mode %o: %v", mode, err)
		}
	}
	if _, err := (AgeOptions{File: dir}).Recipient(t.Context(), true); err == nil {
		t.Error("a folder is taken for an identity")
	}
	for _, r := range []string{"", "age1oops", "AGE-SECRET-KEY-1OOPS"} {
		if _, err := NewAge(r, AgeOptions{}); err == nil {
			t.Errorf("recipient %q is taken", r)
		}
	}
}

func TestIdentityOfAnotherRecipientIsToldBeforeAnythingIsOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := newSealer(t, AgeOptions{File: filepath.Join(dir, "mine")})
	recipient, err := AgeOptions{File: filepath.Join(dir, "other")}.Recipient(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewAge(recipient, mine.opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Open(t.Context(), Sealed("anything")); !errors.Is(err, ErrWrongIdentity) || !strings.Contains(err.Error(), recipient) {
		t.Errorf("error is %v", err)
	}
}

func TestIdentityIsReadOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "identity.age")
	a := newSealer(t, AgeOptions{File: file})
	sealed, err := a.Seal(t.Context(), New([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time the file is gone
		if p, err := a.Open(t.Context(), sealed); err != nil || string(p.Reveal()) != "x" {
			t.Fatalf("opened %v", err)
		}
		_ = os.Remove(file)
	}
}

func TestManyMakersOfAnIdentityAgreeOnOne(t *testing.T) {
	t.Parallel()
	o := AgeOptions{File: filepath.Join(t.TempDir(), "identity.age")}
	got := make([]string, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i], _ = o.Recipient(context.Background(), true) })
	}
	wg.Wait()
	for _, r := range got {
		if r == "" || r != got[0] {
			t.Fatalf("recipients differ: %v", got)
		}
	}
}
