package zonefile

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsctl/zone"
)

const head = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n" // four lines

var testOrigin = zone.MustParseName("example.")

func read(t *testing.T, text string, opts Options) (*Result, error) {
	t.Helper()
	if opts.File == "" {
		opts.File = "z"
	}
	return Read(context.Background(), strings.NewReader(text), opts)
}

// requireFault wants exactly this error, and a hint with the words.
func requireFault(t *testing.T, err error, want, hint string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", want)
	}
	if err.Error() != want {
		t.Fatalf("error\n%s\nwant\n%s", err, want)
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is no *Error", err)
	}
	if !strings.Contains(e.Hint, hint) || (hint == "") != (e.Hint == "") {
		t.Fatalf("hint %q, want %q", e.Hint, hint)
	}
}

func TestFaultsNameFileAndLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want, hint string }{
		"unknown type":          {head + "a FOO bar\n", `z:5: record type "FOO" is not known; write types without a name as TYPE123 (RFC 3597)`, ""},
		"no type":               {head + "a 300 IN\n", "z:5: the record has no type", "OWNER [TTL] [CLASS] TYPE DATA"},
		"meta type":             {head + "a ANY 1\n", "z:5: ANY is no type that a zone can hold", ""},
		"bad address":           {head + "a A 192.0.2.256\n", `z:5: A wants ADDRESS: "192.0.2.256": address is not an IPv4 address`, ""},
		"short address":         {head + "a A 192.0.2\n", `z:5: A wants ADDRESS: "192.0.2": address is not an IPv4 address`, ""},
		"octal address":         {head + "a A 192.0.02.1\n", `z:5: A wants ADDRESS: "192.0.02.1": address is not an IPv4 address`, ""},
		"scoped address":        {head + "a AAAA fe80::1%eth0\n", `z:5: AAAA wants ADDRESS: "fe80::1%eth0": address is not an IPv6 address`, ""},
		"missing field":         {head + "a MX 10\n", "z:5: MX wants PREFERENCE HOST: host is missing", ""},
		"swapped fields":        {head + "a MX mail 10\n", `z:5: MX wants PREFERENCE HOST: "mail": preference is not a number`, ""},
		"number too big":        {head + "a MX 65536 mail\n", `z:5: MX wants PREFERENCE HOST: "65536": preference is more than 65535`, ""},
		"extra field":           {head + "a A 192.0.2.1 192.0.2.2\n", `z:5: A wants ADDRESS: "192.0.2.2": is more than that`, ""},
		"quoted name":           {head + "a NS \"ns\"\n", `z:5: NS wants HOST: "ns": host is quoted`, ""},
		"long string":           {head + "a TXT " + strings.Repeat("x", 256) + "\n", `z:5: TXT wants STRING...: "` + strings.Repeat("x", 77) + `...": string is a string of more than 255 octets: split it into several`, ""},
		"bad escape":            {head + "a TXT \\999\n", `z:5: TXT wants STRING...: "\\999": string has a bad escape: want \DDD with 000 to 255, or \ before one character`, ""},
		"long label":            {head + strings.Repeat("x", 64) + " A 192.0.2.1\n", `z:5: owner "` + strings.Repeat("x", 64) + `" is name "` + strings.Repeat("x", 64) + `": label of more than 63 octets`, ""},
		"empty label":           {head + "a..b A 192.0.2.1\n", `z:5: owner "a..b" is name "a..b": empty label`, ""},
		"TTL too big":           {head + "a 2147483648 A 192.0.2.1\n", `z:5: TTL "2147483648" is more than 2147483647 (RFC 2181 section 8)`, ""},
		"TTL with a wrong unit": {head + "a 1y A 192.0.2.1\n", `z:5: TTL "1y" is not a number of seconds, nor one like 1h30m`, ""},
		"other class":           {head + "a CH TXT x\n", "z:5: class CH: only IN is served", ""},
		"other class number":    {head + "a CLASS3 TXT x\n", "z:5: class CLASS3: only IN is served", ""},
		"out of zone":           {head + "a.other. A 192.0.2.1\n", "z:5: a.other. is not in zone example.", "relative to $ORIGIN"},
		"second SOA":            {head + "@ SOA ns h 2 2 3 4 5\n", "z:5: second SOA record; the first is in z:2", "one SOA"},
		"SOA repeated":          {head + "@ SOA ns h 1 2 3 4 5\n", "z:5: second SOA record; the first is in z:2", "zone transfer"},
		"SOA below the apex":    {head + "a SOA ns h 1 2 3 4 5\n", "z:5: second SOA record; the first is in z:2", "one SOA"},
		"SOA elsewhere":         {"$TTL 5\na SOA ns h 1 2 3 4 5\n", "z:2: SOA of a.example. in zone example.", ""},
		"no SOA":                {"$TTL 5\na A 192.0.2.1\n", "z: the file has no SOA record", "another file includes"},
		"empty":                 {"", "z: the file has no SOA record", ""},
		"no TTL":                {"ns A 192.0.2.1\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n", "z:1: the record has no TTL, and none is before it", "$TTL"},
		"no owner":              {"  A 192.0.2.1\n", "z:1: the record has no owner: it begins with white space, and none is before it", ""},
		"quoted owner":          {head + "\"a\" A 192.0.2.1\n", `z:5: owner "a" is quoted`, "rdata"},
		"unknown directive":     {head + "$FOO\n", `z:5: directive "$FOO" is unknown`, "$GENERATE"},
		"indented directive":    {head + "  $TTL 5\n", `z:5: record type "$TTL" is not known; write types without a name as TYPE123 (RFC 3597)`, "start of its line"},
		"bad $TTL":              {head + "$TTL x\n", `z:5: TTL "x" is not a number of seconds, nor one like 1h30m`, ""},
		"bad $ORIGIN":           {head + "$ORIGIN a..b\n", `z:5: $ORIGIN "a..b" is name "a..b": empty label`, ""},
		"open parenthesis":      {head + "a TXT ( x\n y\n\n", "z:5: parenthesis opened here is never closed", "cut short"},
		"open parenthesis, cut": {head + "a TXT x\nb TXT y (\nz", "z:6: parenthesis opened here is never closed", "cut short"},
		"closing parenthesis":   {head + "a TXT x )\n", "z:5: closing parenthesis without an opening one", ""},
		"open quote":            {head + "a TXT \"x\nb TXT \"y\"\n", "z:5: quoted string opened here is not closed on its line", "cut short"},
		"open quote, cut":       {head + "a TXT \"x", "z:5: quoted string opened here is not closed on its line", "cut short"},
		"open quote, escaped":   {head + "a TXT \"x\\\ny", "z:5: quoted string opened here is not closed on its line", "cut short"},
		"zero octet":            {head + "a TXT x\x00\n", "z:5: zero octet: this is no master file", "raw format"},
		"zero octet in quotes":  {head + "a TXT \"\x00\"\n", "z:5: zero octet: this is no master file", "raw format"},
		"raw format":            {"\x00\x00\x00\x02\x00\x00\x00\x00", "z:1: zero octet: this is no master file", "raw format"},
		"not UTF-8":             {head + "caf\xe9 A 192.0.2.1\n", `z:5: octets that are not UTF-8 in "caf\xe9"`, `\DDD`},
		"UTF-16":                {"\xff\xfe@\x00", "z:1: the file is UTF-16 text", "iconv"},
		"generic, short":        {head + "a TYPE999 \\# 3 0102\n", `z:5: TYPE999 in generic form wants \# LENGTH HEX: 2 octets of data, not 3`, ""},
		"generic, not hex":      {head + "a TYPE999 \\# 1 0g\n", `z:5: TYPE999 in generic form wants \# LENGTH HEX: the data is not hexadecimal in whole octets`, ""},
		"generic, bad A":        {head + "a A \\# 3 010203\n", `z:5: the data is not what A records consist of: ADDRESS`, ""},
		"type without text":     {head + "a WKS 10.0.0.1 tcp smtp\n", `z:5: WKS records are read in generic form only: \# LENGTH HEX (RFC 3597)`, ""},
		"too long to transfer":  {head + "a TYPE999 \\# 65535 " + strings.Repeat("00", 65535) + "\n", "z:5: TYPE999 record of 65535 octets is too long to be transferred: the limit is 64393", ""},
		"short digest":          {head + "a NS x.\na DS 1 8 2 00\n", "z:6: DS wants KEYTAG ALGORITHM DIGESTTYPE DIGEST: the digest has the wrong length for its type", ""},
		"bad base64":            {head + "a DNSKEY 256 3 8 AQ=\n", `z:5: DNSKEY wants FLAGS PROTOCOL ALGORITHM KEY: "AQ=": key is not base64`, ""},
		"bad time":              {head + "a RRSIG A 8 2 300 20261301000000 20260101000000 1 @ AQ==\n", `z:5: RRSIG wants TYPE ALGORITHM LABELS ORIGINALTTL EXPIRATION INCEPTION KEYTAG SIGNER SIGNATURE: "20261301000000": expiration is not a time like 20260131235959, nor seconds since 1970`, ""},
		"no CAA tag":            {head + "a CAA 0 \"is sue\" x\n", `z:5: CAA wants FLAGS TAG VALUE: "is sue": tag is quoted`, ""},
		"bad AMTRELAY":          {head + "a AMTRELAY 10 0 0 x\n", `z:5: AMTRELAY wants PRECEDENCE DISCOVERY TYPE RELAY: "x": relay is not a dot, which type 0 has as its relay`, ""},
		"CNAME and other data":  {head + "a CNAME ns\nb A 192.0.2.1\na TXT x\n", "z:5: a.example. CNAME: the name also has TXT records", "RFC 1034"},
		"no glue":               {head + "d NS ns.d\n", "z:5: d.example. NS: nameserver ns.d.example. is inside of the delegated zone and has no address here", "glue"},
		"no NS":                 {"@ 300 SOA a. b. 1 2 3 4 5\n", "z:1: example.: the zone has no NS record at its apex", "NS record"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := read(t, c.text, Options{Origin: testOrigin})
			requireFault(t, err, c.want, c.hint)
			if res == nil || res.Snapshot != nil {
				t.Fatalf("with an error the result is %v", res)
			}
		})
	}
}

func TestReadingGoesOnBehindAFault(t *testing.T) {
	t.Parallel()
	_, err := read(t, head+"a A x\nb TXT \"open\nc A 1.2.3.4 )\nd MX ( 10\n mail x )\ne FOO x\n", Options{Origin: testOrigin})
	var all Errors
	if !errors.As(err, &all) {
		t.Fatal(err)
	}
	var lines []int
	for _, e := range all {
		lines = append(lines, e.Line)
	}
	if !slices.Equal(lines, []int{5, 6, 7, 8, 10}) {
		t.Fatalf("faults in lines %d:\n%v", lines, err)
	}
}

func TestReadingEndsAfterEnoughFaults(t *testing.T) {
	t.Parallel()
	_, err := read(t, head+strings.Repeat("a A x\n", 1000), Options{Origin: testOrigin})
	var all Errors
	if !errors.As(err, &all) || len(all) != MaxErrors {
		t.Fatalf("%d faults", len(all))
	}
}

// endless is a reader of n octets that counts what was taken.
type endless struct {
	head string
	fill byte
	n    int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.head != "" {
		n := copy(b, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	if e.n == 0 {
		return 0, io.EOF
	}
	n := min(len(b), e.n)
	for i := range b[:n] {
		b[i] = e.fill
	}
	e.n -= n
	return n, nil
}

func TestGigabyteLinesAreRefusedInBoundedMemory(t *testing.T) {
	t.Parallel()
	const gigabyte = 1 << 30
	for name, c := range map[string]struct {
		head string
		fill byte
		want string
	}{
		"one word":           {head, 'x', "z:5: record of more than 512 KiB"},
		"white space":        {head, ' ', "z:5: record of more than 512 KiB"},
		"one quoted string":  {head + "a TXT \"", 'x', "z:5: record of more than 512 KiB"},
		"within parentheses": {head + "a TXT (", '\n', "z:5: parenthesis opened here is never closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &endless{c.head, c.fill, gigabyte}
			_, err := Read(context.Background(), r, Options{Origin: testOrigin, File: "z"})
			if err == nil || err.Error() != c.want {
				t.Fatalf("error %v, want %s", err, c.want)
			}
			if taken := gigabyte - r.n; taken > 2*MaxRecord {
				t.Fatalf("%d octets were read", taken)
			}
		})
	}
}

func TestLongCommentIsSkipped(t *testing.T) {
	t.Parallel()
	r := io.MultiReader(strings.NewReader(head+";"), &endless{"", 'x', 8 << 20}, strings.NewReader("\na A 192.0.2.1\n"))
	res, err := Read(context.Background(), r, Options{Origin: testOrigin})
	if err != nil || res.Snapshot.Records() != 4 {
		t.Fatal(res, err)
	}
}

func TestReaderErrorsAreReported(t *testing.T) {
	t.Parallel()
	r := io.MultiReader(strings.NewReader(head), failing{})
	_, err := Read(context.Background(), r, Options{Origin: testOrigin, File: "z"})
	requireFault(t, err, "z:5: read: disk on fire", "")
	_, err = ReadFile(context.Background(), filepath.Join(t.TempDir(), "none"), Options{File: "none"})
	requireFault(t, err, "none: open: no such file or directory", "")
	_, err = ReadFile(context.Background(), t.TempDir(), Options{File: "dir"})
	requireFault(t, err, "dir:1: read: is a directory", "")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestCancelledContextEndsReading(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Read(ctx, strings.NewReader(head), Options{Origin: testOrigin}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// lines is the snapshot as text, one line per record, without the SOA, NS and
// address that head has.
func lines(t *testing.T, s *zone.Snapshot) string {
	t.Helper()
	var b []byte
	for set := range s.All() {
		b = AppendRecords(b, set)
	}
	var keep []string
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if !strings.HasPrefix(l, "example.\t") && !strings.HasPrefix(l, "ns.example.\t") {
			keep = append(keep, strings.ReplaceAll(l, "\t", " "))
		}
	}
	return strings.Join(keep, "\n")
}

func TestInputsThatAreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"byte order mark":           {"\xef\xbb\xbf" + head + "a A 192.0.2.1\n", "a.example. 300 IN A 192.0.2.1"},
		"CRLF":                      {strings.ReplaceAll(head+"a TXT (x\n\"y\" )\nb A 192.0.2.1\n", "\n", "\r\n"), "a.example. 300 IN TXT \"x\" \"y\"\nb.example. 300 IN A 192.0.2.1"},
		"no newline at the end":     {head + "a A 192.0.2.1", "a.example. 300 IN A 192.0.2.1"},
		"octets in quotes":          {head + "a TXT \"caf\xe9\"\n", `a.example. 300 IN TXT "caf\233"`},
		"UTF-8 in names":            {head + "é A 192.0.2.1\n", `\195\169.example. 300 IN A 192.0.2.1`},
		"tokens without space":      {head + "a TXT x\"y\"z\n", `a.example. 300 IN TXT "x" "y" "z"`},
		"newline escaped in quotes": {head + "a TXT \"x\\\ny\"\n", `a.example. 300 IN TXT "x\010y"`},
		"TTL and class either way":  {head + "a 1h IN A 192.0.2.1\nb IN 1h A 192.0.2.1\nc CLASS1 A 192.0.2.1\n", "a.example. 3600 IN A 192.0.2.1\nb.example. 3600 IN A 192.0.2.1\nc.example. 300 IN A 192.0.2.1"},
		"identical records":         {head + "a A 192.0.2.1\na A 192.0.2.1\n", "a.example. 300 IN A 192.0.2.1"},
		"records equal but case":    {head + "a PTR x.Y.\na PTR X.y.\n", "a.example. 300 IN PTR x.Y."},
		"case of rdata is kept":     {head + "a PTR x.Y.\n", "a.example. 300 IN PTR x.Y."},
		"empty hex salt":            {head + "a NSEC3PARAM 1 0 0 -\n", "a.example. 300 IN NSEC3PARAM 1 0 0 -"},
		"NSEC3":                     {head + "a NSEC3 1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX TYPE65535 A\n", "a.example. 300 IN NSEC3 1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A MX TYPE65535"},
		"an owner that is a type":   {head + "a A 192.0.2.1\nmx A 192.0.2.1\n", "a.example. 300 IN A 192.0.2.1\nmx.example. 300 IN A 192.0.2.1"},
		"TTLs differ in a run":      {head + "a 100 A 192.0.2.1\na 200 A 192.0.2.2\n", "a.example. 100 IN A 192.0.2.1\na.example. 100 IN A 192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := read(t, c.text, Options{Origin: testOrigin})
			if err != nil {
				t.Fatal(err)
			}
			if got := lines(t, res.Snapshot); got != c.want {
				t.Fatalf("got\n%s\nwant\n%s", got, c.want)
			}
			roundTrip(t, res.Snapshot)
		})
	}
}

func TestApexComesFromTheSOA(t *testing.T) {
	t.Parallel()
	res, err := read(t, "$ORIGIN Example.\n@ 300 SOA ns h 1 2 3 4 5\n@ 300 NS ns\nns 300 A 192.0.2.1\n", Options{})
	if err != nil || !res.Apex.Equal(testOrigin) || res.Records != 3 {
		t.Fatal(res, err)
	}
	_, err = read(t, "@ 300 SOA ns h 1 2 3 4 5\n", Options{})
	requireFault(t, err, `z:1: owner "@" is relative, and there is no origin yet`, "$ORIGIN")
	_, err = read(t, "a.other. 300 A 192.0.2.1\nexample. 300 SOA a. b. 1 2 3 4 5\nexample. NS a.\n", Options{})
	requireFault(t, err, "z:1: a.other. is not in zone example.", "")
}

func TestDefaultTTLStandsForTheFirstDirective(t *testing.T) {
	t.Parallel()
	res, err := read(t, "@ SOA ns. h. 1 2 3 4 5\n@ NS ns.\na A 192.0.2.1\n$TTL 9\nb A 192.0.2.1\n", Options{Origin: testOrigin, DefaultTTL: 77})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := lines(t, res.Snapshot), "a.example. 77 IN A 192.0.2.1\nb.example. 9 IN A 192.0.2.1"; got != want {
		t.Fatalf("got %s", got)
	}
}

func TestWarningsNameFileAndLine(t *testing.T) {
	t.Parallel()
	res, err := read(t, head+"a 100 A 192.0.2.1\na 200 A 192.0.2.2\nm MX 10 gone\nm MX 20 a", Options{Origin: testOrigin})
	if err != nil {
		t.Fatal(err)
	}
	want := "z:8: the file does not end in a newline\n" +
		"z:6: a.example. A has records of different TTLs; all get 100\n" +
		"z:7: m.example. MX: target gone.example. has no address in this zone"
	if got := res.Warnings.Error(); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLaxTurnsOnlyCoexistenceAndGlueIntoWarnings(t *testing.T) {
	t.Parallel()
	res, err := read(t, head+"a CNAME ns\na TXT x\nd NS ns.d\n", Options{Origin: testOrigin, Lax: true})
	if err != nil || len(res.Warnings) != 2 || res.Snapshot.Records() != 6 {
		t.Fatal(res.Warnings, err)
	}
	for _, text := range []string{"x.other. A 192.0.2.1\n", "a A x\n", "@ SOA ns h 2 2 3 4 5\n"} {
		if _, err := read(t, head+text, Options{Origin: testOrigin, Lax: true}); err == nil {
			t.Fatalf("%q is read", text)
		}
	}
}

func TestIncludeStaysWithinItsRoot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, path string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	write("secret", "a A 192.0.2.9\n")
	write("root/fine", "a A 192.0.2.1\n")
	write("root/sub/near", "$INCLUDE beside\n")
	write("root/sub/beside", "a A 192.0.2.2\n")
	write("root/bad", "\n\na A x\n")
	write("root/loop1", "$INCLUDE loop2\n")
	write("root/loop2", "$INCLUDE ./loop1\n")
	write("root/self", "$INCLUDE self\n")
	for i := range 20 {
		write("root/deep"+string(rune('a'+i)), "$INCLUDE deep"+string(rune('b'+i))+"\n")
	}
	link("../secret", "root/escape")
	link("fine", "root/alias")
	link(root, "root/sub/up")
	for name, c := range map[string]struct{ include, want string }{
		"a file":                      {"fine", ""},
		"an absolute path":            {filepath.Join(root, "fine"), ""},
		"a link inside":               {"alias", ""},
		"a link to the root":          {"sub/up/fine", ""},
		"up and down again":           {"sub/../fine", ""},
		"a file beside its includer":  {"sub/near", ""},
		"up":                          {"../secret", `z:5: $INCLUDE "../secret": is outside of the allowed directory ROOT`},
		"an absolute path outside":    {filepath.Join(dir, "secret"), `z:5: $INCLUDE "DIR/secret": is outside of the allowed directory ROOT`},
		"a link out":                  {"escape", `z:5: $INCLUDE "escape": is outside of the allowed directory ROOT`},
		"no such file":                {"none", `z:5: $INCLUDE "none": there is no such file`},
		"a directory":                 {"sub", `z:5: $INCLUDE "sub": is not a regular file`},
		"a fault in it":               {"bad", `ROOT/bad:3: A wants ADDRESS: "x": address is not an IPv4 address`},
		"two that include each other": {"loop1", `ROOT/loop2:1: $INCLUDE "./loop1": this file is being read already: files include each other in a circle`},
		"one that includes itself":    {"self", `ROOT/self:1: $INCLUDE "self": this file is being read already: files include each other in a circle`},
		"too deep":                    {"deepa", `ROOT/deepp:1: $INCLUDE "deepq": files include each other more than 16 deep`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := read(t, head+"$INCLUDE "+c.include+"\n", Options{Origin: testOrigin, IncludeRoot: root})
			if c.want == "" {
				if err != nil || res.Snapshot.Records() != 4 {
					t.Fatal(err)
				}
				return
			}
			want := strings.NewReplacer("ROOT", root, "DIR", dir).Replace(c.want)
			if err == nil || err.Error() != want {
				t.Fatalf("error\n%v\nwant\n%s", err, want)
			}
		})
	}
	t.Run("none allowed", func(t *testing.T) {
		t.Parallel()
		_, err := read(t, head+"$INCLUDE fine\n", Options{Origin: testOrigin})
		requireFault(t, err, `z:5: $INCLUDE "fine": files may not be included here`, "--include-root")
	})
	t.Run("a zone that includes itself", func(t *testing.T) {
		t.Parallel()
		own := t.TempDir()
		path := filepath.Join(own, "z")
		if err := os.WriteFile(path, []byte(head+"$INCLUDE z\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadFile(context.Background(), path, Options{Origin: testOrigin, File: path, IncludeRoot: own})
		requireFault(t, err, path+`:5: $INCLUDE "z": this file is being read already: files include each other in a circle`, "circle")
	})
}

func TestGenerateIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ line, want string }{
		"range too long":     {"0-2147483647 a$ A 10.0.0.1", "z:5: $GENERATE: the zone's ranges make more than 2097152 records"},
		"reversed":           {"3-1 a$ A 10.0.0.1", `z:5: $GENERATE: range "3-1": want START-STOP or START-STOP/STEP with START up to STOP and STEP from 1`},
		"no step":            {"1-2/0 a$ A 10.0.0.1", `z:5: $GENERATE: range "1-2/0": want START-STOP or START-STOP/STEP with START up to STOP and STEP from 1`},
		"hexadecimal":        {"0x1-2 a$ A 10.0.0.1", `z:5: $GENERATE: range "0x1-2": want START-STOP or START-STOP/STEP with START up to STOP and STEP from 1`},
		"no data":            {"1-2 a$ A", "z:5: $GENERATE: want START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE DATA"},
		"two words":          {"1-2 a$ MX 10 m$", "z:5: $GENERATE: want one word of data behind the type, have 2"},
		"open brace":         {"1-2 a${0,3 A 10.0.0.1", "z:5: $GENERATE: bad template"},
		"bad base":           {"1-2 a${0,3,q} A 10.0.0.1", "z:5: $GENERATE: bad template"},
		"too wide":           {"1-2 a${0,300} A 10.0.0.1", "z:5: $GENERATE: bad template"},
		"fault is told once": {"250-300 a$ A 10.0.0.$", `z:5: A wants ADDRESS: "10.0.0.256": address is not an IPv4 address`},
		"negative":           {"1-2 a${-5,0,x} A 10.0.0.1", "z:5: $GENERATE: number 1 with offset -5 is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := read(t, head+"$GENERATE "+c.line+"\n", Options{Origin: testOrigin})
			if err == nil || err.Error() != c.want {
				t.Fatalf("error\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}
