package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/metricspipeline/operator/test/cluster/internal/cluster"
)

func (p *program) addon() *cobra.Command {
	names := strings.Join(cluster.Addons(), ", ")
	command := &cobra.Command{
		Use:   "addon",
		Short: "Install into the cluster that is up what it starts without, or remove it: " + names + " (root)",
		Args:  cobra.NoArgs,
	}
	add := func(use, short string, run func(*cluster.Cluster, context.Context, string) error) {
		command.AddCommand(&cobra.Command{
			Use:   use + " NAME",
			Short: short + " (root)",
			Long:  fmt.Sprintf("%s. Needs root.\n\nNAME is one of %s.", short, names),
			Args:  cobra.ExactArgs(1),
			RunE: func(command *cobra.Command, args []string) error {
				c, err := p.buildingCluster()
				if err != nil {
					return err
				}
				return run(c, command.Context(), args[0])
			},
		})
	}
	add("install", "Build an addon if need be, install it with its custom resources, and wait until it runs",
		(*cluster.Cluster).InstallAddon)
	add("remove", "Remove an addon, its custom resources and all objects of them, and wait until they are gone",
		(*cluster.Cluster).RemoveAddon)
	return command
}
