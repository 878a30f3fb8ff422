package stack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/tcp"
)

// What ICMP errors do to connections: RFC 9293, 3.9.2.2, and RFC 5927.

// icmpError makes an ICMP or ICMPv6 error of the client to the server. rest is what stands
// between the checksum and the quote.
func icmpError(typ, code uint8, rest uint32, quoted []byte) []byte {
	client, server := pairOf(quoted[0]>>4 == 6)
	return icmpErrorFrom(client, server, typ, code, rest, quoted)
}

func icmpErrorFrom(src, dst netip.Addr, typ, code uint8, rest uint32, quoted []byte) []byte {
	if dst.Is6() {
		return packet(src, dst, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, code)},
			gopacket.Payload(binary.BigEndian.AppendUint32(nil, rest)), gopacket.Payload(quoted))
	}
	return packet(src, dst, &layers.ICMPv4{
		TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: uint16(rest >> 16), Seq: uint16(rest),
	}, gopacket.Payload(quoted))
}

// altered is a copy of a packet with one octet of it changed.
func altered(b []byte, at int) []byte {
	b = append([]byte(nil), b...)
	b[at] ^= 0x20
	return b
}

// TestHardICMPErrorEndsTheDial: SHLD-26. The error is the one by which Linux names it.
func TestHardICMPErrorEndsTheDial(t *testing.T) {
	for _, test := range []struct {
		to        string
		typ, code uint8
		errno     syscall.Errno
	}{
		{"10.77.0.1:80", 3, 2, syscall.ENOPROTOOPT},
		{"10.77.0.1:80", 3, 3, syscall.ECONNREFUSED},
		{"10.77.0.1:80", 3, 9, syscall.ENETUNREACH},
		{"10.77.0.1:80", 3, 10, syscall.EHOSTUNREACH},
		{"10.77.0.1:80", 3, 13, syscall.EHOSTUNREACH},
		{"[fd77::1]:80", 1, 1, syscall.EACCES},
		{"[fd77::1]:80", 1, 4, syscall.ECONNREFUSED},
		{"[fd77::1]:80", 1, 6, syscall.EACCES},
	} {
		t.Run(fmt.Sprintf("%s type %d code %d", test.to, test.typ, test.code), func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				syn, result := w.dialing(test.to)
				w.raw(icmpError(test.typ, test.code, 0, syn))
				wantErr(t, <-result, test.errno, "dial tcp "+test.to+": connect: "+test.errno.Error())
				noConns(t, w.s)
				w.want()
			})
		})
	}
}

// dialing starts a dial from the stack to the wire and returns its SYN and its result.
func (w *wire) dialing(to string) (syn []byte, result chan error) {
	w.t.Helper()
	result = make(chan error, 1)
	go func() {
		_, err := w.s.Dial("tcp", to)
		result <- err
	}()
	return <-w.sent, result
}

// softErrors are those that may pass.
var softErrors = []struct {
	to        string
	typ, code uint8
	errno     syscall.Errno
}{
	{"10.77.0.1:80", 3, 0, syscall.ENETUNREACH},
	{"10.77.0.1:80", 3, 1, syscall.EHOSTUNREACH},
	{"10.77.0.1:80", 3, 5, syscall.EOPNOTSUPP},
	{"10.77.0.1:80", 3, 12, syscall.EHOSTUNREACH},
	{"10.77.0.1:80", 11, 0, syscall.EHOSTUNREACH},
	{"10.77.0.1:80", 11, 1, syscall.EHOSTUNREACH},
	{"10.77.0.1:80", 12, 0, syscall.EPROTO},
	{"[fd77::1]:80", 1, 0, syscall.ENETUNREACH},
	{"[fd77::1]:80", 1, 3, syscall.EHOSTUNREACH},
	{"[fd77::1]:80", 3, 0, syscall.EHOSTUNREACH},
	{"[fd77::1]:80", 4, 0, syscall.EPROTO},
}

// TestSoftICMPErrorLeavesTheDialAlone: MUST-56: the SYN goes again. What was wrong can be
// seen meanwhile (MUST-47, SHLD-25), and is what Dial returns when it gives up.
func TestSoftICMPErrorLeavesTheDialAlone(t *testing.T) {
	for _, test := range softErrors {
		t.Run(fmt.Sprintf("%s type %d code %d", test.to, test.typ, test.code), func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				start := time.Now()
				syn, result := w.dialing(test.to)
				w.raw(icmpError(test.typ, test.code, 0, syn))
				w.want() // nothing at once
				conns := w.s.Conns()
				if len(conns) != 1 || conns[0].State != tcp.StateSynSent || conns[0].SoftError != test.errno.Error() {
					t.Errorf("connections: %+v", conns)
				}
				wantErr(t, <-result, test.errno, "dial tcp "+test.to+": connect: "+test.errno.Error())
				if tried := time.Since(start); tried != 247*time.Second || len(w.sent) != 7 {
					t.Errorf("given up after %v and %d more SYNs", tried, len(w.sent))
				}
			})
		})
	}
}

// TestICMPErrorThatMatchesNothingIsIgnored: MUST-54, MUST-55: what does not quote ports and
// sequence number of something in flight is anybody's guess.
func TestICMPErrorThatMatchesNothingIsIgnored(t *testing.T) {
	for name, forge := range map[string]func(syn []byte) []byte{
		"wrong sequence number": func(syn []byte) []byte { return icmpError(3, 3, 0, altered(syn, 24)) },
		"wrong source port":     func(syn []byte) []byte { return icmpError(3, 3, 0, altered(syn, 21)) },
		"wrong destination":     func(syn []byte) []byte { return icmpError(3, 3, 0, altered(syn, 23)) },
		"wrong peer":            func(syn []byte) []byte { return icmpError(3, 3, 0, altered(syn, 19)) },
		"quote too short":       func(syn []byte) []byte { return icmpError(3, 3, 0, syn[:27]) },
		"source quench":         func(syn []byte) []byte { return icmpError(4, 0, 0, syn) },
		"redirect":              func(syn []byte) []byte { return icmpError(5, 1, 0x0a4d0009, syn) },
		"fragmentation needed for a SYN": func(syn []byte) []byte {
			return icmpError(3, 4, 1400, syn) // nothing that we send is larger than 536 yet
		},
	} {
		t.Run(name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				syn, result := w.dialing("10.77.0.1:80")
				w.raw(forge(syn))
				w.wantDrop("icmp_ignored")
				if conns := w.s.Conns(); len(conns) != 1 || conns[0].State != tcp.StateSynSent || conns[0].SoftError != "" {
					t.Errorf("connections: %+v", conns)
				}
				w.s.Close()
				<-result
			})
		})
	}
}

// accepted is a connection from the wire to port 80 of the stack that has taken mss.
func (w *wire) accepted(six bool, mss uint16) (c *Conn, from, to netip.AddrPort, iss uint32) {
	w.t.Helper()
	l, err := w.s.Listen("tcp", ":80")
	if err != nil {
		w.t.Fatal(err)
	}
	client, server := pairOf(six)
	from, to = ap(client, 1000), ap(server, 80)
	syn := &layers.TCP{SrcPort: 1000, DstPort: 80, Seq: 100, Window: 65535, SYN: true, Options: []layers.TCPOption{{
		OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: binary.BigEndian.AppendUint16(nil, mss),
	}}}
	w.raw(packet(client, server, syn))
	h := tcpOf(<-w.sent)
	w.raw(tcpPacket(from, to, "A", 101, h.Seq+1, ""))
	w.want()
	return accept(w.t, l.(*Listener)), from, to, h.Seq
}

// tcpOf reads the TCP header and payload of a packet that the stack sent.
func tcpOf(b []byte) *layers.TCP {
	first := gopacket.Decoder(layers.LayerTypeIPv4)
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	return gopacket.NewPacket(b, first, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
}

// TestICMPErrorLeavesEstablishedConnectionAlone: RFC 5927, 5.2: hard ones too. The error
// can be seen until something is acknowledged.
func TestICMPErrorLeavesEstablishedConnectionAlone(t *testing.T) {
	for _, code := range []uint8{0, 1, 2, 3, 5, 9, 10, 13} {
		withWire(t, serverConfig(), func(t *testing.T, w *wire) {
			c, from, to, iss := w.accepted(false, 1460)
			c.Write([]byte("x"))
			if err := c.SoftError(); err != nil {
				t.Errorf("SoftError is %v before anything went wrong", err)
			}
			w.raw(icmpError(3, code, 0, <-w.sent))
			w.want()
			if st, err := c.Info().State, c.SoftError(); st != tcp.StateEstablished || err == nil {
				t.Errorf("code %d: state %v, soft error %v", code, st, err)
			}
			w.raw(tcpPacket(from, to, "A", 101, iss+2, ""))
			if err := c.SoftError(); err != nil {
				t.Errorf("code %d: SoftError is %v after an acknowledgment", code, err)
			}
			w.raw(icmpError(3, code, 0, altered(tcpPacket(to, from, "A", iss+2, 101, ""), 0)[:28]))
			if err := c.SoftError(); err != nil {
				t.Errorf("code %d: heeded with nothing in flight", code)
			}
		})
	}
}

// TestTimeoutTellsTheSoftError: as on Linux, a connection that is given up says why if
// somebody has said so.
func TestTimeoutTellsTheSoftError(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		c, from, _, _ := w.accepted(false, 1460)
		c.SetUserTimeout(time.Minute)
		c.Write([]byte("x"))
		w.raw(icmpError(3, 1, 0, <-w.sent))
		_, err := c.Read(make([]byte, 1))
		wantErr(t, err, syscall.EHOSTUNREACH, fmt.Sprintf("read tcp 10.77.0.2:80->%v: read: no route to host", from))
	})
}

// TestTroubledConnectionSaysSo: SHLD-9, MUST-47: from R1 on, with nobody else saying what
// is wrong, until the peer answers.
func TestTroubledConnectionSaysSo(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		c, from, to, iss := w.accepted(false, 1460)
		c.Write([]byte("x"))
		<-w.sent
		for n := range 3 {
			if err := c.SoftError(); err != nil {
				t.Errorf("%v after %d retransmissions", err, n)
			}
			<-w.sent
		}
		synctest.Wait()
		if err := c.SoftError(); err != tcp.ErrTroubled {
			t.Errorf("SoftError is %v after three retransmissions", err)
		}
		w.raw(tcpPacket(from, to, "A", 101, iss+2, ""))
		if err := c.SoftError(); err != nil {
			t.Errorf("SoftError is %v after the answer", err)
		}
	})
}

// sizes are the lengths of the IP packets with data that the stack has sent.
func (w *wire) sizes() string {
	w.t.Helper()
	synctest.Wait()
	var sizes []string
	for len(w.sent) > 0 {
		b := <-w.sent
		describe(w.t, b)
		sizes = append(sizes, fmt.Sprint(len(b)))
	}
	return strings.Join(sizes, " ")
}

// TestPacketTooBigShrinksSegmentsAtOnce: RFC 1191, RFC 8201. It is remembered for the
// destination, and what we announce stays the interface's (MUST-67).
func TestPacketTooBigShrinksSegmentsAtOnce(t *testing.T) {
	for _, test := range []struct {
		six           bool
		mss           uint16
		typ, code     uint8
		before, after string
		later         string
	}{
		{false, 1460, 3, 4, "1500 1500", "1300 1300 440", "1300 1300 440"},
		{true, 1440, 2, 0, "1500 1500", "1300 1300 460", "1300 1300 460"},
	} {
		withWire(t, serverConfig(), func(t *testing.T, w *wire) {
			client, _ := pairOf(test.six)
			c, _, _, _ := w.accepted(test.six, test.mss)
			c.Write(make([]byte, 2*int(test.mss)))
			synctest.Wait()
			first := <-w.sent
			if rest := w.sizes(); fmt.Sprint(len(first))+" "+rest != test.before {
				t.Fatalf("packets of %d %s bytes, want %s", len(first), rest, test.before)
			}
			w.raw(icmpError(test.typ, test.code, 1300, first[:100]))
			if got := w.sizes(); got != test.after {
				t.Errorf("packets of %s bytes after the error, want %s", got, test.after)
			}
			// Another connection to the same host, the stack being the one that dials.
			dialed := make(chan *Conn)
			go func() {
				c, err := w.s.Dial("tcp", ap(client, 81).String())
				if err != nil {
					t.Error(err)
				}
				dialed <- c.(*Conn)
			}()
			syn := tcpOf(<-w.sent)
			if got := binary.BigEndian.Uint16(syn.Options[0].OptionData); got != test.mss {
				t.Errorf("an MSS of %d was announced, want %d", got, test.mss)
			}
			answer := &layers.TCP{SrcPort: 81, DstPort: syn.SrcPort, Seq: 7, Ack: syn.Seq + 1, Window: 65535, SYN: true, ACK: true,
				Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: syn.Options[0].OptionData}}}
			_, server := pairOf(test.six)
			w.raw(packet(client, server, answer))
			other := <-dialed
			<-w.sent // the ACK
			other.Write(make([]byte, 2*int(test.mss)))
			if got := w.sizes(); got != test.later {
				t.Errorf("packets of %s bytes from a later connection, want %s", got, test.later)
			}
		})
	}
}

// TestImplausiblePacketTooBigIsIgnored: RFC 5927, 7.2; RFC 1191, 3; RFC 8201, 4.
func TestImplausiblePacketTooBigIsIgnored(t *testing.T) {
	for _, test := range []struct {
		name string
		six  bool
		mtu  uint32
		at   int // of the quote, to be altered; 0: none
	}{
		{"IPv4 below 68", false, 67, 0},
		{"IPv4 as large as what we send", false, 1500, 0},
		{"IPv4 larger", false, 65535, 0},
		{"IPv4 wrong sequence number", false, 1300, 24},
		{"IPv4 wrong port", false, 1300, 23},
		{"IPv6 below 1280", true, 1279, 0},
		{"IPv6 zero", true, 0, 0},
		{"IPv6 as large as what we send", true, 1500, 0},
		{"IPv6 larger", true, 1 << 31, 0},
		{"IPv6 wrong sequence number", true, 1300, 44},
	} {
		t.Run(test.name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				mss, typ, code := uint16(1460), uint8(3), uint8(4)
				if test.six {
					mss, typ, code = 1440, 2, 0
				}
				c, _, _, _ := w.accepted(test.six, mss)
				c.Write(make([]byte, mss))
				quoted := <-w.sent
				if test.at != 0 {
					quoted = altered(quoted, test.at)
				}
				w.raw(icmpError(typ, code, test.mtu, quoted[:100]))
				w.wantDrop("icmp_ignored")
				c.Write(make([]byte, mss))
				if got := w.sizes(); got != "1500" {
					t.Errorf("packets of %s bytes", got)
				}
			})
		})
	}
}

// TestOldRouterDoesNotSayItsMTU: RFC 1191, 5: 0 stands for the next lower plateau.
func TestOldRouterDoesNotSayItsMTU(t *testing.T) {
	withWire(t, serverConfig(), func(t *testing.T, w *wire) {
		c, _, _, _ := w.accepted(false, 1460)
		c.Write(make([]byte, 1460))
		quoted := <-w.sent
		for _, want := range []string{"1492 48", "1006 526"} {
			w.raw(icmpError(3, 4, 0, quoted[:28]))
			synctest.Wait()
			quoted = <-w.sent
			if got := fmt.Sprint(len(quoted), " ", w.sizes()); got != want {
				t.Errorf("packets of %s bytes, want %s", got, want)
			}
		}
	})
}
