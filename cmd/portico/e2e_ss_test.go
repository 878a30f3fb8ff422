//go:build e2e

package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// internals are the words of the line of internals that ss prints of a connection, by name.
type internals map[string]string

// readInternals finds the line behind the connection of local, in the output of either ss.
func readInternals(t *testing.T, out, local string) internals {
	t.Helper()
	lines := strings.Split(out, "\n")
	for i, l := range lines {
		if fields := strings.Fields(l); i+1 < len(lines) && len(fields) > 3 && fields[len(fields)-2] == local {
			in := make(internals)
			words := strings.Fields(lines[i+1])
			for j, w := range words {
				name, value, valued := strings.Cut(w, ":")
				switch {
				case valued:
					in[name] = value
				case j+1 < len(words) && strings.HasSuffix(words[j+1], "bps"):
					in[name] = words[j+1] // a rate stands alone
				case !strings.HasSuffix(w, "bps"):
					in[name] = "yes"
				}
			}
			return in
		}
	}
	t.Fatalf("no connection from %s in\n%s", local, out)
	return nil
}

// number is the number that a word begins with, 0 where the word is missing.
func (in internals) number(t *testing.T, word string) int {
	t.Helper()
	if in[word] == "" {
		return 0
	}
	n, err := strconv.Atoi(in[word])
	if err != nil {
		t.Fatalf("%s:%s: %v", word, in[word], err)
	}
	return n
}

// TestE2EBothEndsTellTheSameOfAConnection: ss of the kernel and ss of portico on the two
// ends of one connection agree on all that both ends must know.
func TestE2EBothEndsTellTheSameOfAConnection(t *testing.T) {
	need(t, "ss", "iproute2")
	d := startUp(t)
	for _, host := range both {
		c := dialKernel(t, "tcp", host+":7")
		c.SetDeadline(time.Now().Add(patience))
		sent := make([]byte, 300_000)
		rand.NewChaCha8([32]byte{}).Read(sent)
		// The last byte goes alone: with it the kernel acknowledges all the rest.
		for _, part := range [][]byte{sent[1:], sent[:1]} {
			failed := make(chan error, 1)
			go func() {
				_, err := c.Write(part)
				failed <- err
			}()
			got := make([]byte, len(part))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, part) {
				t.Fatalf("the echo: %v", err)
			}
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		}
		theirsText := output(t, nil, "ss", "-tin")
		oursText := d.portico("ss", "-tin")
		t.Logf("the kernel:\n%s\nportico:\n%s", theirsText, oursText)
		theirs := readInternals(t, theirsText, c.LocalAddr().String())
		ours := readInternals(t, oursText, c.RemoteAddr().String())
		agree := func(ourWord, theirWord string) {
			t.Helper()
			if o, th := ours.number(t, ourWord), theirs.number(t, theirWord); o != th || o == 0 {
				t.Errorf("%s: our %s is %d, the kernel's %s %d", host, ourWord, o, theirWord, th)
			}
		}
		if o, th := ours.number(t, "bytes_sent")-ours.number(t, "bytes_retrans"), theirs.number(t, "bytes_received"); o != th || o != len(sent) {
			t.Errorf("%s: we have sent %d bytes, repetitions aside; the kernel has received %d", host, o, th)
		}
		if o, th := ours.number(t, "bytes_received"), theirs.number(t, "bytes_sent")-theirs.number(t, "bytes_retrans"); o != th || o != len(sent) {
			t.Errorf("%s: we have received %d bytes; the kernel has sent %d, repetitions aside", host, o, th)
		}
		// The kernel counts a super-segment that comes from a TUN as one: its segs_in cannot be compared.
		agree("data_segs_in", "data_segs_out")
		agree("mss", "mss")
		agree("advmss", "advmss")
		agree("rcvmss", "rcvmss")
		agree("pmtu", "pmtu")
		agree("rcv_wnd", "snd_wnd")
		if o, th := strings.Split(ours["wscale"], ","), strings.Split(theirs["wscale"], ","); len(o) != 2 || len(th) != 2 || o[0] != th[1] || o[1] != th[0] {
			t.Errorf("%s: our wscale is %q, the kernel's %q", host, ours["wscale"], theirs["wscale"])
		}
		if n := theirs.number(t, "bytes_acked"); n != len(sent) && n != len(sent)+1 { // the kernel counts its SYN
			t.Errorf("%s: the kernel's bytes_acked are %d", host, n)
		}
		if n := ours.number(t, "bytes_acked"); n < len(sent)-1 || n > len(sent) {
			t.Errorf("%s: our bytes_acked are %d", host, n)
		}
		for _, word := range []string{"rto", "rtt", "ato", "cwnd", "send", "delivery_rate", "delivered", "busy", "rcv_rtt", "rcv_space", "rcv_ssthresh", "minrtt"} {
			if ours[word] == "" {
				t.Errorf("%s: ss says nothing of %s", host, word)
			}
		}
		// Every word is one of the kernel's ss, but for those that it keeps to itself.
		own := map[string]bool{"timer": true, "total_rto": true, "total_rto_time": true}
		for word := range ours {
			if theirs[word] == "" && !strings.Contains(wordsOfSS, " "+word+" ") && !own[word] {
				t.Errorf("%s: the kernel's ss has no word %q", host, word)
			}
		}
	}
}

// wordsOfSS are those of ss -i in iproute2 that the connection of the test may lack.
const wordsOfSS = " ts sack ecn ecnseen fastopen cubic backoff ato ssthresh bytes_retrans lastsnd lastrcv lastack pacing_rate delivered_ce " +
	"app_limited rcv_wnd rwnd_limited sndbuf_limited unacked retrans lost sacked dsack_dups reord_seen rcv_rtt notsent rcv_ooopack busy "
