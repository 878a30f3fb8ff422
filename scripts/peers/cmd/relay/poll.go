package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ppoll is ppoll(2) without Go's scheduler knowing of it: the thread keeps its place, and
// nobody has to look after it while it sleeps. The scheduler's own way, hand-over and
// return for each of thousands of short sleeps a second, costs more than all the packets.
// GOMAXPROCS must leave places for others.
func ppoll(fds []unix.PollFd, timeout *unix.Timespec) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)),
		uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
	if errno != 0 && errno != unix.EINTR {
		return errno
	}
	return nil
}
