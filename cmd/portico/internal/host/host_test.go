package host

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNetworkThatAnInterfaceHasIsAConflict(t *testing.T) {
	for _, taken := range []string{"127.9.0.1/8", "126.0.0.1/7"} {
		err := Conflict([]netip.Prefix{netip.MustParsePrefix(taken)})
		if err == nil || !strings.Contains(err.Error(), "127.0.0.1/8") {
			t.Errorf("%s beside the loopback interface: %v", taken, err)
		}
	}
	if err := Conflict([]netip.Prefix{netip.MustParsePrefix("127.9.0.1/16")}); err != nil {
		t.Errorf("a part of a larger network: %v", err)
	}
	if err := Conflict([]netip.Prefix{netip.MustParsePrefix("240.9.9.1/24"), netip.MustParsePrefix("100::1/64")}); err != nil {
		t.Errorf("prefixes that nobody can have: %v", err)
	}
}
