package nstest

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// TestHostsLeaveTheProcessWhereItIs: /proc/net and /proc/self are of the process's main thread,
// so a host that lived in that one would show its own counters to whoever reads those of the test.
// More hosts than there are threads take every thread that they can get.
func TestHostsLeaveTheProcessWhereItIs(t *testing.T) {
	Require(t)
	namespace := func(of string) string {
		t.Helper()
		name, err := os.Readlink("/proc/" + of + "/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	ours := namespace("self")
	for range 32 {
		h := NewHost(t)
		if h.tid == os.Getpid() {
			t.Error("a host lives in the main thread")
		}
		var its string
		h.Do(func() { its, _ = os.Readlink("/proc/thread-self/ns/net") })
		if its == ours {
			t.Errorf("a host lives in the namespace of the test, %s", ours)
		}
	}
	for _, of := range []string{"self", "thread-self"} {
		if now := namespace(of); now != ours {
			t.Errorf("%s is in %s now, and was in %s", of, now, ours)
		}
	}
}
