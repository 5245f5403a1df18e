package zone

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestNamesRoundTrip(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 63)
	for text, want := range map[string]string{
		".":                          ".",
		"a":                          "a.",
		"a.b.":                       "a.b.",
		"WwW.Example":                "WwW.Example.",
		`a\.b.c`:                     `a\.b.c.`,
		`\097`:                       "a.",
		`\a`:                         "a.",
		`\000\001\255`:               `\000\001\255.`,
		`\046`:                       `\..`,
		`sp\ ace`:                    `sp\032ace.`,
		`\@`:                         `\@.`,
		"a@b":                        `a\@b.`,
		`"q"`:                        `\"q\".`,
		`\;\(\)\$\\`:                 `\;\(\)\$\\.`,
		"0/25.2.0.192.in-addr.arpa.": "0/25.2.0.192.in-addr.arpa.",
		"*.x":                        "*.x.",
		"_tcp":                       "_tcp.",
		"é":                          `\195\169.`,
		long:                         long + ".",
	} {
		n, err := ParseName(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if n.String() != want || !n.Valid() {
			t.Errorf("%q is %q, want %q", text, n.String(), want)
		}
		if again, err := ParseName(n.String()); err != nil || again != n {
			t.Errorf("%q: %q reads back as %q, %v", text, n.String(), again, err)
		}
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 63) + "."
	longest := strings.Repeat(long, 3) + strings.Repeat("y", 61) // 3*64 + 62 + 1 = 255
	if n, err := ParseName(longest); err != nil || len(n) != MaxName {
		t.Fatalf("%d octets, %v", len(n), err)
	}
	if n, err := ParseName(longest + "."); err != nil || len(n) != MaxName {
		t.Fatalf("%d octets, %v", len(n), err)
	}
	for text, want := range map[string]error{
		"":                              ErrEmptyName,
		"..":                            ErrEmptyLabel,
		".a":                            ErrEmptyLabel,
		"a..b":                          ErrEmptyLabel,
		"a..":                           ErrEmptyLabel,
		strings.Repeat("x", 64):         ErrLongLabel,
		strings.Repeat("x", 64) + ".a":  ErrLongLabel,
		strings.Repeat(`\120`, 64):      ErrLongLabel,
		longest + "y":                   ErrLongName,
		longest + "y.":                  ErrLongName,
		longest + ".y":                  ErrLongName,
		strings.Repeat("a.", 128):       ErrLongName,
		strings.Repeat("a.", 127) + "a": ErrLongName,
		strings.Repeat(long, 4):         ErrLongName,
		strings.Repeat(long, 1000):      ErrLongName,
		`\`:                             ErrEscape,
		`a\`:                            ErrEscape,
		`\1`:                            ErrEscape,
		`\12`:                           ErrEscape,
		`\12x`:                          ErrEscape,
		`\256`:                          ErrEscape,
		`\999`:                          ErrEscape,
	} {
		if n, err := ParseName(text); !errors.Is(err, want) {
			t.Errorf("%.80q is %q, %v; want %v", text, n, err, want)
		}
	}
	if n, err := ParseName(strings.Repeat("a.", 127)); err != nil || n.Labels() != 127 || n.Key().Under("") == false {
		t.Fatal(err)
	}
}

func TestRelativeNames(t *testing.T) {
	t.Parallel()
	origin := MustParseName("Example.org")
	for text, want := range map[string]string{
		"@": "Example.org.", "www": "www.Example.org.", "www.": "www.", ".": ".", `\@`: `\@.Example.org.`, `www\.`: `www\..Example.org.`,
	} {
		n, absolute, err := ParseRelative(text, origin)
		if err != nil || n.String() != want || absolute != (strings.HasSuffix(text, ".") && text != `www\.`) {
			t.Errorf("%q is %s, %v, %v", text, n, absolute, err)
		}
	}
	if _, _, err := ParseRelative(strings.Repeat("a", 63)+"."+strings.Repeat("b", 63)+"."+strings.Repeat("c", 63)+"."+strings.Repeat("d", 50), origin); !errors.Is(err, ErrLongName) {
		t.Error(err)
	}
}

func TestNameParts(t *testing.T) {
	t.Parallel()
	n := MustParseName(`A\.b.Example.org`)
	if n.Labels() != 3 || n.First() != "A.b" || n.Parent().String() != "Example.org." || n.Lower().String() != `a\.b.example.org.` {
		t.Fatal(n.Labels(), n.First(), n.Parent(), n.Lower())
	}
	if Root.Parent() != Root || Root.First() != "" || Root.Labels() != 0 || !Root.Under(Root) || !Root.Valid() {
		t.Fatal("root")
	}
	for _, c := range []struct {
		name, apex string
		want       bool
	}{
		{"a.b", "b", true}, {"a.B", "b", true}, {"b", "b", true}, {"b", "a.b", false}, {"ab", "b", false},
		{`a\.b`, "b", false}, {"a", ".", true}, {"x.a.b", "a.b", true}, {`x\003a.b`, "a.b", false},
	} {
		n, apex := MustParseName(c.name), MustParseName(c.apex)
		if n.Under(apex) != c.want || n.Key().Under(apex.Key()) != c.want {
			t.Errorf("%s under %s: not %v", n, apex, c.want)
		}
	}
	if !MustParseName("*.a").IsWildcard() || MustParseName("*a").IsWildcard() || MustParseName("a.*").IsWildcard() || Root.IsWildcard() {
		t.Error("wildcards")
	}
	if n, err := n.Prepend("*"); err != nil || n.Key() != MustParseName(`a\.b.example.org`).Key().Wildcard() {
		t.Error(n, err)
	}
	if _, err := n.Prepend(""); !errors.Is(err, ErrEmptyLabel) {
		t.Error(err)
	}
	if _, err := n.Prepend(strings.Repeat("x", 64)); !errors.Is(err, ErrLongLabel) {
		t.Error(err)
	}
	if _, err := Name(strings.Repeat("\x3f"+strings.Repeat("x", 63), 3) + "\x00").Prepend(strings.Repeat("x", 63)); !errors.Is(err, ErrLongName) {
		t.Error(err)
	}
}

func TestMalformedWireNamesAreRefused(t *testing.T) {
	t.Parallel()
	for _, w := range []string{"", "\x01", "\x01a", "\x40" + strings.Repeat("a", 64) + "\x00", "\xc0\x0c", strings.Repeat("\x01a", 127) + "\x01a\x00"} {
		if n, _, err := UnpackName([]byte(w)); err == nil || Name(w).Valid() {
			t.Errorf("%q is %q", w, n)
		}
	}
	if n, l, err := UnpackName([]byte("\x01a\x00rest")); err != nil || l != 3 || n != "\x01a\x00" {
		t.Error(n, l, err)
	}
	if Name("\x01a\x00rest").Valid() {
		t.Error("a name with something behind it is valid")
	}
}

// The example of RFC 4034 section 6.1, in its order.
func TestKeysSortCanonically(t *testing.T) {
	t.Parallel()
	var last Key
	for i, text := range []string{"example", "a.example", "yljkjljk.a.example", "Z.a.example", "zABC.a.EXAMPLE", "z.example", `\001.z.example`, "*.z.example", `\200.z.example`} {
		k := MustParseName(text).Key()
		if i > 0 && k <= last {
			t.Errorf("%s does not sort behind the one before", text)
		}
		last = k
	}
}

// canonicalCompare is RFC 4034 section 6.1 by the letter.
func canonicalCompare(a, b Name) int {
	labels := func(n Name) [][]byte {
		var l [][]byte
		for n = n.Lower(); n != Root; n = n.Parent() {
			l = append(l, []byte(n.First()))
		}
		slices.Reverse(l)
		return l
	}
	return slices.CompareFunc(labels(a), labels(b), bytes.Compare)
}

func randomName(r *rand.Rand) Name {
	alphabet := []byte{0, 1, 2, 'a', 'A', 'b', 'z', 'Z', '*', '.', 0xff}
	n := Root
	for range r.IntN(5) {
		label := make([]byte, 1+r.IntN(4))
		for i := range label {
			label[i] = alphabet[r.IntN(len(alphabet))]
		}
		n, _ = n.Prepend(string(label))
	}
	return n
}

func sign(n int) int { return min(1, max(-1, n)) }

func TestKeysOrderRandomNamesAsTheRFCDoes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		a, b := randomName(r), randomName(r)
		if got, want := strings.Compare(string(a.Key()), string(b.Key())), sign(canonicalCompare(a, b)); got != want {
			t.Fatalf("%s and %s compare as %d, want %d", a, b, got, want)
		}
		if a.Equal(b) != (a.Key() == b.Key()) {
			t.Fatalf("%s and %s", a, b)
		}
		back, err := a.Key().Name()
		if err != nil || back != a.Lower() {
			t.Fatalf("%s: %s, %v", a, back, err)
		}
		if a.Key().Parent() != a.Parent().Key() {
			t.Fatalf("parent of %s", a)
		}
		if a.Under(b) != a.Key().Under(b.Key()) {
			t.Fatalf("%s under %s", a, b)
		}
	}
}

func TestMalformedKeysAreRefused(t *testing.T) {
	t.Parallel()
	for _, k := range []Key{"a", "A\x00", "\x00", "a\x00\x00", "\x01\x00", "a\x01", "\x01\x03\x00", Key(strings.Repeat("a", 64) + "\x00"), Key(strings.Repeat("a\x00", 128))} {
		if n, err := k.Name(); err == nil {
			t.Errorf("%q is the key of %s", k, n)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"", ".", "@", "a.b.", `\000.\.\\`, `\256`, "..", strings.Repeat("a.", 127)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseName(text)
		if err != nil {
			return
		}
		if !n.Valid() {
			t.Fatalf("%q is malformed: %q", text, string(n))
		}
		if again, err := ParseName(n.String()); err != nil || again != n {
			t.Fatalf("%q: %q reads back as %q: %v", text, n.String(), string(again), err)
		}
		if back, err := n.Key().Name(); err != nil || back != n.Lower() {
			t.Fatalf("%q: key is that of %q: %v", text, string(back), err)
		}
	})
}

func FuzzKeyName(f *testing.F) {
	f.Add([]byte("org\x00example\x00"))
	f.Add([]byte("\x01\x01\x01\x02\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Key(b).Name()
		if err != nil {
			return
		}
		if !n.Valid() {
			t.Fatalf("%q is the key of malformed %q", b, string(n))
		}
		if k := n.Key(); k != Key(b) {
			t.Fatalf("%q is the key of %s, whose key is %q", b, n, k)
		}
	})
}
