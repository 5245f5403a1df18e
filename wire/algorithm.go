package wire

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"log/slog"
	"strings"

	"dnsctl/zone"
)

// Algorithm of a TSIG key, by the name that people and configuration files use.
type Algorithm string

// The algorithms of RFC 8945 section 6. SHA-1 and MD5 are weak: they are refused
// unless Key.AllowWeak is set.
const (
	HMACSHA256 Algorithm = "hmac-sha256"
	HMACSHA224 Algorithm = "hmac-sha224"
	HMACSHA384 Algorithm = "hmac-sha384"
	HMACSHA512 Algorithm = "hmac-sha512"
	HMACSHA1   Algorithm = "hmac-sha1"
	HMACMD5    Algorithm = "hmac-md5"
)

// Algorithms lists those that are not weak, the default first.
func Algorithms() []Algorithm { return []Algorithm{HMACSHA256, HMACSHA384, HMACSHA512, HMACSHA224} }

// ParseAlgorithm reads an algorithm's name in any letter case, with or without a
// final dot. Weak algorithms are known too: see Weak.
func ParseAlgorithm(text string) (Algorithm, error) {
	a := Algorithm(strings.TrimSuffix(strings.ToLower(text), "."))
	if a == "hmac-md5.sig-alg.reg.int" {
		a = HMACMD5
	}
	if a.Size() == 0 {
		return "", fmt.Errorf("TSIG algorithm %q is not known: want hmac-sha256, hmac-sha384, hmac-sha512 or hmac-sha224", text)
	}
	return a, nil
}

// Weak says whether the algorithm is no longer fit for use (RFC 8945 section 6).
func (a Algorithm) Weak() bool { return a == HMACSHA1 || a == HMACMD5 }

// Size of a full MAC in octets; 0 for an unknown algorithm.
func (a Algorithm) Size() int {
	switch a {
	case HMACSHA224:
		return sha256.Size224
	case HMACSHA256:
		return sha256.Size
	case HMACSHA384:
		return sha512.Size384
	case HMACSHA512:
		return sha512.Size
	case HMACSHA1:
		return sha1.Size
	case HMACMD5:
		return md5.Size
	}
	return 0
}

// Name of the algorithm on the wire; empty for an unknown one.
func (a Algorithm) Name() zone.Name {
	switch a {
	case HMACSHA224, HMACSHA256, HMACSHA384, HMACSHA512, HMACSHA1:
		return zone.Name(append(append([]byte{byte(len(a))}, a...), 0))
	case HMACMD5:
		return "\x08hmac-md5\x07sig-alg\x03reg\x03int\x00"
	}
	return ""
}

func (a Algorithm) new(secret []byte) hash.Hash {
	switch a {
	case HMACSHA224:
		return hmac.New(sha256.New224, secret)
	case HMACSHA256:
		return hmac.New(sha256.New, secret)
	case HMACSHA384:
		return hmac.New(sha512.New384, secret)
	case HMACSHA512:
		return hmac.New(sha512.New, secret)
	case HMACSHA1:
		return hmac.New(sha1.New, secret)
	case HMACMD5:
		return hmac.New(md5.New, secret)
	}
	return nil
}

// Key is a TSIG key. It prints without its secret.
type Key struct {
	Name      zone.Name
	Algorithm Algorithm
	Secret    []byte
	// MACSize is how many octets of the MAC are sent and, at least, wanted
	// (RFC 8945 section 5.2.2.1); 0 means all. It is not below 10 nor half of
	// the algorithm's size.
	MACSize int
	// AllowWeak permits SHA-1 and MD5.
	AllowWeak bool
}

// Check says what makes the key unusable.
func (k Key) Check() error {
	size := k.Algorithm.Size()
	switch {
	case !k.Name.Valid():
		return fmt.Errorf("TSIG key: %w", zone.ErrBadWire)
	case size == 0:
		return fmt.Errorf("TSIG key %s: algorithm %q is not known", k.Name, string(k.Algorithm))
	case k.Algorithm.Weak() && !k.AllowWeak:
		return fmt.Errorf("TSIG key %s: algorithm %s is weak and not enabled", k.Name, k.Algorithm)
	case len(k.Secret) == 0:
		return fmt.Errorf("TSIG key %s: the secret is empty", k.Name)
	case k.MACSize != 0 && (k.MACSize < 10 || k.MACSize < (size+1)/2 || k.MACSize > size):
		return fmt.Errorf("TSIG key %s: a MAC of %d octets is not allowed for %s", k.Name, k.MACSize, k.Algorithm)
	}
	return nil
}

// macSize is the length of the MACs we make.
func (k Key) macSize() int {
	if k.MACSize != 0 {
		return k.MACSize
	}
	return k.Algorithm.Size()
}

// String names the key and its algorithm.
func (k Key) String() string { return string(k.Algorithm) + ":" + k.Name.String() }

// GoString is String: the secret stays out of %#v too.
func (k Key) GoString() string { return k.String() }

// MarshalText is String, for JSON and YAML.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
