package httpjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"dnsctl/nameserver"
)

// maxValue is how many octets one JSON value may take.
const maxValue = 16 << 20

// Errors of reading JSON; they are wrapped with nameserver.ErrAnswer.
var (
	errHuge  = errors.New("a JSON value of more than 16 MB")
	errShape = errors.New("not the JSON that was expected")
	errCut   = errors.New("it ends in the middle")
)

// meter fails when more than left octets are read without a refill.
type meter struct {
	r        io.Reader
	left     int
	progress func()
}

func (m *meter) Read(b []byte) (int, error) {
	if m.left <= 0 {
		return 0, errHuge
	}
	n, err := m.r.Read(b[:min(len(b), m.left)])
	m.left -= n
	if n > 0 && m.progress != nil {
		m.progress()
	}
	return n, err
}

// Decoder walks a JSON document. Its own errors wrap nameserver.ErrAnswer; those
// of the functions that it is given are returned as they are.
type Decoder struct {
	dec   *json.Decoder
	meter *meter
}

// NewDecoder reads r, of which no single value may take more than 16 MB.
func NewDecoder(r io.Reader) *Decoder {
	m, ok := r.(*meter)
	if !ok {
		m = &meter{r: r, left: maxValue}
	}
	return &Decoder{json.NewDecoder(m), m}
}

func bad(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errCut
	}
	return fmt.Errorf("%w: %w", nameserver.ErrAnswer, err)
}

func (d *Decoder) token() (json.Token, error) {
	t, err := d.dec.Token()
	if err != nil {
		return nil, bad(err)
	}
	d.meter.left = maxValue
	return t, nil
}

func (d *Decoder) delim(want json.Delim) error {
	t, err := d.token()
	if err != nil {
		return err
	}
	if t != want {
		return bad(fmt.Errorf("%w: %.40v where %v was expected", errShape, t, want))
	}
	return nil
}

// Object reads {...} and calls member after each name; member reads the value.
func (d *Decoder) Object(member func(name string) error) error {
	if err := d.delim('{'); err != nil {
		return err
	}
	for d.dec.More() {
		t, err := d.token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return bad(fmt.Errorf("%w: a member without a name", errShape))
		}
		if err := member(name); err != nil {
			return err
		}
	}
	return d.delim('}')
}

// Array reads [...] and calls element before each; element reads it.
func (d *Decoder) Array(element func() error) error {
	if err := d.delim('['); err != nil {
		return err
	}
	for d.dec.More() {
		if err := element(); err != nil {
			return err
		}
	}
	return d.delim(']')
}

// Value reads one value into v, as encoding/json does.
func (d *Decoder) Value(v any) error {
	if err := d.dec.Decode(v); err != nil {
		return bad(err)
	}
	d.meter.left = maxValue
	return nil
}

// Skip reads one value of any kind.
func (d *Decoder) Skip() error {
	for depth := 0; ; {
		t, err := d.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// End makes sure that the document has ended.
func (d *Decoder) End() error {
	switch _, err := d.dec.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return bad(err)
	}
	return bad(fmt.Errorf("%w: more after its end", errShape))
}
