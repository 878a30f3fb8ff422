package main

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/a644562b/portico/internal/checksum"
	"github.com/a644562b/portico/internal/sim"
	"github.com/a644562b/portico/ip"
	"github.com/a644562b/portico/link"
	"github.com/a644562b/portico/link/capture"
	"github.com/a644562b/portico/tcp"
)

// simEpoch is when virtual time begins in a capture.
var simEpoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// simCapture writes the packets of a simulation, as they leave and reach the senders, to
// a file: through the tap of package capture, over a device of which only the packet in
// hand can be read.
type simCapture struct {
	file *outFile
	tap  *capture.Device
	now  time.Time
	note string
	buf  []byte
}

func newSimCapture(name string) (*simCapture, error) {
	file, err := createPCAP(name)
	if err != nil {
		return nil, err
	}
	c := &simCapture{file: file, now: simEpoch}
	c.tap, err = capture.Wrap(simDevice{c}, capture.Config{
		Writer:  file,
		Clock:   func() time.Time { return c.now },
		Comment: func(capture.Direction, []byte) string { return c.note },
	})
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return c, nil
}

// packet writes one packet. Errors of the file are kept for close.
func (c *simCapture) packet(e *sim.PacketEvent) {
	c.now, c.note = simEpoch.Add(time.Duration(e.Time)), e.Note
	c.buf = appendPacket(c.buf[:0], e)
	q := c.tap.Queues()[0]
	if e.Out {
		_, _ = q.Write([]link.Frame{{Data: c.buf}})
		return
	}
	_, _ = q.Read([]link.Frame{{}})
	c.buf = nil
	_, _ = q.Read([]link.Frame{{}}) // the tap writes what has been dealt with
}

// ECN codepoints of the IP header (RFC 3168, section 5).
const (
	ecnECT0 = 2
	ecnCE   = 3
)

// appendPacket appends the packet as it stands on the wire, with its checksums.
func appendPacket(b []byte, e *sim.PacketEvent) []byte {
	src, dst := e.Ends.Local.Addr(), e.Ends.Remote.Addr()
	if !e.Out {
		src, dst = dst, src
	}
	h := ip.Header{Src: src, Dst: dst, Protocol: ip.TCP, DF: true}
	switch {
	case e.CE:
		h.TOS = ecnCE
	case e.ECT:
		h.TOS = ecnECT0
	}
	var header [tcp.MaxHeaderLen]byte
	segment := e.Segment.AppendHeader(header[:0])
	length := len(segment) + len(e.Data)
	b = h.Append(b, length)
	start := len(b)
	b = append(append(b, segment...), e.Data...)
	sum := checksum.Sum(checksum.PseudoHeader(src, dst, uint8(ip.TCP), length), b[start:])
	binary.BigEndian.PutUint16(b[start+tcp.OffChecksum:], ^sum)
	return b
}

func (c *simCapture) close() error {
	err := c.tap.Close()
	if ended := c.tap.Err(); ended != nil {
		err = errors.Join(err, ended)
	}
	return errors.Join(err, c.file.Close())
}

// simDevice is what the tap is on: writing to it does nothing, reading gives the packet
// in hand once.
type simDevice struct{ c *simCapture }

func (simDevice) Name() string              { return "sender" }
func (simDevice) MTU() int                  { return link.MaxFrame }
func (simDevice) Caps() link.Caps           { return link.Caps{} }
func (d simDevice) Queues() []link.Queue    { return []link.Queue{d} }
func (simDevice) Events() <-chan link.Event { return nil }
func (simDevice) Close() error              { return nil }

func (d simDevice) Read(frames []link.Frame) (int, error) {
	if len(d.c.buf) == 0 {
		return 0, nil
	}
	frames[0] = link.Frame{Data: d.c.buf}
	return 1, nil
}

func (simDevice) Write(frames []link.Frame) (int, error) { return len(frames), nil }
