package osi

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// exchange is a request, its answer, and what the session layer needs of the exchanges
// before.
type exchange struct {
	request, answer       span
	requestRaw, answerRaw []byte
	req                   *http.Request
	resp                  *http.Response
	body                  []byte // of the answer, as it was sent
	plain                 []byte // the same, decoded
	setCookies            []string
}

// lastExchange finds the last request that was answered completely.
func lastExchange(up, down []byte) (*exchange, error) {
	reqs, resps := newMessages(up), newMessages(down)
	var last *exchange
	var cookies []string
	for {
		ex := &exchange{}
		var err error
		if ex.req, err = http.ReadRequest(reqs.r); err != nil {
			break
		}
		if _, err = io.Copy(io.Discard, ex.req.Body); err != nil {
			break
		}
		ex.request = reqs.cut()
		if ex.resp, err = http.ReadResponse(resps.r, ex.req); err != nil {
			break
		}
		if ex.body, err = io.ReadAll(ex.resp.Body); err != nil {
			break
		}
		ex.answer = resps.cut()
		ex.requestRaw, ex.answerRaw = up[ex.request.start:ex.request.end], down[ex.answer.start:ex.answer.end]
		cookies = append(cookies, ex.resp.Header.Values("Set-Cookie")...)
		ex.setCookies = cookies
		ex.plain = decode(ex.body, ex.resp.Header.Get("Content-Encoding"))
		last = ex
	}
	if last == nil {
		return nil, ErrNoExchange
	}
	return last, nil
}

// messages reads messages off a stream and knows where each ends.
type messages struct {
	src *bytes.Reader
	r   *bufio.Reader
	len int
	end int // of the last message
}

func newMessages(b []byte) *messages {
	src := bytes.NewReader(b)
	return &messages{src: src, r: bufio.NewReader(src), len: len(b)}
}

// cut returns where the message lies that has just been read.
func (m *messages) cut() span {
	s := span{start: m.end, end: m.len - m.src.Len() - m.r.Buffered()}
	m.end = s.end
	return s
}

// decode undoes a content coding; what it does not know it returns as it is.
func decode(body []byte, coding string) []byte {
	if coding != "gzip" {
		return body
	}
	zr, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return body
	}
	plain, err := io.ReadAll(io.LimitReader(zr, maxStream))
	if err != nil {
		return body
	}
	return plain
}

// headLines are the lines of a message's head, without the empty one that ends it.
func headLines(raw []byte) []string {
	head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
	return strings.Split(head, "\r\n")
}

// headLen is the length of the head, with the empty line that ends it.
func headLen(raw []byte) int {
	const end = "\r\n\r\n"
	if i := bytes.Index(raw, []byte(end)); i >= 0 {
		return i + len(end)
	}
	return len(raw)
}

// lineLen is the length of the lines of a head with this name.
func lineLen(raw []byte, name string) int {
	n := 0
	for _, line := range headLines(raw) {
		if key, _, ok := strings.Cut(line, ":"); ok && strings.EqualFold(key, name) {
			n += len(line) + len("\r\n")
		}
	}
	return n
}

// requestLayers are the layers of HTTP on the way there.
func (ex *exchange) requestLayers() []Layer {
	cookie := lineLen(ex.requestRaw, "Cookie")
	coding := lineLen(ex.requestRaw, "Accept-Encoding")
	app := Layer{Number: 7, Name: "application", Adds: len(ex.requestRaw) - cookie - coding,
		Text: append([]string{fmt.Sprintf("HTTP: the request as it was written, %d bytes with the empty line that ends it:", len(ex.requestRaw))},
			quoted(headLines(ex.requestRaw))...)}
	presentation := Layer{Number: 6, Name: "presentation", Adds: coding}
	if accepts := ex.req.Header.Get("Accept-Encoding"); accepts != "" {
		presentation.Text = []string{fmt.Sprintf("Accept-Encoding: %s says in which forms the answer may come.", accepts)}
	} else {
		presentation.Text = []string{"nothing to translate: the request is plain ASCII, and asks for no coding of the answer."}
	}
	session := Layer{Number: 5, Name: "session", Adds: cookie}
	if c := ex.req.Header.Get("Cookie"); c != "" {
		session.Text = []string{fmt.Sprintf("Cookie: %s says which visitor this is; TCP and HTTP do not remember.", c)}
	} else {
		session.Text = []string{"no cookie: a visitor that is not known yet."}
	}
	return []Layer{app, presentation, session}
}

// answerLayers are the layers of HTTP on the way back.
func (ex *exchange) answerLayers() []Layer {
	cookie := lineLen(ex.answerRaw, "Set-Cookie")
	head := headLen(ex.answerRaw)
	app := Layer{Number: 7, Name: "application", Adds: head - cookie,
		Text: append([]string{fmt.Sprintf("HTTP: the answer, %d bytes of head and %d of body:", head, len(ex.answerRaw)-head)},
			quoted(headLines(ex.answerRaw))...)}
	return []Layer{app, ex.answerPresentation(len(ex.answerRaw) - head), ex.answerSession(cookie)}
}

func (ex *exchange) answerPresentation(body int) Layer {
	l := Layer{Number: 6, Name: "presentation", Adds: body}
	kind, params, _ := mime.ParseMediaType(ex.resp.Header.Get("Content-Type"))
	if charset := params["charset"]; charset != "" {
		l.Text = append(l.Text, fmt.Sprintf("%s in %s: which number stands for which letter.", kind, charset))
	}
	if coding := ex.resp.Header.Get("Content-Encoding"); coding != "" {
		l.Text = append(l.Text, fmt.Sprintf("%s made %d bytes of %d; the visitor turns them back.", coding, len(ex.body), len(ex.plain)))
	} else {
		l.Text = append(l.Text, fmt.Sprintf("the %d bytes travel as they are, without compression.", len(ex.body)))
	}
	return l
}

func (ex *exchange) answerSession(cookie int) Layer {
	l := Layer{Number: 5, Name: "session", Adds: cookie}
	switch {
	case cookie > 0:
		l.Text = []string{fmt.Sprintf("Set-Cookie: %s begins a session.", ex.resp.Header.Get("Set-Cookie"))}
	case len(ex.setCookies) > 0:
		l.Text = []string{fmt.Sprintf("nothing to add: an earlier answer on this connection said Set-Cookie: %s", ex.setCookies[0])}
	default:
		l.Text = []string{"nothing to add: the visitor has its session."}
	}
	return l
}

func quoted(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = "| " + line
	}
	return out
}
