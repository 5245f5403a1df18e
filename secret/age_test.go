package secret

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func newAge(t *testing.T) (*Age, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a", "identity")
	r, err := MakeIdentity(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return NewAge(r, Identity{File: path}), path
}

func TestSealedSecretsOpenAgain(t *testing.T) {
	t.Parallel()
	a, _ := newAge(t)
	for _, text := range []string{"", "hunter2", strings.Repeat("x", 100_000)} {
		sealed, err := a.Seal(t.Context(), New([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		if text != "" && bytes.Contains(sealed, []byte(text)) {
			t.Error("the sealed form shows the secret")
		}
		plain, err := a.Open(t.Context(), sealed)
		if err != nil || string(plain.Reveal()) != text {
			t.Errorf("opened %d octets instead of %d: %v", len(plain.Reveal()), len(text), err)
		}
		if len(sealed) > 0 {
			sealed[len(sealed)-1] ^= 1
			if _, err := a.Open(t.Context(), sealed); err == nil {
				t.Error("a damaged secret was opened")
			}
		}
	}
	if _, err := a.Open(t.Context(), nil); err == nil {
		t.Error("nothing was opened")
	}
}

func TestIdentityFileIsMadeOnceForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "identity")
	var wg sync.WaitGroup
	found := make([]string, 20)
	for i := range found {
		wg.Go(func() {
			r, err := MakeIdentity(context.Background(), path)
			if err != nil {
				t.Error(err)
			}
			found[i] = r
		})
	}
	wg.Wait()
	for _, r := range found {
		if r != found[0] || !strings.HasPrefix(r, "age1") {
			t.Fatalf("recipients differ: %v", found)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Fatalf("left behind: %v, %v", left, err)
	}
}

func TestIdentityThatCannotBeUsedIsAnError(t *testing.T) {
	t.Parallel()
	a, path := newAge(t)
	sealed, err := a.Seal(t.Context(), New([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newAge(t)
	put := func(text string, mode os.FileMode) string {
		f := filepath.Join(t.TempDir(), "id")
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(f, mode); err != nil {
			t.Fatal(err)
		}
		return f
	}
	for what, c := range map[string]struct {
		id   Identity
		want error  // nil: any
		text string // in the message
	}{
		"none configured":       {Identity{}, ErrNoIdentity, "neither"},
		"file missing":          {Identity{File: path + "x"}, ErrNoIdentity, "does not exist"},
		"file readable by all":  {Identity{File: put(string(key), 0o644)}, nil, "chmod 600"},
		"file readable by some": {Identity{File: put(string(key), 0o640)}, nil, "chmod 600"},
		"file empty":            {Identity{File: put("# nothing\n", 0o600)}, ErrNoIdentity, "empty"},
		"file of another":       {other.source, ErrWrongIdentity, other.Recipient()},
		"two identities":        {Identity{File: put(string(key)+string(key), 0o600)}, nil, "one line"},
		"garbage":               {Identity{File: put("AGE-SECRET-KEY-1SECRETWORD", 0o600)}, nil, "one line"},
		"a folder":              {Identity{File: t.TempDir()}, nil, "not an identity file"},
		"command fails":         {Identity{Command: "echo SECRETWORD; echo locked >&2; exit 3"}, ErrNoIdentity, "locked"},
		"command says nothing":  {Identity{Command: "true"}, ErrNoIdentity, "empty"},
		"command missing":       {Identity{Command: "exec /nonexistent"}, ErrNoIdentity, "nonexistent"},
	} {
		t.Run(what, func(t *testing.T) {
			b := NewAge(a.Recipient(), c.id)
			_, err := b.Open(t.Context(), sealed)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("error is %v", err)
			}
			if strings.Contains(strings.ReplaceAll(err.Error(), c.id.Command, ""), "SECRETWORD") {
				t.Fatalf("the error shows the identity: %v", err)
			}
			if b.Check(t.Context()) == nil {
				t.Fatal("Check finds nothing wrong")
			}
		})
	}
	if _, err := NewAge("nonsense", Identity{}).Seal(t.Context(), New(nil)); err == nil {
		t.Error("sealed for nobody")
	}
}

func TestIdentityComesFromACommandAndIsReadOnce(t *testing.T) {
	t.Parallel()
	a, path := newAge(t)
	sealed, err := a.Seal(t.Context(), New([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	b := NewAge(a.Recipient(), Identity{File: "/nonexistent", Command: "cat '" + path + "'"})
	for range 2 { // the second time the file is gone
		if p, err := b.Open(t.Context(), sealed); err != nil || string(p.Reveal()) != "x" {
			t.Fatalf("opened %q, %v", p.Reveal(), err)
		}
		_ = os.Remove(path)
	}
}

func TestSecretOfAnotherRecipientIsToldApart(t *testing.T) {
	t.Parallel()
	a, _ := newAge(t)
	b, _ := newAge(t)
	sealed, err := b.Seal(t.Context(), New([]byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Open(t.Context(), sealed); !errors.Is(err, ErrWrongIdentity) {
		t.Fatalf("error is %v", err)
	}
}
