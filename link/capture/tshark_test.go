package capture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/a644562b/portico/link"
	"github.com/google/gopacket/layers"
)

// tshark runs tshark with all checksums verified on the file and returns its lines.
func tshark(t *testing.T, file string, args ...string) []string {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed: the capture is not checked by it (Debian: apt-get install tshark)")
	}
	args = append([]string{"-n", "-r", file, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}, args...)
	cmd := exec.Command("tshark", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.String())
	}
	if len(out) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// faults are the packets that tshark finds fault with.
const faults = `_ws.malformed || ip.checksum.status == "Bad" || tcp.checksum.status == "Bad" || udp.checksum.status == "Bad"`

// saved writes frames through a capture, by one direction and then by the other, and
// returns the name of the file.
func saved(t *testing.T, frames []link.Frame, comment func(Direction, []byte) string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "capture.pcapng")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := newTapped(t, 1, Config{Writer: f, Comment: comment})
	for _, d := range []link.Device{w.dev, w.peer} {
		if n, err := d.Queues()[0].Write(frames); n != len(frames) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	w.receive(0)
	w.close()
	if w.dev.Err() != nil {
		t.Fatal(w.dev.Err())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTsharkFindsNoFault(t *testing.T) {
	payload := make([]byte, 5000)
	for i := range payload {
		payload[i] = byte(i)
	}
	var frames []link.Frame
	want := 0
	for _, is4 := range []bool{true, false} {
		for _, udp := range []bool{true, false} {
			frames = append(frames, offloaded(t, is4, udp, 999, payload), offloaded(t, is4, udp, 0, payload[:1001]))
			want += 6 + 1
		}
	}
	name := saved(t, frames, nil)
	if all := tshark(t, name); len(all) != 2*want {
		t.Errorf("tshark sees %d packets, want %d", len(all), 2*want)
	}
	if bad := tshark(t, name, "-Y", faults); len(bad) != 0 {
		t.Errorf("tshark finds fault with %d packets:\n%s", len(bad), strings.Join(bad, "\n"))
	}
	good := tshark(t, name, "-Y", `tcp.checksum.status == "Good" || udp.checksum.status == "Good"`)
	if len(good) != 2*want {
		t.Errorf("tshark calls the checksums of %d packets good, want %d", len(good), 2*want)
	}
}

// Without this, the test above could not be trusted to fail.
func TestTsharkFindsTheFaultThatIsThere(t *testing.T) {
	b := ipPacket(t, true, layers.IPProtocolTCP, &layers.TCP{SrcPort: 1, DstPort: 2, SYN: true}, nil)
	b[36] ^= 1
	name := saved(t, []link.Frame{{Data: b}}, nil)
	if bad := tshark(t, name, "-Y", faults); len(bad) != 2 {
		t.Errorf("tshark finds fault with %d packets, want 2", len(bad))
	}
}

func TestTsharkShowsCommentsAndDirections(t *testing.T) {
	b := ipPacket(t, true, layers.IPProtocolTCP, &layers.TCP{SrcPort: 1, DstPort: 2, SYN: true}, nil)
	name := saved(t, []link.Frame{{Data: b}}, func(dir Direction, p []byte) string {
		return fmt.Sprintf("%v: SYN-SENT → ESTABLISHED, %d bytes", dir, len(p))
	})
	got := tshark(t, name, "-T", "fields", "-E", "separator=|", "-e", "frame.packet_flags_direction", "-e", "frame.comment", "-e", "frame.interface_name", "-e", "tcp.flags.syn")
	want := "0x00000002|out: SYN-SENT → ESTABLISHED, 40 bytes|tap0|1\n0x00000001|in: SYN-SENT → ESTABLISHED, 40 bytes|tap0|1"
	if strings.Join(got, "\n") != want {
		t.Errorf("tshark shows\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}
