// Command cli-docs writes a page for each command of `kubectl metricspipeline` into a folder, from the commands' own help.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra/doc"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/metricspipeline/operator/internal/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cli-docs:", err)
		os.Exit(1)
	}
}

// run replaces what the folder has, so that the page of a command that is gone goes too.
func run(arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("%v is not understood; usage: cli-docs FOLDER", arguments)
	}
	folder := arguments[0]
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: io.Discard, ErrOut: io.Discard}
	return doc.GenMarkdownTree(cli.Command("", streams), folder)
}
