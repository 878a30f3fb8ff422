//go:build e2e

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/serve"
	"github.com/a644562b/portico/ip"
)

// rawSocket sends whole packets, with whatever source they have.
func rawSocket(t *testing.T, dst netip.Addr) func(packet []byte) {
	t.Helper()
	domain, to := syscall.AF_INET, syscall.Sockaddr(&syscall.SockaddrInet4{Addr: [4]byte(dst.AsSlice())})
	if dst.Is6() {
		domain, to = syscall.AF_INET6, &syscall.SockaddrInet6{Addr: dst.As16()}
	}
	sock, err := syscall.Socket(domain, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(sock) })
	return func(packet []byte) {
		t.Helper()
		if err := syscall.Sendto(sock, packet, 0, to); err != nil {
			t.Fatal(err)
		}
	}
}

// fragment is a piece of a UDP datagram, at an offset in bytes, with more to come.
func fragment(src, dst netip.Addr, id uint32, offset int, data []byte) []byte {
	if dst.Is4() {
		b := make([]byte, 20, 20+len(data))
		b[0], b[8], b[9] = 0x45, 64, byte(ip.UDP)
		binary.BigEndian.PutUint16(b[2:], uint16(20+len(data)))
		binary.BigEndian.PutUint16(b[4:], uint16(id))
		binary.BigEndian.PutUint16(b[6:], 0x2000|uint16(offset/8))
		copy(b[12:], src.AsSlice())
		copy(b[16:], dst.AsSlice())
		return append(b, data...) // the kernel fills in the checksum
	}
	b := make([]byte, 48, 48+len(data))
	b[0], b[6], b[7] = 0x60, 44, 64
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	b[40] = byte(ip.UDP)
	binary.BigEndian.PutUint16(b[42:], uint16(offset)|1)
	binary.BigEndian.PutUint32(b[44:], id)
	return append(b, data...)
}

// resident is how much memory the daemon has had at most, in bytes.
func (d *daemon) resident() int {
	d.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		d.t.Fatalf("no VmHWM in\n%s", b)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n << 10
}

// Ten thousand sources begin a datagram each and never finish it. Whoever sends whole ones
// meanwhile, in fragments too, gets every answer, and memory stays within bounds.
func TestE2EHalfFinishedReassembliesHarmNobody(t *testing.T) {
	const (
		sources = 10_000
		pieces  = 11 // of each datagram, which lacks one
		size    = 1400
		most    = 48 << 20 // bytes; all pieces would be 150 MB
	)
	d := startUp(t)
	whole := make([]byte, 8000)
	new(serve.Pattern).Read(whole)
	for _, family := range []struct{ dst, src string }{{"10.77.0.2", "10.200.0.0"}, {"fd77::2", "fd99::"}} {
		dst, src := netip.MustParseAddr(family.dst), netip.MustParseAddr(family.src)
		send := rawSocket(t, dst)
		honest := dialKernel(t, "udp", netip.AddrPortFrom(dst, 7).String())
		honest.SetDeadline(time.Now().Add(patience))
		before := d.resident()
		for i := range sources {
			src = src.Next()
			for piece := range pieces {
				if piece != 1 {
					send(fragment(src, dst, uint32(i), piece*size, whole[:size]))
				}
			}
			if i%25 != 24 {
				continue
			}
			// Also keeps the queue of the TUN from running over.
			if _, err := honest.Write(whole); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(whole)+1)
			if n, err := honest.Read(got); err != nil || !bytes.Equal(got[:n], whole) {
				t.Fatalf("%s, after %d sources: %d bytes came back, %v", family.dst, i+1, n, err)
			}
		}
		grown := d.resident() - before
		t.Logf("%s: %d KiB more", family.dst, grown>>10)
		if grown > most {
			t.Errorf("%s: the daemon has taken %d bytes, want at most %d", family.dst, grown, most)
		}
	}
}
