package sockstat

import (
	"reflect"
	"testing"

	"github.com/a644562b/portico/tcp"
	"golang.org/x/sys/unix"
)

// answers says, for each field of Linux's tcp_info, which field of tcp.Info tells the same,
// or, in parentheses, why none does.
var answers = map[string]string{
	"State": "State", "Ca_state": "CAState", "Retransmits": "Retransmits", "Probes": "ProbesUnseen", "Backoff": "Backoff",
	"Options": "Timestamps", // with SACK, WindowScale, ECN, ECNSeen and FastOpen; FastOpenFailed has bits of its own
	"Rto":     "RTO", "Ato": "ATO", "Snd_mss": "SndMSS", "Rcv_mss": "RcvMSS",
	"Unacked": "Outstanding", "Sacked": "Sacked", "Lost": "Lost", "Retrans": "Resent", "Fackets": "(nor does Linux have it)",
	"Last_data_sent": "LastDataSnd", "Last_ack_sent": "(nor does Linux know it)",
	"Last_data_recv": "LastDataRcv", "Last_ack_recv": "LastRcv",
	"Pmtu": "PathMTU", "Rcv_ssthresh": "RecvBuffer", "Rtt": "SRTT", "Rttvar": "RTTVar",
	"Snd_ssthresh": "Ssthresh", "Snd_cwnd": "Cwnd", "Advmss": "AdvMSS",
	"Reordering": "(RACK goes by time: ReorderWindow)",
	"Rcv_rtt":    "RcvRTT", "Rcv_space": "RcvSpace", "Total_retrans": "RetransSegs",
	"Pacing_rate": "PacingRate", "Max_pacing_rate": "(nothing caps the rate)",
	"Bytes_acked": "BytesAcked", "Bytes_received": "BytesReceived", "Segs_out": "SegmentsOut", "Segs_in": "SegmentsIn",
	"Notsent_bytes": "UnsentQueue", "Min_rtt": "MinRTT", "Data_segs_in": "DataSegsIn", "Data_segs_out": "DataSegsOut",
	"Delivery_rate": "DeliveryRate", // and its bit, AppLimited
	"Busy_time":     "Busy", "Rwnd_limited": "WindowLimited", "Sndbuf_limited": "BufferLimited",
	"Delivered": "Delivered", "Delivered_ce": "DeliveredCE",
	"Bytes_sent": "BytesSent", "Bytes_retrans": "BytesRetrans", "Dsack_dups": "DSACKsIn", "Reord_seen": "Reorders",
	"Rcv_ooopack": "OutOfOrderIn", "Snd_wnd": "SndWnd", "Rcv_wnd": "RcvWnd", "Rehash": "(a flow keeps its label)",
	"Total_rto": "Timeouts", "Total_rto_recoveries": "TimeoutRuns", "Total_rto_time": "TimedOut",
	"Received_ce":        "CEIn",
	"Delivered_e1_bytes": "(accurate ECN)", "Delivered_e0_bytes": "(accurate ECN)", "Delivered_ce_bytes": "(accurate ECN)",
	"Received_e1_bytes": "(accurate ECN)", "Received_e0_bytes": "(accurate ECN)", "Received_ce_bytes": "(accurate ECN)",
}

// TestInfoAnswersEveryFieldOfLinux: as complete as tcp_info of the kernel that x/sys knows.
func TestInfoAnswersEveryFieldOfLinux(t *testing.T) {
	theirs, ours := reflect.TypeFor[unix.TCPInfo](), reflect.TypeFor[tcp.Info]()
	for i := range theirs.NumField() {
		name := theirs.Field(i).Name
		if name == "_" {
			continue
		}
		answer := answers[name]
		if _, ok := ours.FieldByName(answer); !ok && (answer == "" || answer[0] != '(') {
			t.Errorf("tcp_info has %s; tcp.Info has no %q", name, answer)
		}
	}
}
