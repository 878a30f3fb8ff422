package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os/exec"
	"strings"
)

// curlArgs: no settings of the user's, no proxy; cookies and compression; the first
// answer is thrown away.
func curlArgs(url string) []string {
	return []string{"-q", "-sS", "--noproxy", "*", "--max-time", "10", "--compressed", "-b", "", "-o", "/dev/null", url, url}
}

// kernelClient asks over the kernel's own sockets: curl if it is there, else Go's client.
func kernelClient() client {
	var dialer net.Dialer
	path, err := exec.LookPath("curl")
	if err != nil {
		return goClient(dialer.DialContext)
	}
	return client{
		name:    "curl",
		command: fmt.Sprintf("curl --compressed -b '' -o /dev/null %s %s", pageURL(), pageURL()),
		fetch: func(ctx context.Context, url string) (string, error) {
			cmd := exec.CommandContext(ctx, path, curlArgs(url)...)
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil && said.Len() > 0 {
				return "", fmt.Errorf("%s", strings.TrimSpace(said.String()))
			}
			return string(out), err
		},
		dial: dialer.DialContext,
	}
}

// goClient is Go's http client over whatever dial connects by.
func goClient(dial func(ctx context.Context, network, address string) (net.Conn, error)) client {
	return client{
		name:    "client",
		command: fmt.Sprintf("Go's http client: GET %s, twice, with a cookie jar", pageURL()),
		fetch: func(ctx context.Context, url string) (string, error) {
			jar, err := cookiejar.New(nil)
			if err != nil {
				return "", err
			}
			transport := &http.Transport{DialContext: dial} // which asks for gzip on its own
			defer transport.CloseIdleConnections()
			h := &http.Client{Transport: transport, Jar: jar}
			if _, err := get(ctx, h, url); err != nil {
				return "", err
			}
			return get(ctx, h, url)
		},
		dial: dial,
	}
}

func get(ctx context.Context, h *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := h.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}
