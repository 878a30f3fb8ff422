package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/internal/sim"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/spf13/cobra"
)

// porticoSim runs `portico sim` with these arguments.
func porticoSim(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	root := &cobra.Command{Use: "portico", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(newSim())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return &usageError{cmd.CommandPath(), err} })
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetIn(strings.NewReader(stdin))
	root.SetArgs(append([]string{"sim"}, args...))
	code = report(&errs, root.Execute())
	return code, out.String(), errs.String()
}

// short is a run that takes a moment.
var short = []string{"--rate", "10mbit", "--rtt", "20ms", "--bytes", "1MB"}

func TestSimTellsWhatCameOfIt(t *testing.T) {
	code, stdout, stderr := porticoSim("", append(short, "--loss", "1%", "--flows", "2", "--cc", "cubic,newreno")...)
	if code != exitOK || stderr != "" {
		t.Fatalf("%d, %q", code, stderr)
	}
	for _, want := range []string{"cubic, newreno", "down 10 Mbit/s", "goodput", "needed", "spurious", "Jain", "1 MB"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
}

// The same arguments give the same bytes, in every format; another seed others.
func TestSimIsRepeatable(t *testing.T) {
	dir := t.TempDir()
	all := func(name, seed string) (out string) {
		svg, pcap := filepath.Join(dir, name+".svg"), filepath.Join(dir, name+".pcapng")
		for _, format := range [][]string{nil, {"--json"}} {
			code, stdout, stderr := porticoSim("", append(append(short, "--loss", "1%", "--seed", seed, "--plot", svg, "--pcap", pcap), format...)...)
			if code != exitOK || stderr != "" {
				t.Fatalf("%d, %q", code, stderr)
			}
			out += stdout
		}
		for _, file := range []string{svg, pcap} {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out += string(b)
		}
		return out
	}
	first := all("a", "3")
	if all("b", "3") != first {
		t.Error("the same arguments give other bytes")
	}
	if all("c", "4") == first {
		t.Error("another seed gives the same bytes")
	}
}

func TestSimJSON(t *testing.T) {
	code, stdout, stderr := porticoSim("", append(short, "--json")...)
	var rep sim.Report
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != exitOK || stderr != "" {
		t.Fatalf("%d, %q, %v", code, stderr, err)
	}
	if len(rep.Flows) != 1 || rep.Flows[0].Delivered != 1_000_000 || rep.Flows[0].TCPRTT == nil || rep.Path[0].Rate != 10_000_000 {
		t.Errorf("%+v", rep)
	}
}

// Flags say what lines say, and replace what the scenario says.
func TestSimFlagsOverrideTheScenario(t *testing.T) {
	scenario := "rate 50mbit\nrtt 10ms\nloss 3%\nblackhole 1s..2s\nflow 2x newreno 5MB\n"
	run := func(args ...string) (rep sim.Report) {
		code, stdout, stderr := porticoSim(scenario, append([]string{"-", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != exitOK {
			t.Fatalf("%v: %d, %q, %v", args, code, stderr, err)
		}
		return rep
	}
	if rep := run(); len(rep.Flows) != 2 || rep.Path[0].Lost == 0 || rep.Path[0].BlackHole == 0 || rep.Flows[0].Congestion != "newreno" {
		t.Errorf("as it is: %+v", rep)
	}
	rep := run("--loss", "0%", "--blackhole", "20s..21s", "--rate", "20mbit down, 10mbit up", "--flow", "cubic 1MB up", "--flow", "newreno 1MB", "--cc", "cubic")
	if len(rep.Flows) != 2 || rep.Path[0].Lost != 0 || rep.Path[0].BlackHole != 0 || rep.Path[1].Rate != 10_000_000 ||
		rep.Flows[0].Way != "up" || rep.Flows[1].Congestion != "cubic" {
		t.Errorf("with flags: %+v", rep)
	}
	if rep := run("--time", "3s", "--flows", "3", "--rate-at", "1s=5mbit", "--rtt-at", "2s=80ms", "--reorder", "2%:5ms", "--loss-burst", "1%:4",
		"--police", "40mbit:50KB", "--drop", "7", "--ecn", "--pacing=off"); rep.Duration != 3*time.Second ||
		len(rep.Flows) != 3 || rep.Path[0].Late == 0 || rep.Path[0].LostBurst == 0 || rep.Path[0].Dropped != 1 {
		t.Errorf("with more flags: %+v", rep)
	}
	if rep := run("--time", "3s", "--measure-from", "1s"); rep.MeasureFrom != time.Second || rep.Flows[0].Measured != 2*time.Second {
		t.Errorf("measured later: %+v", rep)
	}
	if rep := run("--bytes", "200KB", "--time", "60s"); rep.Flows[0].Delivered != 200_000 || !rep.Total.Complete {
		t.Errorf("with bytes: %+v", rep)
	}
}

func TestSimListsAndShowsScenarios(t *testing.T) {
	code, stdout, _ := porticoSim("", "--list")
	for _, name := range sim.Names() {
		if !strings.Contains(stdout, "\n"+name+" ") && !strings.HasPrefix(stdout, name+" ") {
			t.Errorf("%s is not listed", name)
		}
	}
	if code != exitOK {
		t.Error(code)
	}
	code, text, _ := porticoSim("", "lossy", "--show")
	if code != exitOK || !strings.Contains(text, "loss 1% down") {
		t.Errorf("%d %q", code, text)
	}
	file := filepath.Join(t.TempDir(), "mine.txt")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := porticoSim("", file, "--time", "2s"); code != exitOK || !strings.HasPrefix(stdout, "mine.txt: cubic") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
}

func TestSimHelpExplainsEveryLine(t *testing.T) {
	code, stdout, _ := porticoSim("", "--help")
	if code != exitOK {
		t.Error(code)
	}
	for _, u := range sim.Usage() {
		if !strings.Contains(stdout, u[0]) {
			t.Errorf("%q is not in the help", u[0])
		}
		if word, _, _ := strings.Cut(u[0], " "); word != "at" && word != "time" && word != "measure" && !strings.Contains(stdout, "--"+word) {
			t.Errorf("there is no flag for %q", word)
		}
	}
}

// Whatever is wrong is said in one line, with exit code 2, and nothing is written.
func TestSimWrongUsageIsOneLineAndExit2(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"", []string{"nosuch"}, `"nosuch" is neither a file nor a scenario: there are lan,`},
		{"", []string{"lan", "wifi"}, "portico sim takes one SCENARIO"},
		{"", []string{dir}, "cannot read the scenario"},
		{"", []string{"--nonsense"}, "--nonsense"},
		{"", []string{"--rate", "fast"}, `--rate: "fast" is no rate: want one from 1kbit to 10tbit`},
		{"", []string{"--loss", "1x"}, `--loss: "1x" is no share`},
		{"", []string{"--reorder", "2%"}, `--reorder: "by" is missing (as in: 2% by 5ms)`},
		{"", []string{"--rate-at", "10s"}, "--rate-at: neither rate nor rtt follows the time"},
		{"", []string{"--blackhole", "7s..5s"}, `--blackhole: "7s..5s" ends before it has begun`},
		{"", []string{"--cc", "bbr9"}, "--cc: tcp: no congestion control"},
		{"", []string{"--flows", "0"}, "--flows 0: want 1 to 1000"},
		{"", []string{"--bytes", "lots"}, `--bytes: "lots" is no size`},
		{"", []string{"--time", "0s"}, `--time: "0s" is no time to run for`},
		{"", []string{"--ecn=maybe"}, `--ecn: "maybe" is neither on nor off`},
		{"", []string{"--plot", "x.gif"}, `--plot "x.gif": want a file that ends in .svg or .png`},
		{"", []string{"--measure-from", "40s"}, "the measurement starts at 40s, but the run ends at 30s"},
		{"rate 5mbit\nloss five\n", []string{"-"}, `standard input:2: loss: "five" is no share: want one from 0% to 100%, such as 0.5% (as in: loss 0.5% down)`},
		{"lose 5%", []string{"-"}, `standard input:1: "lose" is nothing that a scenario says: want one of rate,`},
	} {
		code, stdout, stderr := porticoSim(c.stdin, c.args...)
		if code != exitUsage || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: %d, stdout %q, stderr %q, want %q", c.args, code, stdout, stderr, c.want)
		}
	}
}

func TestSimThatCannotWriteExits1(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone", "x")
	for _, args := range [][]string{{"--plot", gone + ".svg"}, {"--pcap", gone}} {
		code, stdout, stderr := porticoSim("", append(short, args...)...)
		if code != exitFailed || stdout != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "cannot write") {
			t.Errorf("%v: %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

func TestSimPlots(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.svg", "a.PNG"} {
		file := filepath.Join(dir, name)
		if code, _, stderr := porticoSim("", append(short, "--plot", file)...); code != exitOK {
			t.Fatalf("%d %q", code, stderr)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "svg") {
			d := xml.NewDecoder(bytes.NewReader(b))
			for err == nil {
				_, err = d.Token()
			}
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		} else if _, err := png.Decode(bytes.NewReader(b)); err != nil {
			t.Error(err)
		}
	}
}

// gopacket reads the capture: every packet decodes, its checksum is right, its time is
// virtual, and the losses of the report are commented on.
func TestSimCaptureIsReadable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.pcapng")
	code, stdout, stderr := porticoSim("", append(short, "--drop", "100 200 down", "--ecn", "--mark", "5pkt", "--json", "--pcap", file)...)
	var rep sim.Report
	if err := json.Unmarshal([]byte(stdout), &rep); code != exitOK || err != nil {
		t.Fatalf("%d %q %v", code, stderr, err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for note, want := range map[string]int{"lost on the path: dropped by its number": 2, "retransmission, needed": int(rep.Flows[0].Needed.Segments)} {
		if got := bytes.Count(b, []byte(note)); got != want {
			t.Errorf("%q stands in it %d times, want %d", note, got, want)
		}
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	out, bytesOut, last := 0, 0, simEpoch
	for {
		packet, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Timestamp.Before(last) || info.Timestamp.After(simEpoch.Add(rep.Duration)) {
			t.Fatalf("at %v after %v", info.Timestamp, last)
		}
		last = info.Timestamp
		p := gopacket.NewPacket(packet, layers.LayerTypeIPv4, gopacket.Default)
		if p.ErrorLayer() != nil {
			t.Fatal(p.ErrorLayer().Error())
		}
		ip4, tcp4 := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		checkSums(t, packet, ip4, tcp4)
		if tcp4.SrcPort == 80 && len(tcp4.Payload) > 0 {
			out++
			bytesOut += len(tcp4.Payload)
			if ip4.TOS&3 != ecnECT0 && tcp4.Seq < 1<<31 && out < 5 {
				t.Errorf("data with ECN bits %d", ip4.TOS&3)
			}
		}
	}
	if out != int(rep.Flows[0].Packets) || bytesOut != 1_000_000+int(rep.Flows[0].Needed.Bytes+rep.Flows[0].Spurious.Bytes) {
		t.Errorf("%d packets with %d bytes; the report has %+v", out, bytesOut, rep.Flows[0])
	}
}

// checkSums lets gopacket compute the checksums again.
func checkSums(t *testing.T, packet []byte, ip4 *layers.IPv4, tcp4 *layers.TCP) {
	t.Helper()
	haveIP, haveTCP := ip4.Checksum, tcp4.Checksum
	if err := tcp4.SetNetworkLayerForChecksum(ip4); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, ip4, tcp4, gopacket.Payload(tcp4.Payload)); err != nil {
		t.Fatal(err)
	}
	if ip4.Checksum != haveIP || tcp4.Checksum != haveTCP || !bytes.Equal(buf.Bytes(), packet) {
		t.Fatalf("gopacket makes other bytes of packet %x", packet[:60])
	}
}
