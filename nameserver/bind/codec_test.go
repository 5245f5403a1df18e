package bind

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func testKey(t testing.TB, algorithm string) key {
	t.Helper()
	a, ok := findAlgorithm(algorithm)
	if !ok {
		t.Fatalf("no algorithm %q", algorithm)
	}
	return key{name: "k", algorithm: a, secret: []byte("0123456789abcdef")}
}

func sampleBody() table {
	return table{
		{key: "_ctrl", table: table{value("_ser", "7"), value("_rpl", "1")}},
		{key: "_data", table: table{value("result", "0"), value("text", "hello\n"), value("empty", "")}},
	}
}

func TestMessagesSurviveTheWireUnderEveryAlgorithm(t *testing.T) {
	t.Parallel()
	for _, a := range algorithms() {
		k := testKey(t, a.name)
		b, err := readMessage(bytes.NewReader(encode(k, sampleBody())))
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(k, b)
		if err != nil {
			t.Fatal(err)
		}
		if got.sub("_data").get("text") != "hello\n" || got.sub("_ctrl").get("_rpl") != "1" {
			t.Errorf("%s: %v", a.name, got)
		}
		if !bytes.Equal(appendTable(nil, got), appendTable(nil, sampleBody())) {
			t.Errorf("%s: another body", a.name)
		}
	}
}

func TestAnyChangedOctetOfASignedMessageIsNoticed(t *testing.T) {
	t.Parallel()
	k := testKey(t, "hmac-sha256")
	good := encode(k, sampleBody())[4:]
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		got, err := decode(k, bad)
		if err == nil && !reflect.DeepEqual(got, sampleBody()) {
			t.Errorf("octet %d changed and accepted", i)
		}
		if err == nil && i >= 4+1+5+5 && i < len(good) && bytes.Contains(good[:i], []byte("hsha")) {
			t.Errorf("octet %d of the signature or body changed and accepted", i)
		}
	}
	other := k
	other.secret = []byte("another")
	if _, err := decode(other, good); !errors.Is(err, errUnsigned) {
		t.Errorf("another key: %v", err)
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	t.Parallel()
	k := testKey(t, "hmac-sha256")
	deep := table{value("x", "y")}
	for range maxDepth + 2 {
		deep = table{{key: "t", table: deep}}
	}
	var wide table
	for range maxEntries + 1 {
		wide = append(wide, value("x", "y"))
	}
	noAuth := append([]byte{0, 0, 0, 1}, appendTable(nil, sampleBody())...)
	badType := encode(k, sampleBody())[4:]
	badType[4+1+5] = 9
	for name, b := range map[string][]byte{
		"empty":           nil,
		"version 2":       {0, 0, 0, 2},
		"nothing else":    {0, 0, 0, 1},
		"no signature":    noAuth,
		"unknown type":    badType,
		"nested deeply":   encode(k, deep)[4:],
		"too many":        encode(k, wide)[4:],
		"cut entry":       {0, 0, 0, 1, 5, '_', 'a'},
		"length past end": {0, 0, 0, 1, 5, '_', 'a', 'u', 't', 'h', 2, 0xff, 0xff, 0xff, 0xff},
	} {
		if _, err := decode(k, b); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"huge length": {0xff, 0xff, 0xff, 0xff, 0},
		"tiny length": {0, 0, 0, 3, 0, 0, 0},
	} {
		if _, err := readMessage(bytes.NewReader(b)); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readMessage(strings.NewReader("\x00\x00\x00\x10half")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a message: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	k := testKey(f, "hmac-sha256")
	f.Add(encode(k, sampleBody())[4:])
	f.Add([]byte{0, 0, 0, 1, 5, '_', 'a', 'u', 't', 'h', 2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decode(k, b)
		body, err := readTable(b, 0) // what a holder of the key could send
		if err != nil {
			return
		}
		again, err := readTable(appendTable(nil, body), 0)
		if err != nil || len(again) != len(body) {
			t.Fatalf("%v does not read back: %v", body, err)
		}
	})
}

func FuzzReadMessage(f *testing.F) {
	f.Add(encode(testKey(f, "hmac-sha256"), sampleBody()))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readMessage(bytes.NewReader(b))
		if err == nil && uint32(len(m)) != binary.BigEndian.Uint32(b) {
			t.Fatal("wrong length")
		}
	})
}
