package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

func TestWhatASampleBelongsTo(t *testing.T) {
	const p = "github.com/a644562b/portico/"
	for _, tc := range []struct {
		want  share
		stack string // the innermost first
	}{
		{writing, "internal/runtime/syscall/linux.Syscall6 syscall.RawSyscall6 golang.org/x/sys/unix.writev golang.org/x/sys/unix.Writev " + p + "link/tun.(*writer).writev"},
		{reading, "internal/runtime/syscall/linux.Syscall6 golang.org/x/sys/unix.Readv " + p + "link/tun.(*queue).readPacket " + p + "stack.(*engine).run"},
		{writing, "syscall.RawSyscall main.writev main.(*vnetEndpoint).WritePackets gvisor.dev/gvisor/pkg/tcpip/stack.(*nic).writePacket"},
		{reading, "syscall.RawSyscall main.(*vnetEndpoint).read.func1 internal/poll.(*FD).RawRead os.(*rawConn).Read main.(*vnetEndpoint).read"},
		{copying, "runtime.memmove " + p + "internal/buffer.(*Send).Append " + p + "tcp.(*TCB).Write"},
		{protocol, "runtime.nanotime " + p + "tcp.(*TCB).Next " + p + "stack.(*Conn).settle"},
		{protocol, p + "tcp.(*TCB).Next " + p + "stack.(*Conn).settle"},
		{rest, "sync.(*Pool).Get " + p + "stack.getOutbox " + p + "stack.(*Conn).call"},
		{rest, p + "internal/buffer.(*Send).Append " + p + "tcp.(*TCB).Write"},
		{rest, "gvisor.dev/gvisor/pkg/tcpip/transport/tcp.(*Endpoint).Write"},
		{work, "runtime.mapaccess1_faststr net/textproto.MIMEHeader.Get net/http.(*conn).serve"},
		{work, p + "scripts/peers/internal/services.echo"},
		{memory, "runtime.nextFreeFast runtime.mallocgc runtime.newobject net/http.readRequest"},
		{memory, "runtime.scanobject runtime.gcDrain runtime.gcBgMarkWorker.func2 runtime.gcBgMarkWorker"},
		{switching, "runtime.futex runtime.futexwakeup runtime.wakep runtime.ready runtime.goready " + p + "stack.(*Conn).settle"},
		{switching, "internal/runtime/syscall/linux.Syscall6 runtime.netpoll runtime.findRunnable runtime.schedule runtime.park_m runtime.mcall"},
		{switching, "runtime.sysmon"},
	} {
		if got := shareOf(strings.Fields(tc.stack)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.stack, titles[got], titles[tc.want])
		}
	}
}

func TestRowOfAProfile(t *testing.T) {
	p := &profile.Profile{
		SampleType:    []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType:    &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		DurationNanos: 2e9,
	}
	add := func(function string, ns int64) {
		id := uint64(len(p.Function) + 1)
		f := &profile.Function{ID: id, Name: function}
		l := &profile.Location{ID: id, Line: []profile.Line{{Function: f}}}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
		p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{1, ns}})
	}
	add("golang.org/x/sys/unix.Writev", 1.2e9)
	add("runtime.memmove", 0.3e9)
	add("github.com/a644562b/portico/tcp.(*TCB).Next", 0.9e9)
	add("net/http.(*conn).serve", 0.6e9)
	name := filepath.Join(t.TempDir(), "portico-rr-32.pb.gz")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	var b strings.Builder
	if err := row(&b, name); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "| portico-rr-32 | 1.50 | 40 % | 0 % | 10 % | 30 % | 0 % | 20 % | 0 % | 0 % |\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := os.WriteFile(name, []byte("not a profile"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := row(&b, name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v, want one that names the file", err)
	}
}
