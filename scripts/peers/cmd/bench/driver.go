package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/a644562b/portico/scripts/peers/internal/result"
)

// driver is a run.sh that holds a peer ready and measures it when it is told to.
type driver struct {
	peer
	cmd   *exec.Cmd
	tests io.WriteCloser
	lines *bufio.Scanner
	log   string
}

// patience is how long run.sh may take to clean up after itself.
const patience = 30 * time.Second

// start starts run.sh for p over the path of g. It is ended, and cleans up, when ctx is done
// or its input ends.
func (b *bench) start(ctx context.Context, round int, g *group, p peer) (*driver, error) {
	d := &driver{peer: p, log: filepath.Join(b.dir, p.label+".log")}
	args := append(g.options(), "--tests", "-", "--tries", "0", "--seconds", strconv.Itoa(b.seconds), "--round", strconv.Itoa(round),
		"--label", p.label, "--bin", b.bin, "--harness", strconv.Itoa(os.Getpid()), "--out", os.DevNull,
		"--id", fmt.Sprintf("be%d%c%s", os.Getpid(), p.label[len(p.label)-1], g.loss), "--")
	d.cmd = exec.CommandContext(ctx, b.script, append(args, p.program...)...)
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(syscall.SIGTERM) }
	d.cmd.WaitDelay = patience
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is ours to pass on
	log, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.cmd.Stderr = log
	if d.tests, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.lines = bufio.NewScanner(out)
	d.lines.Buffer(nil, 1<<20)
	return d, d.cmd.Start()
}

// measure has the test done and returns its line.
func (d *driver) measure(test string) (result.Line, error) {
	var l result.Line
	if _, err := fmt.Fprintln(d.tests, test); err != nil {
		return l, d.gone(err)
	}
	if !d.lines.Scan() {
		return l, d.gone(io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(d.lines.Bytes(), &l); err != nil {
		return l, fmt.Errorf("%s says %q: %w", d.label, d.lines.Text(), err)
	}
	return l, nil
}

// gone is the error of a run.sh that has ended by itself, with what it said.
func (d *driver) gone(err error) error {
	said, _ := os.ReadFile(d.log)
	return fmt.Errorf("%s: run.sh has ended (%w):\n%s", d.label, err, said)
}

// stop ends run.sh and waits until it has cleaned up. That a test failed it has said before.
func (d *driver) stop() {
	d.tests.Close()
	for d.lines.Scan() {
	}
	d.cmd.Wait()
}
