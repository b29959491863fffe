// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// outputFlag is -o of a command: json, yaml, or the form for people.
type outputFlag struct{ form string }

func (o *outputFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.form, "output", "o", "", "Print json or yaml instead of the form for people.")
	// The flag exists, so this cannot fail.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses a form that there is none of, before anything is read.
func (o *outputFlag) check() error {
	switch o.form {
	case "", "json", "yaml":
		return nil
	default:
		return usage("--output is %q: set it to json or yaml, or leave it out for the form for people", o.form)
	}
}

// print writes a value as -o says; false where that is the form for people.
func (o *outputFlag) print(out io.Writer, value any) (bool, error) {
	if err := o.check(); err != nil {
		return false, err
	}
	var content []byte
	var err error
	switch o.form {
	case "json":
		if content, err = json.MarshalIndent(value, "", "  "); err == nil {
			content = append(content, '\n')
		}
	case "yaml":
		content, err = yaml.Marshal(value)
	default:
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write the output as %s: %w", o.form, err)
	}
	_, err = out.Write(content)
	return true, err
}
