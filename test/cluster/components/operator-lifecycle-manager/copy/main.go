// Command copy stands for /bin/cp in the image of the Operator Lifecycle Manager, by which its jobs give one of its programs to the
// containers of other images: copy [-FLAGS] FROM TO, for one executable.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	args = slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "-") })
	if len(args) != 2 {
		return fmt.Errorf("%d arguments, want FROM and TO", len(args))
	}
	content, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	return os.WriteFile(args[1], content, 0o755) //nolint:gosec // an executable
}
