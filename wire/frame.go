package wire

import (
	"encoding/binary"
	"io"
)

// LengthPrefix is the length of the frame before each message on a stream (RFC
// 1035 section 4.2.2), in octets.
const LengthPrefix = 2

// PutLength writes the length prefix of the one message that frame holds behind
// its first two octets.
func PutLength(frame []byte) {
	binary.BigEndian.PutUint16(frame, uint16(len(frame)-LengthPrefix))
}

// ReadFrame reads one message from a stream into buf, which is grown where it is
// too short, and returns the message. The error is io.EOF only when the stream
// ends before a message begins, io.ErrUnexpectedEOF within one.
func ReadFrame(r io.Reader, buf []byte) ([]byte, error) {
	if cap(buf) < LengthPrefix {
		buf = make([]byte, 512)
	}
	buf = buf[:LengthPrefix]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(buf))
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}

// WriteFrame writes one message with its length prefix in one write. For
// messages that are written often, leave room for the prefix in the buffer and
// use PutLength.
func WriteFrame(w io.Writer, msg []byte) error {
	b := make([]byte, LengthPrefix, LengthPrefix+len(msg))
	b = append(b, msg...)
	PutLength(b)
	_, err := w.Write(b)
	return err
}
