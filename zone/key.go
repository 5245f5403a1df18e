package zone

import "errors"

// Key is a name as a byte string that sorts in canonical DNS order (RFC 4034
// section 6.1) under plain byte comparison, on every database: labels from the
// root down, lower-cased, each ended by a zero octet; octets 0 and 1 inside a
// label are escaped as 1,1 and 1,2 so that they sort above the terminator. The
// root's Key is empty. The keys of all names at or below a name have its key as
// prefix.
type Key string

// Key of the name. It costs one allocation.
func (n Name) Key() Key {
	var buf [2*MaxName + 2]byte
	return Key(n.appendKey(buf[:0]))
}

func (n Name) appendKey(dst []byte) []byte {
	var starts [MaxName/2 + 1]uint8
	c := 0
	for i := 0; i < len(n) && n[i] != 0; i += int(n[i]) + 1 {
		starts[c] = uint8(i)
		c++
	}
	for c--; c >= 0; c-- {
		i := int(starts[c])
		for _, ch := range []byte(n[i+1 : i+1+int(n[i])]) {
			if ch <= 1 {
				dst = append(dst, 1, ch+1)
				continue
			}
			dst = append(dst, lower(ch))
		}
		dst = append(dst, 0)
	}
	return dst
}

var errBadKey = errors.New("malformed owner key")

// Name is the lower-case name that has this key.
func (k Key) Name() (Name, error) {
	var buf [MaxName]byte
	at := MaxName - 1 // buf[at:] is the name so far, built from its end
	buf[at] = 0
	var label [MaxLabel]byte
	l := 0
	for i := 0; i < len(k); i++ {
		c := k[i]
		if c == 0 {
			if l == 0 || at < l+1 {
				return "", errBadKey
			}
			at -= l
			copy(buf[at:], label[:l])
			at--
			buf[at] = byte(l)
			l = 0
			continue
		}
		if c == 1 {
			i++
			if i == len(k) || k[i] < 1 || k[i] > 2 {
				return "", errBadKey
			}
			c = k[i] - 1
		}
		if l == MaxLabel || c != lower(c) {
			return "", errBadKey
		}
		label[l] = c
		l++
	}
	if l != 0 {
		return "", errBadKey
	}
	return Name(buf[at:]), nil
}

// Under says whether k is apex's key or that of a name below it.
func (k Key) Under(apex Key) bool { return len(k) >= len(apex) && k[:len(apex)] == apex }

// Parent is the key of the name one label up; the root's is its own.
func (k Key) Parent() Key {
	if k == "" {
		return k
	}
	i := len(k) - 2
	for i >= 0 && k[i] != 0 {
		i--
	}
	return k[:i+1]
}

// Wildcard is the key of "*" directly below k.
func (k Key) Wildcard() Key { return k + "*\x00" }
