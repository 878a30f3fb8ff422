package serve

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/view"
	"github.com/a644562b/portico/stack"
	"github.com/a644562b/portico/tcp"
)

var testInfo = tcp.Info{
	State: tcp.StateEstablished, Local: netip.MustParseAddrPort("10.77.0.2:80"), Remote: netip.MustParseAddrPort("10.77.0.1:40112"),
	SRTT: 113 * time.Microsecond, RTO: 204 * time.Millisecond, Cwnd: 14480, SndMSS: 1448, AdvMSS: 1460,
	WindowScale: true, SndWndShift: 7, RcvWndShift: 8, Timestamps: true, SACK: true, IRS: 1000, ISS: 2000,
}

type fakeHost struct{}

func (fakeHost) Conns() []stack.ConnInfo {
	return []stack.ConnInfo{
		{ConnID: stack.ConnID{Serial: 2}, Serial: 2, Info: testInfo},
		{ConnID: stack.ConnID{Serial: 1}, Serial: 1, Info: testInfo, Orphan: true},
	}
}
func (fakeHost) Listeners() []stack.ListenerInfo { return nil }
func (fakeHost) PacketConns() []stack.PacketInfo { return nil }
func (fakeHost) Stats() stack.Stats              { return stack.Stats{} }

type fakeConn struct{}

func (fakeConn) Info() tcp.Info { return testInfo }

// ask sends one request to the site, as if over a connection of portico's.
func ask(h http.Handler, method, target string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, body)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	r = r.WithContext(context.WithValue(r.Context(), connKey{}, Conn(fakeConn{})))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPageTellsAboutTheConnectionAsText(t *testing.T) {
	w := ask(NewHandler(fakeHost{}), "GET", "/", nil, "Accept", "*/*")
	if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
		t.Errorf("Content-Type is %q", got)
	}
	for _, want := range []string{
		"10.77.0.1, port 40112", "10.77.0.2, port 80", "ESTABLISHED", "0.113 ms smoothed", "14480 bytes", "MSS 1460",
		"2^7", "timestamps", "selective", "Ports.", "Handshake.", "Loss.", "Teardown.", "/bytes/N", "visit 1",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, w.Body)
		}
	}
	for line := range strings.Lines(w.Body.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > textWidth {
			t.Errorf("%d characters in %q", n, line)
		}
	}
}

func TestPageIsHTMLForABrowserOnly(t *testing.T) {
	for accept, html := range map[string]bool{
		"text/html,application/xhtml+xml,*/*;q=0.8": true,
		"TEXT/HTML": true, "*/*": false, "": false, "text/html;q=0, */*": false, "text/plain": false,
	} {
		w := ask(NewHandler(fakeHost{}), "GET", "/", nil, "Accept", accept)
		if got := strings.HasPrefix(w.Header().Get("Content-Type"), "text/html"); got != html {
			t.Errorf("Accept %q: HTML is %v, want %v", accept, got, html)
		}
		if got := strings.HasPrefix(w.Body.String(), "<!DOCTYPE html>"); got != html {
			t.Errorf("Accept %q: the body begins %.20q", accept, w.Body)
		}
	}
}

func TestSessionCountsVisitsByCookie(t *testing.T) {
	h := NewHandler(fakeHost{})
	first := ask(h, "GET", "/", nil)
	cookies := first.Result().Cookies()
	if len(cookies) != 1 || cookies[0].Name != SessionCookie || !cookies[0].HttpOnly {
		t.Fatalf("the first visit set %v", cookies)
	}
	cookie := cookies[0].Name + "=" + cookies[0].Value
	for visit := 2; visit <= 3; visit++ {
		w := ask(h, "GET", "/", nil, "Cookie", cookie)
		if want := fmt.Sprintf("visit %d of session %s", visit, cookies[0].Value); !strings.Contains(w.Body.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
		if len(w.Result().Cookies()) != 0 {
			t.Errorf("visit %d set a cookie again", visit)
		}
	}
	if w := ask(h, "GET", "/", nil, "Cookie", SessionCookie+"=made-up"); len(w.Result().Cookies()) != 1 {
		t.Error("an identifier that we did not give began no new session")
	}
}

func TestOldSessionsMakeRoom(t *testing.T) {
	s := newSessions()
	for range maxSessions + 10 {
		s.visit(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}
	if len(s.byID) != maxSessions || s.order.Len() != maxSessions {
		t.Errorf("%d sessions, in order %d, want %d", len(s.byID), s.order.Len(), maxSessions)
	}
}

func TestPageIsGzippedForThoseWhoAcceptIt(t *testing.T) {
	h := NewHandler(fakeHost{})
	for accept, zipped := range map[string]bool{
		"gzip": true, "deflate, gzip, br": true, "gzip;q=0.5": true, "*": true, "x-gzip": true,
		"": false, "gzip;q=0": false, "gzip; q=0.0": false, "br": false, "*;q=0": false, "identity, gzip;q=0, *": false,
		"gzip;q=nonsense": false,
	} {
		w := ask(h, "GET", "/", nil, "Accept-Encoding", accept)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("Accept-Encoding %q: gzip is %v, want %v", accept, got, zipped)
			continue
		}
		body := w.Body.String()
		if zipped {
			zr, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(zr)
			if err != nil {
				t.Fatal(err)
			}
			body = string(b)
		}
		if !strings.HasPrefix(body, "This is portico") {
			t.Errorf("Accept-Encoding %q: the body begins %.40q", accept, body)
		}
		if got := w.Header().Values("Vary"); !strings.Contains(strings.Join(got, ","), "Accept-Encoding") {
			t.Errorf("Vary is %q", got)
		}
	}
}

func TestPageOverAnotherStackSaysSo(t *testing.T) {
	w := httptest.NewRecorder()
	NewHandler(fakeHost{}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "not one of portico's") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestBytesAreThePattern(t *testing.T) {
	h := NewHandler(fakeHost{})
	for _, n := range []int{0, 1, 7, 8, 9, chunk - 1, chunk, chunk + 1, 3*chunk + 5} {
		w := ask(h, "GET", fmt.Sprintf("/bytes/%d", n), nil)
		if w.Header().Get("Content-Length") != fmt.Sprint(n) || w.Body.Len() != n {
			t.Errorf("/bytes/%d: Content-Length %s, body %d", n, w.Header().Get("Content-Length"), w.Body.Len())
		}
		for i, b := range w.Body.Bytes() {
			word := (uint64(i/8) + 1) * 0x9E3779B97F4A7C15
			if want := byte(word >> (8 * (i % 8))); b != want {
				t.Fatalf("/bytes/%d: byte %d is %#x, want %#x", n, i, b, want)
			}
		}
	}
}

func TestPatternDoesNotDependOnHowItIsRead(t *testing.T) {
	whole := make([]byte, 10_000)
	new(Pattern).Read(whole)
	for _, r := range []io.Reader{iotest.OneByteReader(new(Pattern)), iotest.HalfReader(new(Pattern))} {
		got := make([]byte, len(whole))
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, whole) {
			t.Errorf("the stream differs (%v)", err)
		}
	}
}

func TestBytesRefusesWhatIsNoNumberOfBytes(t *testing.T) {
	h := NewHandler(fakeHost{})
	for _, n := range []string{"-1", "x", "1e3", "10737418241", "99999999999999999999"} {
		w := ask(h, "GET", "/bytes/"+n, nil)
		if w.Code != http.StatusBadRequest || strings.Count(w.Body.String(), "\n") != 1 {
			t.Errorf("/bytes/%s: %d %q", n, w.Code, w.Body)
		}
	}
	if w := ask(h, "HEAD", fmt.Sprintf("/bytes/%d", int64(MaxBytes)), nil); w.Code != 200 ||
		w.Header().Get("Content-Length") != fmt.Sprint(int64(MaxBytes)) || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %v, %d bytes", w.Code, w.Header(), w.Body.Len())
	}
}

func TestDigestIsOfWhatWasSent(t *testing.T) {
	h := NewHandler(fakeHost{})
	body := make([]byte, 3*chunk+1)
	new(Pattern).Read(body)
	want := sha256.Sum256(body)
	for _, method := range []string{"PUT", "POST"} {
		w := ask(h, method, "/sha256", iotest.HalfReader(bytes.NewReader(body)))
		if got := strings.TrimSpace(w.Body.String()); got != hex.EncodeToString(want[:]) {
			t.Errorf("%s: digest %q", method, got)
		}
	}
	if w := ask(h, "PUT", "/sha256", iotest.ErrReader(io.ErrUnexpectedEOF)); w.Code != http.StatusBadRequest {
		t.Errorf("a body that breaks off: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "GET", "/sha256", nil); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestConnsIsJSONThatReadsBack(t *testing.T) {
	w := ask(NewHandler(fakeHost{}), "GET", "/conns", nil)
	var conns []view.Connection
	if err := json.Unmarshal(w.Body.Bytes(), &conns); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if len(conns) != 2 || conns[0].Serial != 1 || !conns[0].Orphan || conns[1].State != "ESTABLISHED" || conns[1].Remote != testInfo.Remote {
		t.Errorf("conns are %+v", conns)
	}
}

func TestUnknownPathIsNotFound(t *testing.T) {
	for _, path := range []string{"/nothing", "/bytes", "/bytes/", "/conns/1"} {
		if w := ask(NewHandler(fakeHost{}), "GET", path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}
