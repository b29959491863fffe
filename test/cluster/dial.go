package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/metricspipeline/operator/test/cluster/internal/cluster"
)

func (p *program) dial() *cobra.Command {
	var from string
	command := &cobra.Command{
		Use:   "dial ADDRESS...",
		Short: "Connect over TCP from the network of a container, of the node or of the host outside (root)",
		Long: `Connect over TCP to each ADDRESS, host:port, and close the connection. Needs root.

Prints ADDRESS and "open", or ADDRESS and "closed" with the error. Fails only where it cannot try.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.cluster()
			if err != nil {
				return err
			}
			for _, address := range args {
				err := c.Dial(command.Context(), from, address)
				switch refused := (cluster.RefusedError{}); {
				case err == nil:
					fmt.Fprintln(command.OutOrStdout(), address, "open")
				case errors.As(err, &refused):
					fmt.Fprintln(command.OutOrStdout(), address, "closed", refused.Err)
				default:
					return err
				}
			}
			return nil
		},
	}
	command.Flags().StringVar(&from, "from", "node", `the ID of a container, as in a pod's status, or "node" or "outside"`)
	return command
}

// accept is what up starts in the background.
func (p *program) accept() *cobra.Command {
	return &cobra.Command{
		Use:    "accept ADDRESS...",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return cluster.Accept(args) },
	}
}
