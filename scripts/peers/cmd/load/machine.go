package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticks is how many clock ticks of /proc make a second: USER_HZ, the same everywhere.
const ticks = 100

// usage is a snapshot of CPU time in seconds.
type usage struct {
	peer, mach, steal, client float64
	at                        time.Time
	others                    float64
}

func snap() usage {
	u := usage{at: time.Now(), others: others()}
	if b, err := os.ReadFile("/proc/stat"); err == nil {
		line, _, _ := strings.Cut(string(b), "\n")
		f := strings.Fields(line)
		u.mach = seconds(f[1], f[2], f[3], f[6], f[7]) // user nice system irq softirq
		u.steal = seconds(f[8])
	}
	if f := processStat(strconv.Itoa(*peerPID)); f != nil {
		u.peer = seconds(f[11:13]...)
	}
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	u.client = float64(ru.Utime.Nano()+ru.Stime.Nano()) / 1e9
	return u
}

// seconds adds up fields of clock ticks.
func seconds(fields ...string) float64 {
	var sum float64
	for _, f := range fields {
		v, _ := strconv.ParseFloat(f, 64)
		sum += v
	}
	return sum / ticks
}

// processStat returns the fields of /proc/PID/stat behind the name, so that its n-th
// field is at n-3; nil if there is no such process.
func processStat(pid string) []string {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return nil
	}
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 15 {
		return nil
	}
	return f
}

// process is what is known of one.
type process struct {
	parent  string
	seconds float64 // of CPU, its own and that of children which it has waited for
}

// processes lists all of them by their ids.
func processes() map[string]process {
	all := map[string]process{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid := e.Name(); pid[0] >= '0' && pid[0] <= '9' {
			if f := processStat(pid); f != nil {
				all[pid] = process{parent: f[1], seconds: seconds(f[11:15]...)}
			}
		}
	}
	return all
}

// others is the CPU time of all user processes outside the harness. A child that ends
// hands its time on to its parent, and the sum stays. Kernel threads work for the
// benchmark and are left out, as is softirq time on an idle core, which no process is
// charged for.
func others() float64 {
	const kthreadd = "2"
	root := strconv.Itoa(*harness)
	all := processes()
	var sum float64
next:
	for pid, p := range all {
		for at, ok := pid, true; ok; at, ok = all[at].parent, all[at].parent != "" {
			if at == root || at == kthreadd {
				continue next
			}
		}
		sum += p.seconds
	}
	return sum
}

// foreign is the share of all cores that went to processes outside the benchmark
// between two snapshots, or to other machines (steal).
func foreign(a, b usage) float64 {
	f := b.steal - a.steal + max(0, b.others-a.others)
	return f / (b.at.Sub(a.at).Seconds() * float64(runtime.NumCPU()))
}

// quiet waits until the machine is idle but for the benchmark, at most for dur.
func quiet() int {
	const calm, needed = 0.05, 2
	ok := 0
	for end := time.Now().Add(*dur); time.Now().Before(end); {
		a := snap()
		time.Sleep(300 * time.Millisecond)
		if ok++; foreign(a, snap()) >= calm {
			ok = 0
		}
		if ok == needed {
			return 0
		}
	}
	return 1
}

// rss is the peer's resident memory in bytes.
func rss() float64 { return kilobytes(fmt.Sprintf("/proc/%d/status", *peerPID), "VmRSS:") }

// memAvailable is what the machine has left, in bytes.
func memAvailable() float64 { return kilobytes("/proc/meminfo", "MemAvailable:") }

func kilobytes(file, key string) float64 {
	b, _ := os.ReadFile(file)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			v, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return v * 1024
		}
	}
	return 0
}
