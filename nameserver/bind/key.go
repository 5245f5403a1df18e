package bind

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"

	"dnsctl/secret"
)

// key is a control channel key.
type key struct {
	name      string
	algorithm algorithm
	secret    []byte
}

// algorithm is one that rndc knows: its name in key files, its number on the
// wire (lib/isccc's ISCCC_ALG_*), and its hash.
type algorithm struct {
	name string
	code byte
	hash func() hash.Hash
}

const algMD5 = 157

// algorithms lists what the control channel can be signed with.
func algorithms() []algorithm {
	return []algorithm{
		{"hmac-sha256", 163, sha256.New},
		{"hmac-sha384", 164, sha512.New384},
		{"hmac-sha512", 165, sha512.New},
		{"hmac-sha224", 162, sha256.New224},
		{"hmac-sha1", 161, sha1.New},
		{"hmac-md5", algMD5, md5.New},
	}
}

func findAlgorithm(name string) (algorithm, bool) {
	for _, a := range algorithms() {
		if strings.EqualFold(a.name, strings.TrimSuffix(name, ".")) {
			return a, true
		}
	}
	return algorithm{}, false
}

func (k key) mac(covered []byte) []byte {
	h := hmac.New(k.algorithm.hash, k.secret)
	h.Write(covered)
	return h.Sum(nil)
}

// errKeyFile is wrapped by readKey's errors; the file's content is never part
// of them.
var errKeyFile = errors.New("not an rndc key file")

// readKey reads the first key statement of a key file as rndc-confgen writes
// it (rndc.key(5)): key "name" { algorithm hmac-sha256; secret "base64"; };
func readKey(file []byte) (key, error) {
	statements, err := parseConfig(string(file))
	if err != nil {
		return key{}, fmt.Errorf("%w: %w", errKeyFile, err)
	}
	for _, s := range statements {
		if len(s.words) != 2 || s.words[0].text != "key" || s.block == nil {
			continue
		}
		k := key{name: s.words[1].text}
		for _, p := range s.block {
			if len(p.words) != 2 {
				continue
			}
			switch value := p.words[1].text; p.words[0].text {
			case "algorithm":
				a, ok := findAlgorithm(value)
				if !ok {
					return key{}, fmt.Errorf("%w: algorithm %q is not one of rndc's", errKeyFile, value)
				}
				k.algorithm = a
			case "secret":
				if k.secret, err = base64.StdEncoding.DecodeString(value); err != nil {
					return key{}, fmt.Errorf("%w: the secret of key %q is not base64", errKeyFile, k.name)
				}
			}
		}
		switch {
		case k.name == "" || len(k.name) > 255:
			return key{}, fmt.Errorf("%w: bad key name", errKeyFile)
		case k.algorithm.hash == nil:
			return key{}, fmt.Errorf("%w: key %q has no algorithm", errKeyFile, k.name)
		case len(k.secret) == 0:
			return key{}, fmt.Errorf("%w: key %q has no secret", errKeyFile, k.name)
		}
		return k, nil
	}
	return key{}, fmt.Errorf(`%w: no statement key "NAME" { algorithm ...; secret "..."; }`, errKeyFile)
}

// text is the key as a statement of named.conf.
func (k key) text() string {
	return keyStatement(k.name, k.algorithm.name, k.secret)
}

func keyStatement(name, algorithm string, secret []byte) string {
	return fmt.Sprintf("key %s {\n\talgorithm %s;\n\tsecret \"%s\";\n};\n",
		quote(name), algorithm, base64.StdEncoding.EncodeToString(secret))
}

// newKey makes a random HMAC-SHA256 key.
func newKey(name string) (key, error) {
	a, _ := findAlgorithm("hmac-sha256")
	k := key{name: name, algorithm: a, secret: make([]byte, 32)}
	if _, err := rand.Read(k.secret); err != nil {
		return key{}, fmt.Errorf("make control key: %w", err)
	}
	return k, nil
}

func (k key) plain() secret.Plain { return secret.New([]byte(k.text())) }
