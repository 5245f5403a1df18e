package knot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The kinds of units that the control protocol is made of. A request is units of
// data and the end of a block, and so is its answer (libknot/control/control.h).
const (
	kindEnd   = 0
	kindData  = 1
	kindExtra = 2 // more values of the data before it
	kindBlock = 3
)

// The items of a unit, in the order of their codes.
const (
	itemCommand = iota
	itemFlags
	itemError
	itemSection
	itemItem
	itemID
	itemZone
	itemOwner
	itemTTL
	itemType
	itemData
	itemFilters
	items // how many there are
)

// firstCode is the code of the first item; those below it are kinds.
const firstCode = 16

// maxItems bounds a unit: no server of today sends an item twice.
const maxItems = 64

// unit is one of data: its items, "" where they are absent.
type unit [items]string

var errMalformed = errors.New("not Knot's control protocol")

// appendRequest writes a request: a unit of data for each of units, and the end of
// the block. The empty value of a configuration item is sent, others are left out.
func appendRequest(b []byte, units []unit) ([]byte, error) {
	for _, u := range units {
		b = append(b, kindData)
		for i, text := range u {
			if text == "" && !(i == itemData && u[itemCommand] == "conf-set" && u[itemItem] != "") {
				continue
			}
			if len(text) > 0xffff {
				return nil, fmt.Errorf("%w: a value of %d octets, the protocol takes 65535", errMalformed, len(text))
			}
			b = append(b, byte(firstCode+i))
			b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
			b = append(b, text...)
		}
	}
	return append(b, kindBlock), nil
}

// readUnit reads one unit and says of what kind it is.
func readUnit(r *bufio.Reader) (kind byte, u unit, err error) {
	if kind, err = r.ReadByte(); err != nil {
		return 0, u, err
	}
	switch kind {
	case kindEnd, kindBlock:
		return kind, u, nil
	case kindData, kindExtra:
	default:
		return 0, u, fmt.Errorf("%w: a unit of kind %d", errMalformed, kind)
	}
	for range maxItems {
		next, err := r.Peek(1)
		if err != nil {
			return 0, u, cut(err)
		}
		code := next[0]
		if code <= kindBlock {
			return kind, u, nil
		}
		if code < firstCode {
			return 0, u, fmt.Errorf("%w: an item of code %d", errMalformed, code)
		}
		var head [3]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 0, u, cut(err)
		}
		value := make([]byte, binary.BigEndian.Uint16(head[1:]))
		if _, err := io.ReadFull(r, value); err != nil {
			return 0, u, cut(err)
		}
		if i := int(code - firstCode); i < items {
			u[i] = string(value)
		} // a later version's items mean nothing to us
	}
	return 0, u, fmt.Errorf("%w: a unit of more than %d items", errMalformed, maxItems)
}

// cut is the error of a unit that ends in its middle.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
