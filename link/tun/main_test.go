package tun

import (
	"testing"

	"github.com/a644562b/portico/internal/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }
