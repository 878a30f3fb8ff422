package sim

import "github.com/a644562b/portico/tcp"

// DefaultCongestion is the controller of flows that name none.
const DefaultCongestion = "cubic"

// congestionName is what a flow's controller is called.
func congestionName(name string) string {
	if name == "" {
		return DefaultCongestion
	}
	return name
}

// checkCongestion says whether there is a controller of that name.
func checkCongestion(name string) error {
	_, err := tcp.CongestionByName(congestionName(name))
	return err
}

// setCongestion puts the controller of that name, which there is, into the parameters
// of a connection.
func setCongestion(p *tcp.Params, name string) {
	p.Congestion, _ = tcp.CongestionByName(congestionName(name))
}
