package demo

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/ladder"
	"github.com/a644562b/portico/cmd/portico/internal/sockstat"
)

// WriteText tells the story to a person.
func (s *Story) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, s.intro())
	fmt.Fprintf(out, "\n  $ %s\n", s.Command)
	for _, line := range s.excerpt() {
		fmt.Fprintln(out, strings.TrimRight("  "+line, " "))
	}
	heading(out, "1. The life of that connection. "+s.subject()+" closes first.")
	if err := s.Ladders[0].WriteText(out, ladder.Text{}); err != nil {
		return err
	}
	heading(out, "2. The other way round: the time of day (port 13), where portico closes first.")
	if err := s.Ladders[1].WriteText(out, ladder.Text{}); err != nil {
		return err
	}
	heading(out, "3. A wire that loses a segment, and a visitor who does not read for a while.")
	fmt.Fprintf(out, troubleIntro, troubleDelay/time.Millisecond, troubleRoom)
	if err := s.Trouble.WriteText(out, ladder.Text{}); err != nil {
		return err
	}
	heading(out, "4. The second request for the page, taken apart in the seven layers of OSI.")
	if err := s.Anatomy.WriteText(out); err != nil {
		return err
	}
	heading(out, "5. The sockets of portico while that connection was open, as `portico ss -tani` shows them.")
	filter := sockstat.Filter{TCP: true, All: true, Numeric: true, Internals: true}
	if err := sockstat.Write(out, s.Sockets, filter); err != nil {
		return err
	}
	heading(out, "6. What to try next.")
	fmt.Fprint(out, next)
	return out.Flush()
}

func (s *Story) intro() string {
	if s.Wire == "tun" {
		return fmt.Sprintf(`portico is a TCP/IP host in user space. Here it is %s on the TUN interface tun0, in a network
namespace of its own; on the other side is the kernel as %s. No kernel answers for portico.
%s asks it for a page, twice over one connection:`, porticoAddr.Addr(), hostAddr.Addr(), s.subject())
	}
	return fmt.Sprintf(`portico is a TCP/IP host in user space. Here are two of them on a pipe in memory:
%s serves a page, and on %s Go's http client asks for it, twice over one connection:`, porticoAddr.Addr(), hostAddr.Addr())
}

// subject is the client at the beginning of a sentence.
func (s *Story) subject() string {
	if s.Client == "curl" {
		return "Curl"
	}
	return "The " + s.Client
}

// excerpt is the page without its explanations.
func (s *Story) excerpt() []string {
	lines := strings.Split(strings.TrimSpace(s.Page), "\n")
	blanks := 0
	for i, line := range lines {
		if strings.TrimSpace(line) == "" {
			blanks++
		}
		if blanks == 2 {
			return append(lines[:i:i], "…")
		}
	}
	return lines
}

func heading(w io.Writer, text string) {
	fmt.Fprintf(w, "\n\n%s\n%s\n\n", text, strings.Repeat("═", len(text)))
}

const troubleIntro = `Two stacks on a wire in memory, %d ms long each way. It loses the third segment with data; the later ones
arrive, which the visitor says (sack), and portico sends the third again. Then the visitor's room of %d
bytes is full: its window is shut until it reads, and meanwhile portico asks with one byte.

`

const next = `  go build ./cmd/portico                  makes the portico of the lines below
  sudo ./portico up                       a portico on this machine, until you interrupt it; then, elsewhere:
  curl http://10.77.0.2/                  the same page, and with a browser as well
  sudo ./portico ss -ti                   its connections
  sudo ./portico trace                    the connections that can be drawn like the ones above
  sudo ./portico up --pcap wire.pcapng    with a capture for Wireshark, states of TCP in the comments
  sudo ./portico fetch -v http://HOST/    the other direction: portico as the client
  ./portico sim lossy --plot lossy.png    30 seconds on a path that loses: the congestion window as a curve
`
