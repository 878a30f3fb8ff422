#!/usr/bin/env bash
# Measures one stack over one path, in network namespaces made for it and always removed.
# See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
	cat <<-'END'
	usage: ./run.sh [options] -- PEER [its flags]

	PEER is portico, kernel, gvisor, or a program; it is started as
	  PEER --tun NAME --addr 10.77.0.2/24 --mtu N [its flags]
	and must create the TUN itself and offer the services of internal/services. kernel
	uses the kernel's own stack in a further namespace behind a veth pair with offloads.

	  --path direct         the client is in the namespace with the TUN (or veth); the default
	  --path routed         the client is in another one behind a router; on the hop between
	                        them packets are MTU-sized (offloads off)
	  --path relay          the same, and a relay between the client's router and the peer's
	  --rtt MS              that the relay adds in all, half of it each way    (20)
	  --rate MBIT           of the relay each way; 0: none                     (0)
	  --queue BYTES         at that rate; 0: what it sends in one --rtt        (0)
	  --loss DIR:PERCENT    lose packets at random, up (client to peer), down, or both; with
	                        routed and relay. Neither sender can notice it locally
	  --seed N              of the relay's losses                              (1)

	  --tests "LIST"        MODE:CONNECTIONS …, see cmd/load; -: read them from standard input, one
	                        a line, and print the measurement of each when it is there
	  --seconds N           each test                                          (4)
	  --runs N              repetitions                                        (1)
	  --mtu N               (1500)
	  --cc NAME             the client's congestion control                    (cubic)
	  --txqlen N            of the TUN                                         (1000)
	  --tries N             a test is repeated, so many times in all, while others use 8 % of
	                        the cores or more; before each the machine gets 20 s to become
	                        quiet. 0: once, and without waiting                (3)

	  --label NAME          in the output                                      (PEER)
	  --round N             likewise
	  --out FILE            measurements are appended to, one line of JSON each
	  --pprof DIR           Go profiles of the peer, and what they spend their time on
	  --bin DIR             with the programs already built (./build.sh DIR)
	  --id NAME             that the namespaces begin with                     (pp and the process id)
	  --harness PID         of a process that, with its descendants, is no noise (this one)

	Needs root, Go, iproute2, jq, procps, util-linux; ethtool for routed and relay; nftables for
	routed with loss; curl for --pprof.
	END
}

path=direct rtt=20 rate=0 queue=0 loss='' seed=1
tests="verify:4 upload:1 upload:8 download:1 download:8 rr:1 rr:32 rr:256 crr:1 crr:32 http:32 small:1 small:8 idle:10000"
seconds=4 runs=1 mtu=1500 cc=cubic txqlen=1000 tries=3
label='' round=0 out='' pprof='' bin='' id=pp$$ harness=$$

die() {
	echo "run.sh: $*" >&2
	exit 2
}

while (($#)); do
	case $1 in
	--path | --rtt | --rate | --queue | --loss | --seed | --tests | --seconds | --runs | --mtu | --cc | --txqlen | --tries | --label | --round | --out | --pprof | --bin | --id | --harness)
		(($# > 1)) || die "$1 needs a value"
		declare "${1#--}=$2"
		shift 2
		;;
	-h | --help) usage; exit 0 ;;
	--) shift; break ;;
	*) die "unknown option $1; --help lists what there is" ;;
	esac
done
(($#)) || die "no peer given; --help shows how"
[[ $path == direct || $path == routed || $path == relay ]] || die "--path $path is none of direct, routed, relay"
[[ -z $loss || $path != direct ]] || die "--loss needs --path routed or relay"
[[ -z $loss || $loss =~ ^(up|down|both):[0-9]+(\.[0-9]+)?$ ]] || die "--loss $loss is not like down:1"
((EUID == 0)) || die "needs root, for network namespaces"

tmp=$(mktemp -d)
out=${out:-$tmp/out.jsonl}
peer=$1
shift
label=${label:-$(basename "$peer")}
[[ -z $pprof ]] || mkdir -p "$pprof"

# The client's namespace, its router's, the peer's router's (which holds the TUN), and the
# kernel peer's own.
client=$id-c middle=$id-m router=$id-r host=$id-p
[[ $path != direct ]] || client=$router
if=ptun0
peer_pid='' relay_pid='' child=''

# end_process PID: asks, waits at most 5 s, then insists.
end_process() {
	[[ $1 ]] || return 0
	kill "$1" 2>/dev/null || true
	for _ in {1..50}; do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	kill -9 "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

# shellcheck disable=SC2317 # the trap calls it
cleanup() {
	trap - EXIT INT TERM
	end_process "$child"
	end_process "$peer_pid"
	end_process "$relay_pid"
	local ns
	for ns in "$client" "$middle" "$router" "$host"; do
		# Nobody else's processes are in there.
		ip netns pids "$ns" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
		ip netns del "$ns" 2>/dev/null || true
	done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# run COMMAND...: in the background, so that a signal ends it at once. The command must not
# be a function: $! would be a shell's in front of it.
run() {
	local status=0
	"$@" &
	child=$!
	wait "$child" || status=$?
	child=
	return $status
}

if [[ -z $bin ]]; then
	bin=bin
	./build.sh bin
fi
case $peer in
portico | kernel | gvisor) program=$bin/${peer}peer ;;
*) program=$peer ;;
esac

# The kernel's buffers are the same wherever this runs: windows of 16 MiB at most.
make_ns() {
	ip netns add "$1"
	ip -n "$1" link set lo up
	ip netns exec "$1" sysctl -qw net.ipv4.tcp_no_metrics_save=1 net.ipv4.ip_local_port_range="1024 65535" \
		net.ipv4.tcp_tw_reuse=1 net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=8192 \
		net.ipv4.tcp_rmem="4096 131072 33554432" net.ipv4.tcp_wmem="4096 16384 16777216" \
		net.ipv4.ip_forward=1 net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
}

# client_hop ROUTER: the client behind a router, on a hop without offloads.
client_hop() {
	make_ns "$client"
	ip link add name vc netns "$client" type veth peer name vr netns "$1"
	ip -n "$client" addr add 10.78.0.1/24 dev vc
	ip -n "$client" link set vc mtu "$mtu" up
	ip -n "$1" addr add 10.78.0.254/24 dev vr
	ip -n "$1" link set vr mtu "$mtu" up
	ip -n "$client" route add 10.77.0.0/24 via 10.78.0.254
	ip netns exec "$client" ethtool -K vc tso off gso off gro off >/dev/null
	ip netns exec "$1" ethtool -K vr tso off gso off gro off >/dev/null
}

# percent DIRECTION: how much is lost that way.
percent() { if [[ $loss == "$1:"* || $loss == both:* ]]; then echo "${loss#*:}"; else echo 0; fi; }

# lose NAMESPACE INTERFACE PERCENT: drops packets on arrival, where the sender does not see it.
lose() {
	[[ $3 != 0 ]] || return 0
	ip netns exec "$1" nft -f - <<-END
		table ip loss {
			chain pre {
				type filter hook prerouting priority -300; policy accept;
				iifname "$2" numgen random mod 100000 < $(awk -v p="$3" 'BEGIN { printf "%d", p * 1000 }') counter drop comment "lost"
				iifname "$2" counter comment "passed"
			}
		}
	END
}

# start_relay: a TUN in each router and the relay between them, which runs before all else.
start_relay() {
	local one_way
	one_way=$(awk -v r="$rtt" 'BEGIN { printf "%dus", r * 500 }')
	ip netns exec "$router" chrt -f 1 "$bin/relay" --a ra --b rb --mtu "$mtu" --delay "$one_way" --rate "$rate" --queue "$queue" \
		--loss-ab "$(percent up)" --loss-ba "$(percent down)" --seed "$seed" >"$tmp/relay.log" 2>&1 &
	relay_pid=$!
	for _ in {1..100}; do
		! grep -qs ready "$tmp/relay.log" || break
		kill -0 "$relay_pid" 2>/dev/null || { cat "$tmp/relay.log" >&2; die "the relay died"; }
		sleep 0.05
	done
	ip -n "$router" link set ra netns "$middle"
	# The kernel's queue towards the relay must not be the bottleneck.
	ip -n "$middle" link set ra mtu "$mtu" txqueuelen 10000 up
	ip -n "$router" link set rb mtu "$mtu" txqueuelen 10000 up
	ip -n "$middle" route add 10.77.0.0/24 dev ra
	ip -n "$router" route add 10.78.0.0/24 dev rb
}

make_path() {
	make_ns "$router"
	case $path in
	routed)
		client_hop "$router"
		lose "$router" vr "$(percent up)"
		lose "$client" vc "$(percent down)"
		;;
	relay)
		make_ns "$middle"
		client_hop "$middle"
		start_relay
		;;
	esac
	[[ $peer == kernel ]] || return 0
	make_ns "$host"
	ip link add name $if netns "$router" type veth peer name $if netns "$host"
	ip -n "$router" addr add 10.77.0.1/24 dev $if
	ip -n "$router" link set $if mtu "$mtu" up
	ip -n "$host" addr add 10.77.0.2/24 dev $if
	ip -n "$host" link set $if mtu "$mtu" up
	ip -n "$host" route add default via 10.77.0.1
}

start_peer() {
	local where=$router debug=()
	[[ $peer != kernel ]] || where=$host
	[[ -z $pprof ]] || debug=(--debug 127.0.0.1:6060)
	ip netns exec "$where" "$program" --tun $if --addr 10.77.0.2/24 --mtu "$mtu" "${debug[@]}" "$@" >"$tmp/peer.log" 2>&1 &
	peer_pid=$!
	if [[ $peer != kernel ]]; then
		for _ in {1..100}; do
			! ip -n "$router" link show $if >/dev/null 2>&1 || break
			kill -0 "$peer_pid" 2>/dev/null || { cat "$tmp/peer.log" >&2; die "$label did not start"; }
			sleep 0.05
		done
		ip -n "$router" addr replace 10.77.0.1/24 dev $if
		ip -n "$router" link set $if mtu "$mtu" txqueuelen "$txqlen" up
	fi
	run ip netns exec "$client" "$bin/load" -mode ready -dur 15s || { cat "$tmp/peer.log" >&2; die "$label does not answer"; }
}

stop_peer() {
	end_process "$peer_pid"
	peer_pid=
}

check_peer() {
	! kill -0 "$peer_pid" 2>/dev/null || return 0
	echo "PEER DIED: $label in $1" >&2
	tail -n 40 "$tmp/peer.log" >&2
	return 1
}

# drops: packets that found no room in an interface since it was made, as an object. On a
# veth the other end counts the same ones as its own.
drops() {
	local ns
	for ns in client middle router host; do
		[[ $ns != client || $client != "$router" ]] || continue
		ip -n "${!ns}" -s -j link 2>/dev/null | jq --arg ns $ns 'map({"\($ns) \(.ifname)": .stats64.tx.dropped}) | add'
	done | jq -cs 'add'
}

# profile TEST: of the peer, while the test runs.
profile() {
	[[ $pprof ]] || return 0
	local where=$router
	[[ $peer != kernel ]] || where=$host
	(
		sleep 0.7
		ip netns exec "$where" curl -s -m 60 -o "$pprof/$label-${1/:/-}.pb.gz" \
			"http://127.0.0.1:6060/debug/pprof/profile?seconds=$((seconds > 2 ? seconds - 1 : 1))"
	) &
}

# measure TEST: leaves a line in $tmp/line.
measure() {
	local mode=${1%%:*} size=64 duration=${seconds}s drain=60s before limit status=0
	case $mode in
	idle) duration=2s ;;
	verify) size=16 drain=10s ;;
	esac
	limit=$((seconds + 100))
	before=$(drops)
	profile "$1"
	run ip netns exec "$client" timeout $limit "$bin/load" -mode "$mode" -conns "${1#*:}" -dur "$duration" -size $size -drain $drain \
		-cc "$cc" -peerpid "$peer_pid" -harness "$harness" -label "$label" >"$tmp/raw" || status=$?
	# A client that had to be stopped has said nothing: that is a failure too.
	[[ -s $tmp/raw ]] || printf '{"label":"%s","mode":"%s","conns":%d,"errors":1,"err_sample":"no result within %d s"}' \
		"$label" "$mode" "${1#*:}" "$limit" >"$tmp/raw"
	jq -c --arg path "$path_name" --arg loss "${loss:-none}" --argjson round "$round" --argjson before "$before" \
		--argjson after "$(drops)" '. + {path: $path, loss: $loss, round: $round} +
		{drops: ($after | with_entries(.value -= ($before[.key] // 0) | select(.value > 0)))}' "$tmp/raw" >"$tmp/line"
	return $status
}

# Other work on the machine spoils a measurement.
noisy() { jq -e '.foreign_cpu_share >= 0.08' "$tmp/line" >/dev/null; }

one_test() {
	local t=$1 ok try=0
	shift
	if [[ $t == idle:* ]]; then
		stop_peer
		start_peer "$@"
	fi
	while :; do
		((tries == 0)) || run ip netns exec "$client" "$bin/load" -mode quiet -peerpid "$peer_pid" -harness "$harness" -dur 20s || true
		ok=1
		measure "$t" || ok=0
		check_peer "$t" || { ok=0; start_peer "$@"; }
		if ((++try >= tries)) || ! noisy; then break; fi
		echo "noisy ($(jq -r .foreign_cpu_share "$tmp/line") of the cores used by others): $label $t, try $try" >&2
		if [[ $t == idle:* ]]; then
			stop_peer
			start_peer "$@"
		fi
	done
	cat "$tmp/line" >>"$out"
	((ok)) && return
	echo "FAILED $label $t on $path_name, loss ${loss:-none}: $(cat "$tmp/line")" >&2
	return 1
}

# tell_losses: what was really lost, for the record.
tell_losses() {
	local ns
	if [[ $relay_pid ]]; then
		end_process "$relay_pid"
		relay_pid=
		echo "$label: relay: $(tail -n 1 "$tmp/relay.log")" >&2
		# A millisecond would be seen in the round trips; refused and overflow are losses of its own.
		if tail -n 1 "$tmp/relay.log" | jq -e 'any(.[]; .late_p99_us > 1000 or .refused > 0 or .overflow > 0)' >/dev/null; then
			echo "WARNING: the relay did not keep to what it was told" >&2
		fi
	elif [[ $loss ]]; then
		for ns in "$router" "$client"; do
			ip netns exec "$ns" nft list chain ip loss pre 2>/dev/null |
				sed -n "s/.*counter packets \\([0-9]*\\) .*comment \"\\(.*\\)\"/$label: loss $loss: \\1 \\2/p" >&2 || true
		done
	fi
}

# dictated: the tests that somebody says on standard input, until it ends.
dictated() {
	local t
	start_peer "$@"
	while read -r t <&3; do
		one_test "$t" "$@" || bad=1
		cat "$tmp/line"
	done
	stop_peer
}

path_name=$path
[[ $path != relay ]] || path_name=${rtt}ms
exec 3<&0 </dev/null
make_path
touch "$out"
first=$(wc -l <"$out")
bad=0
if [[ $tests == - ]]; then
	dictated "$@"
	tell_losses
	exit $bad
fi
for ((i = 0; i < runs; i++)); do
	start_peer "$@"
	for t in $tests; do
		one_test "$t" "$@" || bad=1
	done
	stop_peer
done
tell_losses
"$bin/summary" -skip "$first" "$out"
[[ -z $pprof ]] || "$bin/shares" "$pprof/$label"-*.pb.gz
exit $bad
