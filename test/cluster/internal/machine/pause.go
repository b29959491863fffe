package machine

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pause stops the process for a while, as a machine does that hangs: its sockets stay open and it does not answer. It goes on
// when the time is over, when ctx ends, and also when this program is killed. The error says when it went on early.
func (p Process) Pause(ctx context.Context, duration time.Duration) error {
	if !p.Alive() {
		return fmt.Errorf("%s (process %d) does not run", p.Name, p.PID)
	}
	// What lets it go on is another process, in a session of its own where no signal of a terminal reaches it. It waits
	// for the end of its input, which the kernel sees to whatever becomes of this program.
	waker := exec.Command("sh", "-c", `read -r _; kill -CONT "$0"`, strconv.Itoa(p.PID))
	waker.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	alive, err := waker.StdinPipe()
	if err != nil {
		return err
	}
	if err := waker.Start(); err != nil {
		return fmt.Errorf("starting what lets %s go on: %w", p.Name, err)
	}
	stopped := unix.Kill(p.PID, unix.SIGSTOP)
	if stopped == nil {
		select {
		case <-time.After(duration):
		case <-ctx.Done():
			stopped = fmt.Errorf("the pause of %s ended early: %w", p.Name, context.Cause(ctx))
		}
	}
	if err := alive.Close(); err != nil {
		return err
	}
	if err := waker.Wait(); err != nil && p.Alive() {
		return fmt.Errorf("letting %s (process %d) go on: %w", p.Name, p.PID, err)
	}
	return stopped
}
