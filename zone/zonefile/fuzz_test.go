package zonefile

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/zone"
)

// FuzzRead wants of any octets: no panic, faults that name a line, and of what
// is read the same again after writing it.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.zone")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"", "\\", "(", "\"", "\"\\\n", head, head + "a\\\nb A 1.2.3.4", "$GENERATE 0-65535/7 $ TXT \"${0,200,n}\"\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(bytes.ToUpper(b), []byte("$GENERATE")) && len(b) > 2000 {
			return // slow, and nothing new
		}
		res, err := Read(context.Background(), bytes.NewReader(b), Options{Origin: zone.MustParseName("example.test."), File: "z", NoCheck: true})
		if err != nil {
			if all, ok := err.(Errors); !ok || len(all) == 0 || len(all) > MaxErrors || !strings.HasPrefix(all[0].Error(), "z:") {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		zone.Check(res.Snapshot)
		roundTrip(t, res.Snapshot)
	})
}

// FuzzRdataText wants of any rdata a text; and of well-formed rdata one that
// reads back to the same octets.
func FuzzRdataText(f *testing.F) {
	for t, rdata := range map[zone.Type]string{
		1: "\x01\x02\x03\x04", 2: "\x01a\x00", 6: "\x00\x00" + strings.Repeat("\x01", 20), 16: "\x02ab\x00", 28: strings.Repeat("\x00", 16),
		29: "\x00\x12\x16\x13\x80\x00\x00\x00\x80\x00\x00\x00\x00\x98\x96\x80", 42: "\x00\x01\x15\x03\xc0\xa8\x20", 45: "\x0a\x01\x02\x01\x02\x03\x04\xff",
		47: "\x00\x00\x06\x40\x01\x00\x00\x00\x03", 50: "\x01\x01\x00\x0c\x01a\x01b\x00\x01\x40", 55: "\x02\x02\x00\x01abc\x00",
		64: "\x00\x01\x00\x00\x01\x00\x03\x02h2", 257: "\x00\x05issueca", 260: "\x0a\x81\x01\x02\x03\x04", 65280: "abc",
	} {
		f.Add(uint16(t), []byte(rdata))
	}
	f.Fuzz(func(t *testing.T, n uint16, b []byte) {
		typ, rdata := zone.Type(n), string(b)
		if len(rdata) > zone.MaxRdata || typ.IsMeta() {
			return
		}
		text := RdataText(typ, rdata)
		if strings.ContainsAny(text, "\n\x00") {
			t.Fatalf("%q", text)
		}
		back, err := ParseRdata(typ, text, zone.Root)
		if ok := wellFormed(typ, rdata); ok != (err == nil) {
			t.Fatalf("%s %x, well-formed %v: %q: %v", typ, rdata, ok, text, err)
		}
		if err == nil && back != rdata {
			t.Fatalf("%s %x became %x by %q", typ, rdata, back, text)
		}
	})
}

// FuzzParseRdata wants of any text no panic, and of what is read the same octets
// by way of its own text.
func FuzzParseRdata(f *testing.F) {
	b, err := os.ReadFile("testdata/types.zone")
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		words := strings.Fields(line)
		for i, w := range words {
			if t, err := zone.ParseType(w); err == nil {
				f.Add(uint16(t), strings.Join(words[i+1:], " "))
				break
			}
		}
	}
	f.Fuzz(func(t *testing.T, n uint16, text string) {
		typ := zone.Type(n)
		rdata, err := ParseRdata(typ, text, zone.MustParseName("example.test."))
		if err != nil {
			return
		}
		if !wellFormed(typ, rdata) {
			t.Fatalf("%s %q gives malformed %x", typ, text, rdata)
		}
		again, err := ParseRdata(typ, RdataText(typ, rdata), zone.Root)
		if err != nil || again != rdata {
			t.Fatalf("%s %q is %x, its text %q is %x: %v", typ, text, rdata, RdataText(typ, rdata), again, err)
		}
	})
}
