package sample

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// kernel asks the kernel by TCP_INFO.
func kernel(c *net.TCPConn) (l Look, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return l, false
	}
	var info *unix.TCPInfo
	if cerr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); cerr != nil || err != nil {
		return l, false
	}
	return Look{Window: float64(info.Snd_cwnd), Flight: float64(info.Unacked),
		RTT: time.Duration(info.Rtt) * time.Microsecond}, true
}
