// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/discovery"
)

// versions are those of what works together. The JSON names are those of -o json.
type versions struct {
	// Client is the plugin.
	Client string `json:"client"`
	// Operator is what wrote the status of the pipeline; Server is the API server.
	Operator string `json:"operator,omitempty"`
	Server   string `json:"server,omitempty"`
	// Problems are why one of them is not known.
	Problems []string `json:"problems,omitempty"`
}

func versionCommand(env *environment) *cobra.Command {
	var clientOnly bool
	output := outputFlag{}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of the plugin, the operator and the API server",
		Long: `Print the versions of the plugin, of the operator that wrote the status of the pipeline, and of the API server.

` + exitCodes,
		Example: `  kubectl metricspipeline version
  kubectl metricspipeline version --client`,
		Args: noArguments,
		RunE: perform(func(ctx context.Context, _ []string) error {
			known := versions{Client: env.version}
			if !clientOnly {
				known = env.versions(ctx)
			}
			if done, err := output.print(env.Out, known); done || err != nil {
				return err
			}
			printVersions(env, known, clientOnly)
			if len(known.Problems) > 0 {
				return exit(ExitUnseen)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "Print the version of the plugin alone, without a cluster.")
	output.add(cmd)
	return cmd
}

// versions asks the cluster.
func (e *environment) versions(ctx context.Context) versions {
	known := versions{Client: e.version}
	fail := func(err error) { known.Problems = append(known.Problems, err.Error()) }
	config, err := e.config()
	if err != nil {
		fail(err)
		return known
	}
	asked, err := discovery.NewDiscoveryClientForConfig(config)
	if err == nil {
		info, askErr := asked.ServerVersion()
		if err = askErr; err == nil {
			known.Server = info.GitVersion
		}
	}
	if err != nil {
		fail(fmt.Errorf("read the version of the API server: %w", err))
		return known
	}
	reader, err := e.client()
	if err != nil {
		fail(err)
		return known
	}
	found, err := pipeline(ctx, reader)
	switch {
	case err != nil:
		fail(err)
	case found.Status.Version == "":
		fail(errors.New("the operator has not written the status of the MetricsPipeline yet: see the pods of the Deployment " +
			"metricspipeline-operator"))
	default:
		known.Operator = found.Status.Version
	}
	return known
}

func printVersions(env *environment, known versions, clientOnly bool) {
	fmt.Fprintf(env.Out, "Client:   %s\n", known.Client)
	if clientOnly {
		return
	}
	unknown := func(version string) string {
		if version == "" {
			return "not known"
		}
		return version
	}
	fmt.Fprintf(env.Out, "Operator: %s\nServer:   %s\n", unknown(known.Operator), unknown(known.Server))
	for _, problem := range known.Problems {
		fmt.Fprintf(env.ErrOut, "warning: %s\n", problem)
	}
}
