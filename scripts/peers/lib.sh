#!/usr/bin/env bash
# What scripts/recovery and scripts/bench have in common. They source it in the root of the
# repository, with their arguments in `arguments` and a temporary directory in `tmp`.
# shellcheck disable=SC2154 # both are the caller's

me=scripts/$(basename "$0")

die() {
	echo "$me: $*" >&2
	exit "${status:-2}"
}

# Commands that are used, and the Debian packages that bring them.
declare -A packages=(
	[ip]=iproute2 [nft]=nftables [ethtool]=ethtool [jq]=jq [ps]=procps [chrt]=util-linux [xargs]=findutils
)

# tools installs what is missing.
tools() {
	local command want=()
	for command in "${!packages[@]}"; do
		command -v "$command" >/dev/null || want+=("${packages[$command]}")
	done
	if ((${#want[@]})); then
		echo "installing ${want[*]}" >&2
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${want[@]}"; } \
			>"$tmp/apt.log" 2>&1 || { tail -n 5 "$tmp/apt.log" >&2; die "cannot install by apt-get; install these (Debian's names) and run again: ${want[*]}"; }
	fi
	command -v go >/dev/null || PATH=$PATH:/usr/local/go/bin
	command -v go >/dev/null || die "needs Go: install $(sed -n 's/^go //p' go.mod) or later from https://go.dev/dl/"
	[[ -c /dev/net/tun ]] || modprobe tun 2>/dev/null || true
	[[ -c /dev/net/tun ]] || { mkdir -p /dev/net && mknod -m 666 /dev/net/tun c 10 200; } 2>/dev/null || true
	[[ -c /dev/net/tun ]] || die "needs /dev/net/tun: load the driver, or give the container --device /dev/net/tun"
}

# repeats is the command that repeats the measurement.
repeats() {
	local a skip='' out=$me
	for a in "${arguments[@]}"; do
		[[ $a =~ ^[A-Za-z0-9_./,=-]+$ ]] || a=${a@Q}
		case $a in
		--write) ;;
		--raw) skip=1 ;;
		*) [[ $skip ]] || out+=" $a"; skip='' ;;
		esac
	done
	echo "$out"
}

# machine is what class of machine this is.
machine() {
	local cpu virtual=''
	cpu=$(sed -n 's/([A-Z]*)//g; s/^model name[^:]*: *\([^ ]* [^ ]*\).*/\1/p' /proc/cpuinfo | head -n 1)
	! grep -qw hypervisor /proc/cpuinfo || virtual='a virtual machine with '
	echo "$virtual$(nproc) cores${cpu:+ ($cpu)}, Linux $(uname -r | cut -d. -f1,2), $(go env GOVERSION | sed 's/^go/Go /')"
}

# commit is the version that was measured.
commit() {
	local c
	c=$(git rev-parse --short HEAD 2>/dev/null) || { echo "a version without a commit"; return; }
	[[ -z $(git status --porcelain 2>/dev/null) ]] || c+=" with changes"
	echo "$c"
}

# provenance says when, on what and how it was measured.
provenance() {
	cat <<-END
		$(date +%Y-%m-%d), on $(machine); portico at $(commit).

		    $(repeats)

	END
}

head_of_file() {
	cat <<-'END'
		# Benchmarks

		What was measured, and the command that repeats each. Everything runs on one machine in network
		namespaces, client and stack on the same cores: ratios within a run hold, absolute figures do not
		compare between machines or days. [scripts/peers](scripts/peers/README.md) says how it is measured.
	END
}

# write_section FILE: puts it between the script's marks in BENCHMARKS.md.
write_section() {
	local file=BENCHMARKS.md name=${me#scripts/}
	local begin="<!-- $name: written by $me -->" end="<!-- end of $name -->"
	[[ -e $file ]] || head_of_file >$file
	grep -qxF "$begin" $file || printf '\n%s\n%s\n' "$begin" "$end" >>$file
	awk -v begin="$begin" -v end="$end" -v section="$1" '
		$0 == begin { print; while ((getline line < section) > 0) print line; skip = 1 }
		$0 == end { skip = 0 }
		!skip { print }' $file >"$tmp/new"
	cat "$tmp/new" >$file
	echo "written into $file" >&2
}
