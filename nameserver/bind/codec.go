package bind

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The control channel's messages (BIND's lib/isccc, which is their only
// specification): a u32 length of what follows, a u32 version 1, and a table. A
// table is a sequence of entries: a u8 length and that many octets of key, a
// type octet, a u32 length and that many octets of value. The first entry is
// _auth, whose table holds the HMAC of all that follows it.
const (
	typeBinary = 1
	typeTable  = 2
	typeList   = 3

	codecVersion = 1
	maxMessage   = 1 << 20 // octets; more is refused before anything is allocated
	maxDepth     = 4       // tables within tables
	maxEntries   = 64      // of one table
	macOctets    = 88      // base64 of the longest HMAC, zero-padded
	macOctetsMD5 = 22      // base64 without its padding
)

// entry of a table: value is set, or table.
type entry struct {
	key   string
	value []byte
	table table
}

type table []entry

// get is the first entry's value of that key; "" when it is absent.
func (t table) get(key string) string {
	for _, e := range t {
		if e.key == key {
			return string(e.value)
		}
	}
	return ""
}

func (t table) sub(key string) table {
	for _, e := range t {
		if e.key == key {
			return e.table
		}
	}
	return nil
}

func value(key, v string) entry { return entry{key: key, value: []byte(v)} }

func appendTable(b []byte, t table) []byte {
	for _, e := range t {
		b = append(b, byte(len(e.key)))
		b = append(b, e.key...)
		if e.table == nil {
			b = append(b, typeBinary)
			b = binary.BigEndian.AppendUint32(b, uint32(len(e.value)))
			b = append(b, e.value...)
			continue
		}
		b = append(b, typeTable, 0, 0, 0, 0)
		at := len(b)
		b = appendTable(b, e.table)
		binary.BigEndian.PutUint32(b[at-4:], uint32(len(b)-at))
	}
	return b
}

// encode makes a signed message, length included.
func encode(k key, body table) []byte {
	covered := appendTable(nil, body)
	auth := table{{key: "_auth", table: table{authEntry(k, covered)}}}
	b := binary.BigEndian.AppendUint32(make([]byte, 4, len(covered)+160), codecVersion)
	b = append(appendTable(b, auth), covered...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func authEntry(k key, covered []byte) entry {
	text := base64.StdEncoding.EncodeToString(k.mac(covered))
	if k.algorithm.code == algMD5 {
		return value("hmd5", text[:macOctetsMD5])
	}
	v := make([]byte, 1+macOctets)
	v[0] = k.algorithm.code
	copy(v[1:], text)
	return entry{key: "hsha", value: v}
}

// Errors of reading a message.
var (
	errMalformed = errors.New("malformed message")
	errUnsigned  = errors.New("the signature is not the key's")
)

// readMessage reads one message, without its length, from r.
func readMessage(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 4 || n > maxMessage {
		return nil, fmt.Errorf("%w: a length of %d octets", errMalformed, n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// decode checks a message's signature and returns its body: the tables after
// _auth.
func decode(k key, b []byte) (table, error) {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != codecVersion {
		return nil, fmt.Errorf("%w: not version %d", errMalformed, codecVersion)
	}
	first, covered, err := readEntry(b[4:], 0)
	if err != nil {
		return nil, err
	}
	if first.key != "_auth" || first.table == nil {
		return nil, fmt.Errorf("%w: does not begin with _auth", errMalformed)
	}
	want := authEntry(k, covered)
	if !hmac.Equal(want.value, []byte(first.table.get(want.key))) {
		return nil, errUnsigned
	}
	return readTable(covered, 0)
}

func readTable(b []byte, depth int) (table, error) {
	t := table{}
	for len(b) > 0 {
		if len(t) == maxEntries {
			return nil, fmt.Errorf("%w: more than %d entries", errMalformed, maxEntries)
		}
		e, rest, err := readEntry(b, depth)
		if err != nil {
			return nil, err
		}
		t, b = append(t, e), rest
	}
	return t, nil
}

func readEntry(b []byte, depth int) (e entry, rest []byte, err error) {
	if len(b) < 1 || len(b) < 1+int(b[0])+5 {
		return e, nil, fmt.Errorf("%w: an entry is cut short", errMalformed)
	}
	k := int(b[0])
	e.key = string(b[1 : 1+k])
	kind := b[1+k]
	n := binary.BigEndian.Uint32(b[2+k:])
	b = b[6+k:]
	if uint64(n) > uint64(len(b)) {
		return e, nil, fmt.Errorf("%w: entry %q is cut short", errMalformed, e.key)
	}
	switch kind {
	case typeBinary, typeList: // a list's octets are never looked at
		e.value = b[:n:n]
	case typeTable:
		if depth == maxDepth {
			return e, nil, fmt.Errorf("%w: tables nested deeper than %d", errMalformed, maxDepth)
		}
		if e.table, err = readTable(b[:n], depth+1); err != nil {
			return e, nil, err
		}
	default:
		return e, nil, fmt.Errorf("%w: entry %q has type %d", errMalformed, e.key, kind)
	}
	return e, b[n:], nil
}
