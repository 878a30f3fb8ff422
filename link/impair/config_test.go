package impair

import (
	"strings"
	"testing"
	"time"

	"github.com/a644562b/portico/link/pipe"
)

func TestConfigErrorsNameTheSettingAndTheRemedy(t *testing.T) {
	a, _ := pipe.New(pipe.Config{})
	nan := 0.0
	nan /= nan
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Loss: 1.5}, "Loss is 1.5: want a probability from 0 to 1"},
		{Config{Loss: -0.1}, "Loss is -0.1"},
		{Config{Loss: nan}, "Loss is NaN"},
		{Config{Burst: Burst{Enter: 2, Leave: 1}}, "Burst.Enter is 2"},
		{Config{Burst: Burst{Enter: 0.1, Leave: 7}}, "Burst.Leave is 7"},
		{Config{Burst: Burst{Enter: 0.1, Leave: 1, Loss: -1}}, "Burst.Loss is -1"},
		{Config{Reorder: 3}, "Reorder is 3"},
		{Config{Duplicate: 3}, "Duplicate is 3"},
		{Config{Corrupt: 3}, "Corrupt is 3"},
		{Config{Delay: -time.Second}, "Delay is -1s: want a time from 0 to 24h0m0s"},
		{Config{Jitter: -1}, "Jitter is -1ns"},
		{Config{Reorder: 1, ReorderBy: 25 * time.Hour}, "ReorderBy is 25h0m0s"},
		{Config{Rate: -1}, "Rate is -1: want 0 or more"},
		{Config{Rate: 1, QueuePackets: -1}, "QueuePackets is -1"},
		{Config{Rate: 1, QueueBytes: -1}, "QueueBytes is -1"},
		{Config{Burst: Burst{Enter: 0.1}}, "set Leave"},
		{Config{Burst: Burst{Leave: 0.1}}, "set Enter"},
		{Config{ReorderBy: 1}, "set Reorder"},
		{Config{QueueBytes: 1}, "set Rate"},
	} {
		if _, err := Wrap(a, c.cfg, Config{}); err == nil || !strings.HasPrefix(err.Error(), "impair: out: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.cfg, err, c.want)
		}
		if _, err := Wrap(a, Config{}, c.cfg); err == nil || !strings.HasPrefix(err.Error(), "impair: in: ") {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
	if err := everything(1).Validate(); err != nil {
		t.Error(err)
	}
}
