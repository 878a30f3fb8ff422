package nstat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/cmd/portico/internal/api"
)

var counters = []api.Counter{
	{Name: "IpInReceives", Value: 7}, {Name: "TcpActiveOpens", Value: 0}, {Name: "TcpInSegs", Value: 5},
	{Name: "TcpCurrEstab", Value: 2}, {Name: "TcpExtTCPTimeouts", Value: 1},
}

func names(list []api.Counter) string {
	var names []string
	for _, c := range list {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

func TestSelect(t *testing.T) {
	for _, test := range []struct {
		filter Filter
		want   string
	}{
		{Filter{}, "IpInReceives TcpInSegs TcpCurrEstab TcpExtTCPTimeouts"},
		{Filter{Zeros: true}, "IpInReceives TcpActiveOpens TcpInSegs TcpCurrEstab TcpExtTCPTimeouts"},
		{Filter{Patterns: []string{"Tcp*"}}, "TcpInSegs TcpCurrEstab TcpExtTCPTimeouts"},
		{Filter{Patterns: []string{"tcp[ac]*", "IPINRECEIVES"}, Zeros: true}, "IpInReceives TcpActiveOpens TcpCurrEstab"},
		{Filter{Patterns: []string{"TcpActiveOpens"}}, ""}, // there is one, and it is 0
		{Filter{Patterns: []string{"In"}, Zeros: true}, "error"},
	} {
		got, err := test.filter.Select(counters)
		if test.want == "error" {
			if err == nil || !strings.Contains(err.Error(), "no counter is called In") {
				t.Errorf("%+v: %v, %v", test.filter, got, err)
			}
			continue
		}
		if err != nil || names(got) != test.want {
			t.Errorf("%+v: %s, %v", test.filter, names(got), err)
		}
	}
}

func TestPatternsThatAreNoneAreSaid(t *testing.T) {
	f := Filter{Patterns: []string{"Tcp*", "["}}
	if err := f.Check(); err == nil || !strings.Contains(err.Error(), `"["`) {
		t.Error(err)
	}
	f.Patterns = f.Patterns[:1]
	if err := f.Check(); err != nil {
		t.Error(err)
	}
}

func TestSinceSubtracts(t *testing.T) {
	now := slices.Clone(counters)
	now[0].Value, now[3].Value = 10, 1
	now = append(now, api.Counter{Name: "IcmpMsgInType8", Value: 4})
	var got []string
	for _, c := range Since(counters, now) {
		got = append(got, fmt.Sprint(c.Name, " ", c.Value))
	}
	want := []string{"IpInReceives 3", "TcpActiveOpens 0", "TcpInSegs 0", "TcpCurrEstab 1", "TcpExtTCPTimeouts 0", "IcmpMsgInType8 4"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, counters[2:4]); err != nil || b.String() != "#portico\nTcpInSegs                       5\nTcpCurrEstab                    2\n" {
		t.Errorf("%v\n%s", err, b.String())
	}
	b.Reset()
	err := WriteRates(&b, counters[2:4], 2*time.Second)
	want := "#portico\n" +
		"TcpInSegs                       5                  2.5\n" + // the columns of nstat(8)
		"TcpCurrEstab                    2\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, b.String(), want)
	}
}

func TestJSONKeepsTheOrder(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, counters); err != nil {
		t.Fatal(err)
	}
	want := `{"portico":{"IpInReceives":7,"TcpActiveOpens":0,"TcpInSegs":5,"TcpCurrEstab":2,"TcpExtTCPTimeouts":1}}` + "\n"
	if b.String() != want {
		t.Errorf("%s, want %s", b.String(), want)
	}
	for _, list := range [][]api.Counter{counters, nil} {
		b.Reset()
		WriteJSON(&b, list)
		var got map[string]map[string]uint64
		if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got["portico"]) != len(list) {
			t.Errorf("%s: %v, %v", b.String(), got, err)
		}
	}
}
