package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// Knot's control protocol (libknot/control.h): a unit is its kind and then items,
// each a code from 16 on, the length of its text and the text.
const (
	knotEnd     = 0
	knotData    = 1
	knotBlock   = 3
	knotCommand = 16
	knotError   = 18
	knotSection = 19
	knotID      = 21
)

// addToKnot adds zones in one transaction whose requests are all under way at once.
// knotc makes a connection for each request, which takes far longer.
func addToKnot(ctx context.Context, socket string, zones int) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	sent := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(conn, 1<<16)
		request := func(items ...string) {
			_ = out.WriteByte(knotData)
			for i, text := range items {
				_ = out.WriteByte([]byte{knotCommand, knotSection, knotID}[i])
				_, _ = out.Write(binary.BigEndian.AppendUint16(nil, uint16(len(text))))
				_, _ = out.WriteString(text)
			}
			_ = out.WriteByte(knotBlock)
		}
		request("conf-begin")
		for i := range zones {
			request("conf-set", "zone", smallZone(i))
		}
		request("conf-commit")
		sent <- out.Flush()
	}()
	err = readKnot(bufio.NewReaderSize(conn, 1<<16), zones+2)
	if err != nil {
		_ = conn.Close()
	}
	return errors.Join(err, <-sent)
}

// readKnot reads as many answers.
func readKnot(r *bufio.Reader, answers int) error {
	for answers > 0 {
		code, err := r.ReadByte()
		switch {
		case err != nil:
			return err
		case code == knotEnd:
			return errors.New("knotd ends before its last answer")
		case code == knotBlock:
			answers--
		}
		if code < knotCommand {
			continue
		}
		var size [2]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return err
		}
		text := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(r, text); err != nil {
			return err
		}
		if code == knotError {
			return fmt.Errorf("knotd: %s", text)
		}
	}
	return nil
}
