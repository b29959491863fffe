package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// sleeper starts a process to be paused.
func sleeper(t *testing.T) Process {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ticks, _, err := processStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return Process{Name: "sleeper", PID: cmd.Process.Pid, StartTicks: ticks}
}

// awaitState waits until the process is stopped, or is not.
func awaitState(t *testing.T, p Process, stopped bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		_, state, err := processStat(p.PID)
		if err != nil {
			t.Fatal(err)
		}
		if (state == 'T') == stopped {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the process is in state %c, want stopped %t", state, stopped)
		}
	}
}

func TestPausedProcessGoesOnAfterTheTime(t *testing.T) {
	p := sleeper(t)
	if err := p.Pause(t.Context(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	awaitState(t, p, false)
}

func TestPausedProcessGoesOnWhenInterrupted(t *testing.T) {
	p := sleeper(t)
	ctx, interrupt := context.WithCancel(t.Context())
	paused := make(chan error, 1)
	go func() { paused <- p.Pause(ctx, time.Hour) }()
	awaitState(t, p, true)
	interrupt()
	if err := <-paused; !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted pause gives %v", err)
	}
	awaitState(t, p, false)
}

// pauseVariable names the process that this test program pauses instead of running tests.
const pauseVariable = "PAUSE_PROCESS_FOR_TEST"

func TestMain(m *testing.M) {
	pid, err := strconv.Atoi(os.Getenv(pauseVariable))
	if err != nil {
		os.Exit(m.Run())
	}
	ticks, _, err := processStat(pid)
	if err == nil {
		err = Process{PID: pid, StartTicks: ticks}.Pause(context.Background(), time.Hour)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// A pause must not outlive the program that began it, also when nothing of it can run any more.
func TestPausedProcessGoesOnWhenThePauserIsKilled(t *testing.T) {
	p := sleeper(t)
	pauser := exec.Command(os.Args[0])
	pauser.Env = append(os.Environ(), pauseVariable+"="+strconv.Itoa(p.PID))
	if err := pauser.Start(); err != nil {
		t.Fatal(err)
	}
	awaitState(t, p, true)
	if err := pauser.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = pauser.Wait()
	awaitState(t, p, false)
}
