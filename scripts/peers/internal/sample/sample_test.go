package sample

import (
	"encoding/json"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

type shown struct {
	net.Conn
	looks []Look
}

func (s *shown) Look() Look {
	l := s.looks[0]
	s.looks = s.looks[1:]
	return l
}

// The means survive the road that a line of results takes, and looks before the first
// measurement of the round trip do not count.
func TestMeansOfWhatWasSeenBetweenTwoReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := Read()
		stop := Watch(&shown{looks: []Look{
			{Window: 10, Flight: 0},
			{Window: 10, Flight: 4, RTT: 100 * time.Microsecond},
			{Window: 20, Flight: 8, RTT: 300 * time.Microsecond},
		}})
		<-time.After(3*every + every/2)
		stop()
		<-time.After(10 * every) // a look too many would run out of looks
		after := Read()
		text, err := json.Marshal(Sums{after.Looks - before.Looks, after.Window - before.Window,
			after.Flight - before.Flight, after.RTT - before.RTT}.Map())
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		got, ok := Mean(m)
		if want := (Look{15, 6, 200 * time.Microsecond}); !ok || got != want {
			t.Errorf("%+v, %v; want %+v", got, ok, want)
		}
	})
}

func TestNobodyLooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := net.Pipe() // shows nothing of itself
		before := Read()
		stop := Watch(c)
		<-time.After(3 * every)
		stop()
		if Read() != before {
			t.Error("a pipe was sampled")
		}
		if _, ok := Mean(nil); ok {
			t.Error("means of nothing")
		}
		c.Close()
		d.Close()
	})
}
