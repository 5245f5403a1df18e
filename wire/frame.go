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

// frameStep is how many octets of a message are read at first where the buffer is
// too short for it, then twice as many, and so on: who says that a message is
// long and does not send it takes little of our memory.
const frameStep = 4 << 10

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
	for have := 0; have < n; {
		next := min(n, max(cap(buf), frameStep, 2*have))
		if next > cap(buf) {
			buf = append(make([]byte, 0, next), buf[:have]...)
		}
		buf = buf[:next]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		have = next
	}
	return buf[:n], nil
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
