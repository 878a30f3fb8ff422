package stack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/a644562b/portico/link/impair"
	"github.com/a644562b/portico/link/pipe"
)

// noise is n bytes no two stretches of which are alike.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}).Read(b)
	return b
}

// fragmentsOf cuts a packet without options into fragments of at most size bytes of data,
// by means of the test's own.
func fragmentsOf(packet []byte, id uint32, size int) [][]byte {
	four := packet[0]>>4 == 4
	header := 40
	if four {
		header = 20
	}
	body := packet[header:]
	var list [][]byte
	for at := 0; at < len(body); at += size {
		end := min(at+size, len(body))
		b := bytes.Clone(packet[:header])
		field := uint16(at)
		if four {
			field = uint16(at / 8)
		}
		more := end < len(body)
		switch {
		case four:
			if more {
				field |= 0x2000
			}
			binary.BigEndian.PutUint16(b[2:], uint16(header+end-at))
			binary.BigEndian.PutUint16(b[4:], uint16(id))
			binary.BigEndian.PutUint16(b[6:], field)
			b[10], b[11] = 0, 0
			binary.BigEndian.PutUint16(b[10:], ^plainSum(b))
		default:
			if more {
				field |= 1
			}
			binary.BigEndian.PutUint16(b[4:], uint16(8+end-at))
			b = append(b, b[6], 0, byte(field>>8), byte(field))
			b = binary.BigEndian.AppendUint32(b, id)
			b[6] = 44
		}
		list = append(list, append(b, body[at:end]...))
	}
	return list
}

// joined puts the fragments that the stack has sent together, again by means of the test's
// own, and fails when they are not of one datagram in order without a hole, or longer than
// mtu.
func (w *wire) joined(mtu int) []byte {
	w.t.Helper()
	synctest.Wait()
	var body []byte
	id, more := int64(-1), true
	for more {
		if len(w.sent) == 0 {
			w.t.Fatalf("no fragment behind %d bytes", len(body))
		}
		b := <-w.sent
		if len(b) > mtu {
			w.t.Fatalf("a fragment of %d bytes", len(b))
		}
		var thisID int64
		var offset int
		header := 48
		if b[0]>>4 == 4 {
			header = 20
			if plainSum(b[:20]) != 0xffff {
				w.t.Fatal("wrong header checksum")
			}
			field := binary.BigEndian.Uint16(b[6:])
			if field&0x4000 != 0 {
				w.t.Fatal("don't fragment on a fragment")
			}
			thisID, offset, more = int64(binary.BigEndian.Uint16(b[4:])), int(field&0x1fff)*8, field&0x2000 != 0
		} else {
			if b[6] != 44 {
				w.t.Fatalf("next header %d", b[6])
			}
			field := binary.BigEndian.Uint16(b[42:])
			thisID, offset, more = int64(binary.BigEndian.Uint32(b[44:])), int(field&^7), field&1 != 0
		}
		if id >= 0 && id != thisID || offset != len(body) {
			w.t.Fatalf("identification %d after %d, offset %d after %d bytes", thisID, id, offset, len(body))
		}
		id = thisID
		body = append(body, b[header:]...)
	}
	if len(w.sent) != 0 {
		w.t.Fatalf("%d more packets", len(w.sent))
	}
	return body
}

// Datagrams up to the longest cross a wire of 1500, both ways at once.
func TestDatagramsOfEverySizeCross(t *testing.T) {
	withHosts(t, func(t *testing.T, h *hosts) {
		for address, longest := range map[string]int{"10.77.0.2:53": 65507, "[fd77::2]:53": 65527} {
			u := h.listenPacket(t, h.server, "udp", address)
			c := h.dialUDP(t, address)
			got := make([]byte, 65536)
			for _, n := range []int{0, 1, 1452, 1453, 1472, 1473, 2960, 4096, 9000, 65000, longest} {
				payload := noise(n)
				if _, err := c.Write(payload); err != nil {
					t.Fatalf("%d bytes to %s: %v", n, address, err)
				}
				m, from, err := u.ReadFrom(got)
				if err != nil || !bytes.Equal(got[:m], payload) {
					t.Fatalf("%d bytes to %s: read %d, %v", n, address, m, err)
				}
				if _, err := u.WriteTo(payload, from); err != nil {
					t.Fatal(err)
				}
				if m, err := c.Read(got); err != nil || !bytes.Equal(got[:m], payload) {
					t.Fatalf("%d bytes back from %s: read %d, %v", n, address, m, err)
				}
			}
		}
	})
}

// A wire that loses nothing but swaps and doubles everything changes nothing.
func TestFragmentsCrossAWireThatReorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe.New(pipe.Config{})
		dev, err := impair.Wrap(a, impair.Config{Seed: 1, Delay: time.Millisecond, Reorder: 0.3, Duplicate: 0.3}, impair.Config{})
		if err != nil {
			t.Fatal(err)
		}
		h := newHostsOn(t, dev, b, clientConfig(), serverConfig())
		defer h.close()
		for _, address := range []string{"10.77.0.2:53", "[fd77::2]:53"} {
			u := h.listenPacket(t, h.server, "udp", address)
			c := h.dialUDP(t, address)
			payload := noise(20000)
			for i := range 20 {
				payload[0] = byte(i)
				if _, err := c.Write(payload); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 65536)
				n, _, err := u.ReadFrom(got)
				if err != nil || !bytes.Equal(got[:n], payload) {
					t.Fatalf("datagram %d: %d bytes, %v", i, n, err)
				}
				<-time.After(time.Second) // virtual: let the duplicates pass
			}
		}
		if n := h.server.Stats().Drops["ip_fragment_duplicate"]; n == 0 {
			t.Error("nothing was doubled: the test shows nothing")
		}
	})
}

func TestEchoInFragments(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		for _, n := range []int{1600, 20000, 65507} {
			data := string(noise(n))
			pieces := fragmentsOf(echoPacket(client, server, 7, 9, data), uint32(n), 1400)
			rand.New(rand.NewPCG(1, uint64(n))).Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
			for _, p := range pieces {
				w.raw(p)
			}
			reply := w.joined(1500)
			if len(reply) != 8+n || string(reply[8:]) != data || reply[0] != map[bool]byte{true: 0, false: 129}[server.Is4()] {
				t.Errorf("%d bytes: a reply of type %d and %d bytes", n, reply[0], len(reply))
			}
		}
	})
}

// RFC 792 and RFC 4443, section 3.3: told after 60 s, and only if the first piece came.
func TestMissingFragmentsAreTold(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		pieces := fragmentsOf(udpPacket(ap(client, 1000), ap(server, 53), string(noise(4000))), 1, 1400)
		others := fragmentsOf(udpPacket(ap(client, 1000), ap(server, 53), string(noise(4000))), 2, 1400)
		w.raw(pieces[0])
		w.raw(pieces[2])
		w.raw(others[1])
		w.raw(others[2])
		<-time.After(60*time.Second - 1)
		w.want()
		<-time.After(1)
		what := `TimeExceeded(FragmentReassemblyTimeExceeded) 0/0 "548 bytes"`
		if server.Is6() {
			what = `TimeExceeded(FragmentReassemblyTimeExceeded) "1236 bytes"`
		}
		w.want(fmt.Sprintf("%v>%v ICMP %s", server, client, what))
		if n := w.s.Stats().Drops["ip_reassembly_timeout"]; n != 2 {
			t.Errorf("%d datagrams counted", n)
		}
		// The rest of it comes too late and is another datagram.
		w.raw(pieces[1])
		w.want()
	})
}

func TestFragmentsOfOthersAreNoneOfOurBusiness(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		other := netip.MustParseAddr("10.77.0.9")
		if server.Is6() {
			other = netip.MustParseAddr("fd77::9")
		}
		for _, p := range fragmentsOf(udpPacket(ap(client, 1000), ap(other, 53), string(noise(4000))), 1, 1400) {
			w.raw(p)
		}
		for _, p := range fragmentsOf(udpPacket(ap(server, 1000), ap(server, 53), string(noise(4000))), 1, 1400) {
			w.raw(p)
		}
		<-time.After(2 * time.Minute)
		w.want()
		if d := w.s.Stats().Drops; d["not_for_us"] != 3 || d["own_source"] != 3 || len(d) != 2 {
			t.Errorf("drops %v", d)
		}
	})
}

// 10,000 datagrams that are never finished, from as many sources: pings that come in
// fragments meanwhile are answered, and memory stays within its bound.
func TestFloodOfFragmentsLeavesHonestTrafficAlone(t *testing.T) {
	bothFamilies(t, func(t *testing.T, w *wire, client, server netip.Addr) {
		for i := range 10000 {
			a := client.AsSlice()
			a[len(a)-2], a[len(a)-1] = byte(i>>8), byte(i)
			if server.Is4() {
				a[1] = 9
			}
			from, _ := netip.AddrFromSlice(a)
			w.raw(fragmentsOf(udpPacket(ap(from, 1000), ap(server, 53), "0123456789abcdef0123456789abcdef"), uint32(i), 24)[0])
			if i%1000 == 999 {
				data := string(noise(3000))
				for _, p := range fragmentsOf(echoPacket(client, server, 7, 9, data), uint32(i), 1400) {
					w.raw(p)
				}
				if reply := w.joined(1500); string(reply[8:]) != data {
					t.Error("the reply is another")
				}
			}
		}
		if n := w.s.Stats().Drops["ip_reassembly_evicted"]; n < 10000-4096 {
			t.Errorf("%d evicted", n)
		}
		<-time.After(2 * time.Minute)
		// Who sent them is told, within the rate of errors.
		if n := len(w.sent); n == 0 || n > 60 {
			t.Errorf("%d errors", n)
		}
		for len(w.sent) > 0 {
			<-w.sent
		}
	})
}

// What a header is dropped for is told where the RFCs want it: RFC 1122, section 3.2.2.5;
// RFC 8200, sections 4 to 4.5; RFC 7112; RFC 8883.
func TestParameterProblems(t *testing.T) {
	udp4 := func(options ...byte) []byte {
		b := packet(client4, server4, &layers.UDP{SrcPort: 1, DstPort: 9}, gopacket.Payload("12345678"))
		b = append(append(bytes.Clone(b[:20]), options...), b[20:]...)
		b[0] += byte(len(options) / 4)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^plainSum(b[:20+len(options)]))
		return b
	}
	chain6 := func(dst string, next byte, chain ...byte) []byte {
		b := append([]byte{0x60, 0, 0, 0, 0, byte(len(chain)), next, 64}, client6.AsSlice()...)
		b = append(b, netip.MustParseAddr(dst).AsSlice()...)
		return append(b, chain...)
	}
	const us, group = "fd77::2", "ff02::1"
	port := []byte{0, 1, 0, 9, 0, 8, 0, 0}
	with := func(b ...byte) []byte { return append(b, port...) }
	icmp := func(b ...byte) []byte { return append(b, 1, 4, 0, 0, 0, 0, 0, 0) }
	for _, test := range []struct {
		name, drop string
		packet     []byte
		code, at   int // of the parameter problem; code -1: none
	}{
		{"IPv4 option without its length", "ip_options", udp4(1, 1, 1, 7), 0, 23},
		{"IPv4 option too long", "ip_options", udp4(7, 5, 4, 0), 0, 21},
		{"IPv4 option of length 1", "ip_options", udp4(1, 7, 1, 0), 0, 22},
		{"IPv4 source route that points before itself", "ip_options", udp4(131, 7, 3, 10, 0, 0, 9, 0), 0, 22},
		{"IPv4 source route to go on", "ip_source_route", udp4(131, 7, 4, 10, 0, 0, 9, 0), -1, 0},

		{"option: drop", "ip_unknown_option", chain6(us, 60, with(17, 0, 0x40, 4, 0, 0, 0, 0)...), -1, 0},
		{"option: tell", "ip_unknown_option", chain6(us, 60, with(17, 0, 0x80, 4, 0, 0, 0, 0)...), 2, 42},
		{"option: tell unless group", "ip_unknown_option", chain6(us, 60, with(17, 0, 1, 0, 0xc0, 2, 0, 0)...), 2, 44},
		{"option: drop, in hop-by-hop", "ip_unknown_option", chain6(us, 0, with(17, 0, 0x40, 4, 0, 0, 0, 0)...), -1, 0},
		{"option: tell, in hop-by-hop", "ip_unknown_option", chain6(us, 0, with(17, 0, 0x80, 4, 0, 0, 0, 0)...), 2, 42},
		{"group, option: drop", "ip_unknown_option", chain6(group, 60, with(17, 0, 0x40, 4, 0, 0, 0, 0)...), -1, 0},
		{"group, option: tell", "ip_unknown_option", chain6(group, 60, with(17, 0, 0x80, 4, 0, 0, 0, 0)...), 2, 42},
		{"group, option: tell unless group", "ip_unknown_option", chain6(group, 60, with(17, 0, 0xc0, 4, 0, 0, 0, 0)...), -1, 0},
		{"others, option: tell", "ip_unknown_option", chain6("fd77::9", 60, with(17, 0, 0x80, 4, 0, 0, 0, 0)...), -1, 0},
		{"option in an error: tell", "ip_unknown_option", chain6(us, 60, icmp(58, 0, 0x80, 4, 0, 0, 0, 0)...), -1, 0},
		{"option beyond its header", "ip_extension", chain6(us, 60, with(17, 0, 1, 5, 0, 0, 0, 0)...), 0, 43},
		{"header beyond the packet", "ip_extension", chain6(us, 60, with(17, 9, 1, 4, 0, 0, 0, 0)...), 0, 41},
		{"routing type 0 to go on", "ip_source_route", chain6(us, 43, with(17, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)...), 0, 42},
		{"segment routing to go on", "ip_source_route", chain6(us, 43, with(17, 2, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)...), 0, 42},
		{"hop-by-hop second", "protocol_unknown", chain6(us, 60, with(0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0)...), 1, 40},
		{"authentication", "protocol_unknown", chain6(us, 51, with(17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1)...), 1, 6},
		{"encryption", "protocol_unknown", chain6(us, 50, with(0, 0, 0, 1, 0, 0, 0, 1)...), 1, 6},
		{"no next header", "ip_no_next_header", chain6(us, 59, port...), -1, 0},
		{"seventeen headers", "ip_too_many_extensions", chain6(us, 60, with(append(bytes.Repeat([]byte{60, 0, 1, 4, 0, 0, 0, 0}, 16), 17, 0, 1, 4, 0, 0, 0, 0)...)...), 8, 40 + 128},
		{"nine options", "ip_too_many_options", chain6(us, 60, with(append([]byte{17, 2}, append(bytes.Repeat([]byte{0x1e, 0}, 9), 0, 0, 0, 0)...)...)...), 9, 58},
		{"fragment of 7 bytes", "ip_fragment_length", chain6(us, 44, 17, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7), 0, 4},
		{"fragment beyond 65,535", "ip_fragment_too_long", chain6(us, 44, with(17, 0, 0xff, 0xf8, 0, 0, 0, 1)...), 0, 42},
		{"first fragment without UDP's header", "ip_fragment_chain", chain6(us, 44, 60, 0, 0, 1, 0, 0, 0, 1, 17, 0, 1, 4, 0, 0, 0, 0), 3, 0},
		{"fragment to a group of 7 bytes", "ip_fragment_length", chain6(us, 44, 17, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7), 0, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			withWire(t, serverConfig(), func(t *testing.T, w *wire) {
				w.raw(test.packet)
				if n := w.s.Stats().Drops[test.drop]; n != 1 {
					t.Errorf("drops %v, want %s", w.s.Stats().Drops, test.drop)
				}
				if test.code < 0 {
					w.want()
					return
				}
				if len(w.sent) != 1 {
					t.Fatalf("%d packets sent", len(w.sent))
				}
				b := <-w.sent
				describe(t, b) // verifies its sums
				icmp := b[40:]
				typ, pointer := byte(4), binary.BigEndian.Uint32(b[44:])
				from, to := server6, client6
				if b[0]>>4 == 4 {
					icmp, typ, pointer = b[20:], 12, uint32(b[24])
					from, to = server4, client4
				}
				if icmp[0] != typ || int(icmp[1]) != test.code || int(pointer) != test.at || !bytes.Equal(icmp[8:], test.packet) {
					t.Errorf("type %d code %d pointer %d, %d bytes; want type %d code %d pointer %d", icmp[0], icmp[1], pointer, len(icmp)-8, typ, test.code, test.at)
				}
				if src, dst := addressesOf(b); src != from || dst != to {
					t.Errorf("from %v to %v", src, dst)
				}
			})
		})
	}
}

func addressesOf(b []byte) (src, dst netip.Addr) {
	if b[0]>>4 == 4 {
		src, _ = netip.AddrFromSlice(b[12:16])
		dst, _ = netip.AddrFromSlice(b[16:20])
		return src, dst
	}
	src, _ = netip.AddrFromSlice(b[8:24])
	dst, _ = netip.AddrFromSlice(b[24:40])
	return src, dst
}
