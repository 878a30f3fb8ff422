package serve

import (
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/wrap"
	"github.com/a644562b/portico/tcp"
)

//go:embed page.html page.txt
var pages embed.FS

var (
	pageHTML = template.Must(template.ParseFS(pages, "page.html"))
	pageText = texttemplate.Must(texttemplate.New("page.txt").Funcs(texttemplate.FuncMap{
		"fact": func(f fact) string { return wrap.Text(fmt.Sprintf("  %-12s", f.Name), f.Value, textWidth) },
		"wrap": func(s string) string { return wrap.Text("", s, textWidth) },
	}).ParseFS(pages, "page.txt"))
)

// textWidth is how wide the text is at most, in characters.
const textWidth = 80

// page is the content of the front page, for both forms.
type page struct {
	Server  string
	Facts   []fact
	Lessons []lesson
	Offers  []fact
}

// fact is a name and what it is here and now.
type fact struct{ Name, Value string }

// lesson is a heading and a few sentences.
type lesson struct{ Title, Text string }

// newPage is the handler of the front page.
func newPage() http.Handler {
	visitors := newSessions()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := describe(r, visitors.visit(w, r))
		w.Header().Add("Vary", "Accept")
		w.Header().Set("Cache-Control", "no-store")
		// Errors below are the visitor's going away: the templates are fixed.
		if wantsHTML(r) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
			pageHTML.Execute(w, p)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		pageText.Execute(w, p)
	})
}

// wantsHTML: a browser names text/html; curl takes anything and is better served with
// text.
func wantsHTML(r *http.Request) bool {
	for _, accept := range r.Header.Values("Accept") {
		for item := range strings.SplitSeq(accept, ",") {
			kind, params, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/html") && weight(params) > 0 {
				return true
			}
		}
	}
	return false
}

// describe collects what the page says to this visitor.
func describe(r *http.Request, s session) page {
	p := page{Offers: offers}
	visit := fact{"session", fmt.Sprintf("visit %d of session %s, which the cookie %s names", s.visits, s.id, SessionCookie)}
	conn, ok := r.Context().Value(connKey{}).(Conn)
	if !ok {
		p.Server = r.Host
		p.Facts = []fact{{"connection", "not one of portico's: nothing is known of it"}, visit}
		return p
	}
	i := conn.Info()
	p.Server = i.Local.String()
	p.Facts = append(connFacts(&i), visit)
	p.Lessons = lessons(&i)
	return p
}

// connFacts are the facts about a connection.
func connFacts(i *tcp.Info) []fact {
	rtt := "not yet measured"
	if i.SRTT > 0 {
		rtt = fmt.Sprintf("%s smoothed, %s variation, %s the least", ms(i.SRTT), ms(i.RTTVar), ms(i.MinRTT))
	}
	return []fact{
		{"you", fmt.Sprintf("%s, port %d", i.Remote.Addr(), i.Remote.Port())},
		{"portico", fmt.Sprintf("%s, port %d", i.Local.Addr(), i.Local.Port())},
		{"state", i.State.String()},
		{"round trip", rtt},
		{"timeout", fmt.Sprintf("%s until an unanswered segment is sent again (RTO)", ms(i.RTO))},
		{"window", fmt.Sprintf("congestion window %d bytes, which is %d segments of %d; yours %d, ours %d",
			i.Cwnd, i.Cwnd/max(1, i.SndMSS), i.SndMSS, i.SndWnd, i.RcvWnd)},
		{"options", options(i)},
		{"bytes", fmt.Sprintf("%d received from you, %d sent, %d of them acknowledged", i.BytesReceived, i.BytesSent, i.BytesAcked)},
		{"segments", fmt.Sprintf("%d received from you, %d sent, %d of them again", i.SegmentsIn, i.SegmentsOut, i.RetransSegs)},
	}
}

// options says what the SYNs agreed on.
func options(i *tcp.Info) string {
	words := []string{fmt.Sprintf("MSS %d as we announced it", i.AdvMSS)}
	if i.WindowScale {
		words = append(words, fmt.Sprintf("window scale 2^%d yours and 2^%d ours", i.SndWndShift, i.RcvWndShift))
	}
	if i.Timestamps {
		words = append(words, "timestamps")
	}
	if i.SACK {
		words = append(words, "selective acknowledgment")
	}
	return strings.Join(words, ", ")
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3f ms", float64(d)/float64(time.Millisecond)) }

// lessons explain the facts.
func lessons(i *tcp.Info) []lesson {
	return []lesson{
		{"Ports", fmt.Sprintf("An IP address is a house and a port is one of its doors. You knocked at door %d of %s; "+
			"your system opened door %d of %s for the answers. The four numbers together name this connection, so the "+
			"same door serves many visitors at once.", i.Local.Port(), i.Local.Addr(), i.Remote.Port(), i.Remote.Addr())},
		{"Handshake", fmt.Sprintf("Before your first byte, three segments agreed on where both sides begin to count: your SYN "+
			"said %d, our SYN,ACK said %d and that we had heard yours, and your ACK that you had heard ours. A SYN takes one "+
			"number, so your first byte was number %d. A bare ACK takes none.", uint32(i.IRS), uint32(i.ISS), uint32(i.IRS)+1)},
		{"Windows", "How much may be on its way at once is the smaller of two windows: yours, which says what you have room " +
			"for, and the congestion window, which is our guess of what the path carries. It grows with every " +
			"acknowledgment and shrinks when something is lost."},
		{"Loss", fmt.Sprintf("What is lost is sent again: when later segments have arrived and it has not, or when nothing at "+
			"all is acknowledged for %s. Here that has happened %d times.", ms(i.RTO), i.RetransSegs)},
		{"Teardown", "Each side ends its own direction: a FIN, which takes one number, and an ACK of it, so that it takes " +
			"four segments, or three where two of them are one. Who closes first then waits in TIME-WAIT, until nothing " +
			"old can be on its way any more."},
	}
}

var offers = []fact{
	{"/", "this page, as HTML for a browser"},
	{"/bytes/N", "N bytes that can be checked, up to 10 GiB: word k of eight bytes is (k+1)·0x9E3779B97F4A7C15"},
	{"/sha256", "PUT or POST something: its digest"},
	{"/conns", "every connection of this host, as JSON"},
}
