package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec is a daemon to start.
type Spec struct {
	Name string
	Path string
	Args []string
	// NetNS is the pinned network namespace it lives in.
	NetNS string
	// Cgroup is joined before the first instruction, so that its children are in it too.
	Cgroup Cgroup
	// Log is the file its output goes to.
	Log string
	// Files are inherited as descriptors 3 and up.
	Files []*os.File
}

// Process is a daemon that runs, or ran, in the background.
type Process struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// StartTicks is when the kernel started it, in clock ticks since boot: with it, a reused id is recognized.
	StartTicks uint64 `json:"startTicks"`
	Log        string `json:"log"`
	// Path and Args are what it was started with, to start it again.
	Path string   `json:"path"`
	Args []string `json:"args"`
}

// Start runs a daemon in a session of its own, where it outlives this program.
func Start(spec Spec) (Process, error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return Process{}, err
	}
	defer log.Close()
	cmd := exec.Command(spec.Path, spec.Args...)
	// Nothing else of the caller's environment: a proxy, say, would stand between the daemons.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/"}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, spec.Files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := InNetNS(spec.NetNS, func() error { return startInCgroup(cmd, spec.Cgroup) }); err != nil {
		return Process{}, fmt.Errorf("starting %s: %w", spec.Name, err)
	}
	// Reaped while this program lives: a child that crashed would otherwise stay in sight as a zombie.
	go func() { _ = cmd.Wait() }()
	process := Process{Name: spec.Name, PID: cmd.Process.Pid, Log: spec.Log, Path: spec.Path, Args: spec.Args}
	// A process that is gone already has no start time; it is then reported as not running.
	process.StartTicks, _, _ = processStat(process.PID)
	return process, nil
}

// Alive says whether the process runs and is still the one that was started.
func (p Process) Alive() bool {
	ticks, state, err := processStat(p.PID)
	return err == nil && ticks == p.StartTicks && state != 'Z' && state != 'X'
}

// Kill ends the process at once if it is still the one that was started.
func (p Process) Kill() {
	if p.Alive() {
		_ = unix.Kill(p.PID, unix.SIGKILL)
	}
}

// WaitGone waits until the process, which was killed, is gone and with it what it had open, ports among that.
func (p Process) WaitGone(limit time.Duration) error {
	for deadline := time.Now().Add(limit); p.Alive() || p.ending(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s (process %d) is still there %s after it was killed", p.Name, p.PID, limit)
		}
	}
	return nil
}

// ending is true while threads of a killed process are left: its first one is a zombie before the others have ended, and
// what they share is open until the last of them has.
func (p Process) ending() bool {
	ticks, _, err := processStat(p.PID)
	if err != nil || ticks != p.StartTicks {
		return false
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.PID))
	return err == nil && len(threads) > 1
}

// startInCgroup must run on a thread that is discarded after: in version 1 the thread itself joins, and the child is born
// where its parent is.
func startInCgroup(cmd *exec.Cmd, cgroup Cgroup) error {
	if !unified() {
		tasks := filepath.Join(cgroup.daemons(), "tasks")
		if err := os.WriteFile(tasks, []byte(strconv.Itoa(unix.Gettid())), 0); err != nil {
			return fmt.Errorf("joining control group %s: %w", cgroup.daemons(), err)
		}
		return cmd.Start()
	}
	group, err := os.Open(cgroup.daemons())
	if err != nil {
		return err
	}
	defer group.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(group.Fd())
	return cmd.Start()
}

// processStat reads when a process started and the letter of its state.
func processStat(pid int) (startTicks uint64, state byte, err error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, fmt.Errorf("no process %d: %w", pid, err)
	}
	if err != nil {
		return 0, 0, err
	}
	return parseStat(content)
}

// parseStat takes the start time (field 22) and the state (field 3). The name in field 2 may have blanks and brackets,
// so counting starts after its last closing bracket.
func parseStat(content []byte) (startTicks uint64, state byte, err error) {
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:])
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("unexpected process state %q", content)
	}
	startTicks, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return startTicks, fields[0][0], err
}
