package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"dnsctl/zone"
)

func TestAppendNameIsBoundedAndExact(t *testing.T) {
	head := strings.Repeat("\x00", HeaderLen)
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 3) // 192 octets
	chain := func(pointers int) (body string) {               // each to the one before, the first to the root
		body = "\x00\xc0\x0c"
		for i := 1; i < pointers; i++ {
			to := len(body) - 2 + HeaderLen
			body += string([]byte{0xc0 | byte(to>>8), byte(to)})
		}
		return body
	}
	for _, c := range []struct {
		what, body string
		off        int // from the end of the header
		want       string
		err        error
	}{
		{"plain", "\x01a\x00", 0, "\x01a\x00", nil},
		{"root", "\x00", 0, "\x00", nil},
		{"pointer", "\x01a\x00\x01b\xc0\x0c", 3, "\x01b\x01a\x00", nil},
		{"pointer to pointer", "\x01a\x00\xc0\x0c\x01b\xc0\x0f", 5, "\x01b\x01a\x00", nil},
		{"as many pointers as a name may have", chain(maxPointers), 2*maxPointers - 1, "\x00", nil},
		{"one more", chain(maxPointers + 1), 2*maxPointers + 1, "", ErrName},
		{"pointer to itself", "\xc0\x0c", 0, "", ErrName},
		{"pointer into its own name", "\x01a\xc0\x0c", 0, "", ErrName},
		{"pointer forwards", "\xc0\x0e\x00", 0, "", ErrName},
		{"two pointers at each other", "\xc0\x0e\xc0\x0c", 2, "", ErrName},
		{"pointer into the header", "\xc0\x02", 0, "", ErrName},
		{"cut label", "\x05ab", 0, "", ErrShort},
		{"cut pointer", "\xc0", 0, "", ErrShort},
		{"no end", "\x01a", 0, "", ErrShort},
		{"reserved label type", "\x40\x00", 0, "", ErrName},
		{"255 octets", long + "\x3d" + strings.Repeat("b", 61) + "\x00", 0, long + "\x3d" + strings.Repeat("b", 61) + "\x00", nil},
		{"256 octets", long + "\x3e" + strings.Repeat("b", 62) + "\x00", 0, "", ErrName},
		{"256 octets by pointer", long + "\x00" + "\x3e" + strings.Repeat("b", 62) + "\xc0\x0c", 193, "", ErrName},
	} {
		got, next, err := AppendName(nil, []byte(head+c.body), HeaderLen+c.off)
		if !errors.Is(err, c.err) || c.err == nil && string(got) != c.want {
			t.Errorf("%s: got %q %v, want %q %v", c.what, got, err, c.want, c.err)
		}
		if err == nil && !zone.Name(got).Valid() {
			t.Errorf("%s: %q is not valid", c.what, got)
		}
		if err == nil && next != len(head+c.body) {
			t.Errorf("%s: next %d", c.what, next)
		}
	}
}

func TestReaderRejectsShortAndMisshapenRecords(t *testing.T) {
	head := strings.Repeat("\x00", HeaderLen)
	for _, body := range []string{
		"", "\x00", "\x00\x00\x01\x00\x01\x00\x00\x00\x01\x00", "\x00\x00\x01\x00\x01\x00\x00\x00\x01\x00\x02x",
	} {
		if _, err := NewReader([]byte(head + body)).Record(); err == nil {
			t.Errorf("%q was read", body)
		}
	}
	for _, c := range []struct{ t, data string }{
		{"\x00\x06", "\x00\x00short"}, {"\x00\x0f", "\x00"}, {"\x00\x0f", "\x00\x01\x05ab"}, {"\x00\x02", "\x00x"},
		{"\x00\x23", "1234\x01"},
	} {
		rec := "\x00" + c.t + "\x00\x01\x00\x00\x00\x01\x00" + string(rune(len(c.data))) + c.data
		r := NewReader([]byte(head + rec))
		got, err := r.Record()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Rdata(got); !errors.Is(err, ErrRdata) {
			t.Errorf("rdata %q: %v", c.data, err)
		}
	}
}

func TestFramesAreReadWhole(t *testing.T) {
	var b bytes.Buffer
	for _, m := range []string{"one", "", strings.Repeat("x", 65535)} {
		if err := WriteFrame(&b, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	var buf []byte
	for _, want := range []int{3, 0, 65535} {
		got, err := ReadFrame(&b, buf)
		if err != nil || len(got) != want {
			t.Fatalf("%d octets, %v; want %d", len(got), err, want)
		}
		buf = got
	}
	if _, err := ReadFrame(&b, buf); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	for _, cut := range []string{"\x00", "\x00\x05", "\x00\x05abc"} {
		if _, err := ReadFrame(strings.NewReader(cut), nil); err != io.ErrUnexpectedEOF {
			t.Errorf("%q: %v", cut, err)
		}
	}
}

// room is a stream that notes how much room its reader had for it.
type room struct {
	io.Reader
	most int
}

func (r *room) Read(p []byte) (int, error) {
	r.most = max(r.most, len(p))
	return r.Reader.Read(p)
}

// TestALongFrameThatDoesNotComeTakesLittleMemory: a client says 65,535 octets and
// sends some.
func TestALongFrameThatDoesNotComeTakesLittleMemory(t *testing.T) {
	for _, sent := range []int{0, 1, frameStep - 1, frameStep + 1, 40000} {
		r := &room{Reader: strings.NewReader("\xff\xff" + strings.Repeat("x", sent))}
		if _, err := ReadFrame(r, nil); err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		if r.most > max(frameStep, sent+1) {
			t.Errorf("%d octets of 65535 sent, and room made for %d at once", sent, r.most)
		}
	}
	for _, n := range []int{1, 511, 512, 513, frameStep, frameStep + 1, 3 * frameStep, 65535} {
		want := strings.Repeat("y", n-1) + "z"
		for _, buf := range [][]byte{nil, make([]byte, 0, 600), make([]byte, 0, 65535)} {
			got, err := ReadFrame(iotest.HalfReader(strings.NewReader(string([]byte{byte(n >> 8), byte(n)})+want+"next")), buf)
			if err != nil || string(got) != want {
				t.Errorf("%d octets into a buffer for %d: %d octets, %v", n, cap(buf), len(got), err)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	var e Encoder
	e.Reset(nil, Header{ID: 1}, Full, name("example.org."), MaxMessage)
	e.Question(Question{name("example.org."), zone.TypeAXFR, ClassIN})
	for _, text := range everyShape {
		e.Set(SectionAnswer, rr(f, text))
	}
	f.Add(e.Bytes())
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		h, ok := ParseHeader(msg)
		if !ok {
			return
		}
		r := NewReader(msg)
		for range h.Counts[0] {
			if _, err := r.Question(); err != nil {
				return
			}
		}
		var out Encoder
		out.Reset(nil, h, Full, "", MaxMessage)
		var owners []zone.Name
		var datas []string
		for range h.Counts[1] {
			rec, err := r.Record()
			if err != nil {
				return
			}
			if !rec.Owner.Valid() {
				t.Fatalf("owner %q is not valid", rec.Owner)
			}
			data, err := r.Rdata(rec)
			if err != nil {
				continue
			}
			if out.Record(SectionAnswer, rec.Owner, rec.Type, rec.TTL, data) {
				owners, datas = append(owners, rec.Owner), append(datas, data)
			}
		}
		r.Reset(out.Bytes())
		for i := range owners {
			rec, err := r.Record()
			if err != nil || rec.Owner != owners[i] {
				t.Fatalf("record %d reads back as %q, %v", i, rec.Owner, err)
			}
			if data, err := r.Rdata(rec); err != nil || data != datas[i] {
				t.Fatalf("rdata %d reads back as %q, %v; was %q", i, data, err, datas[i])
			}
		}
	})
}
