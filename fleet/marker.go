package fleet

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"dnsctl/secret"
	"dnsctl/zone"
)

// MarkerParent is the name that every marker zone is directly below. It is under
// a name that never exists in the DNS (RFC 6761 section 6.4).
var MarkerParent = zone.MustParseName("dnsctl.invalid.")

// IsMarkerName says whether a zone of this name is some store's marker.
func IsMarkerName(n zone.Name) bool {
	return n.Under(MarkerParent) && n.Labels() == MarkerParent.Labels()+1
}

// Mark is what a marker zone says, sealed, in its TXT record: which store filled
// the server, and how far its feed was.
type Mark struct {
	Store  string `json:"s"`
	Epoch  int64  `json:"e"`
	Server int64  `json:"n"`
	Pos    int64  `json:"p"`
	Entry  string `json:"i"` // random id of the feed entry at Pos
}

// ErrMark is wrapped when a marker's text cannot be read: it is not one of this
// store's, or it is damaged.
var ErrMark = errors.New("marker cannot be opened with this store's identity")

// TXT seals the mark into the text of a TXT record.
func (m Mark) TXT(ctx context.Context, s secret.Sealer) (string, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	sealed, err := s.Seal(ctx, secret.New(b))
	if err != nil {
		return "", fmt.Errorf("seal marker: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// OpenMark reads the text of a marker's TXT record. The error wraps ErrMark, or
// secret.ErrNoIdentity when there is nothing to open it with.
func OpenMark(ctx context.Context, s secret.Sealer, txt string) (Mark, error) {
	sealed, err := base64.StdEncoding.DecodeString(txt)
	if err != nil {
		return Mark{}, fmt.Errorf("%w: %w", ErrMark, err)
	}
	plain, err := s.Open(ctx, sealed)
	if errors.Is(err, secret.ErrNoIdentity) {
		return Mark{}, err
	}
	if err != nil {
		return Mark{}, fmt.Errorf("%w: %w", ErrMark, err)
	}
	var m Mark
	if err := json.Unmarshal(plain.Reveal(), &m); err != nil {
		return Mark{}, fmt.Errorf("%w: %w", ErrMark, err)
	}
	return m, nil
}

// TXTRdata splits text into the character strings of one TXT record (RFC 1035
// section 3.3.14).
func TXTRdata(text string) string {
	var b strings.Builder
	for {
		n := min(255, len(text))
		b.WriteByte(byte(n))
		b.WriteString(text[:n])
		if text = text[n:]; text == "" {
			return b.String()
		}
	}
}

// TXTText joins the character strings of a TXT record; false when they are cut
// short.
func TXTText(rdata string) (string, bool) {
	var b strings.Builder
	for rdata != "" {
		n := 1 + int(rdata[0])
		if n > len(rdata) {
			return "", false
		}
		b.WriteString(rdata[1:n])
		rdata = rdata[n:]
	}
	return b.String(), true
}
