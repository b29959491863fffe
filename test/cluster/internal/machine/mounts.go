package machine

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is one line of the mount table.
type mount struct {
	path, fsType string
}

// UnmountBelow unmounts everything below dir, the latest first, and returns an error that names what stays.
func UnmountBelow(dir string) error {
	for range 2 {
		below, err := mountsBelow(dir)
		if err != nil {
			return err
		}
		for _, path := range slices.Backward(below) {
			// Lazily: a process that is about to die may still use it. What fails shows up in the check below.
			_ = unix.Unmount(path, unix.MNT_DETACH)
		}
	}
	left, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("these stay mounted, unmount them by hand: %s", strings.Join(left, " "))
	}
	return nil
}

// mountsBelow lists the mount points below dir in the order of mounting.
func mountsBelow(dir string) ([]string, error) {
	mounts, err := mountPoints()
	if err != nil {
		return nil, err
	}
	var below []string
	for _, m := range mounts {
		if strings.HasPrefix(m.path, dir+"/") {
			below = append(below, m.path)
		}
	}
	return below, nil
}

// mountPoints reads the mount table of this process.
func mountPoints() ([]mount, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var mounts []mount
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if m, ok := parseMount(lines.Text()); ok {
			mounts = append(mounts, m)
		}
	}
	return mounts, nil
}

// parseMount takes the mount point and the file system's type out of a line of mountinfo. Optional fields of any number
// lie between them, ended by a dash.
func parseMount(line string) (mount, bool) {
	fields := strings.Fields(line)
	dash := slices.Index(fields, "-")
	if len(fields) < 5 || dash < 0 || dash+1 >= len(fields) {
		return mount{}, false
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	return mount{path: unescape.Replace(fields[4]), fsType: fields[dash+1]}, true
}
