package stack

import (
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/a644562b/portico/tcp"
)

// Stats returns the counters. Each is exact; together they are not of one instant.
func (s *Stack) Stats() Stats {
	st := Stats{Drops: make(map[string]uint64)}
	fields := make(map[string]*uint64)
	st.each(func(name string, counter *uint64) { fields[name] = counter })
	for i := range s.count.shards {
		sh := &s.count.shards[i]
		sum(&st.IP, &sh.ip[in4])
		sum(&st.IP6, &sh.ip[in6])
		sum(&st.UDP, &sh.udp[in4])
		sum(&st.UDP6, &sh.udp[in6])
		sum(&st.TCP, &sh.tcp)
		sum(&st.TCPExt, &sh.tcpExt)
		sum(&st.IPExt, &sh.ipExt)
		sum(&st.Device, &sh.device)
		for c := range sh.tally {
			*fields[tcp.Counter(c).String()] += atomic.LoadUint64(&sh.tally[c])
		}
		sh.eachDrop(func(reason string, counter *uint64) {
			if n := atomic.LoadUint64(counter); n != 0 {
				st.Drops[reason] += n
			}
		})
		st.ICMP.sum(&sh.icmp[in4])
		st.ICMP6.sum(&sh.icmp[in6])
	}
	m := &s.count.messages
	st.ICMP.InType, st.ICMP.OutType = types(&m[in4][inward]), types(&m[in4][outward])
	st.ICMP6.InType, st.ICMP6.OutType = types(&m[in6][inward]), types(&m[in6][outward])
	named(&st.ICMP, st.ICMP.InType, st.ICMP.OutType)
	named(&st.ICMP6, st.ICMP6.InType, st.ICMP6.OutType)
	st.Device.TCPConnections = uint64(s.conns.Len())
	st.Device.TCPTimeWaits, st.Device.TCPOrphans = uint64(s.waits.len()), uint64(s.orphans.Load())
	return st
}

// sum adds the counters of a shard, all of whose fields are uint64, to total.
func sum[T any](total, part *T) {
	t, p := reflect.ValueOf(total).Elem(), reflect.ValueOf(part).Elem()
	for i := range t.NumField() {
		*t.Field(i).Addr().Interface().(*uint64) += atomic.LoadUint64(p.Field(i).Addr().Interface().(*uint64))
	}
}

func (st *ICMPStats) sum(p *icmpSums) {
	st.InMsgs += atomic.LoadUint64(&p.inMsgs)
	st.InErrors += atomic.LoadUint64(&p.inErrors)
	st.InCsumErrors += atomic.LoadUint64(&p.inCsumErrors)
	st.OutMsgs += atomic.LoadUint64(&p.outMsgs)
	st.OutRateLimitHost += atomic.LoadUint64(&p.limitHost)
	st.OutRateLimitGlobal += atomic.LoadUint64(&p.limitGlobal)
}

func (st *ICMP6Stats) sum(p *icmpSums) {
	st.InMsgs += atomic.LoadUint64(&p.inMsgs)
	st.InErrors += atomic.LoadUint64(&p.inErrors)
	st.InCsumErrors += atomic.LoadUint64(&p.inCsumErrors)
	st.OutMsgs += atomic.LoadUint64(&p.outMsgs)
	st.OutRateLimitHost += atomic.LoadUint64(&p.limitHost)
}

// types are the messages that there were.
func types(counters *[256]atomic.Uint64) map[uint8]uint64 {
	found := make(map[uint8]uint64)
	for t := range counters {
		if n := counters[t].Load(); n != 0 {
			found[uint8(t)] = n
		}
	}
	return found
}

// named fills in the fields that count one type of message, as their tags say.
func named[T any](stats *T, in, out map[uint8]uint64) {
	v := reflect.ValueOf(stats).Elem()
	for i := range v.NumField() {
		direction, number, ok := strings.Cut(v.Type().Field(i).Tag.Get("icmp"), " ")
		if !ok {
			continue
		}
		typ, _ := strconv.Atoi(number)
		from := in
		if direction == "out" {
			from = out
		}
		v.Field(i).SetUint(from[uint8(typ)])
	}
}
