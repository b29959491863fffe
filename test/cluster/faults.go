package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/metricspipeline/operator/test/cluster/internal/cluster"
)

func (p *program) fault() *cobra.Command {
	command := &cobra.Command{
		Use:   "fault",
		Short: "Do to the cluster that is up what a real one has to live with (root)",
		Args:  cobra.NoArgs,
	}
	run := func(do func(*cluster.Cluster, context.Context) error) func(*cobra.Command, []string) error {
		return func(command *cobra.Command, _ []string) error {
			c, err := p.cluster()
			if err != nil {
				return err
			}
			return do(c, command.Context())
		}
	}
	var pause time.Duration
	pauseEtcd := &cobra.Command{
		Use:   "pause-etcd",
		Short: "Stop etcd for a while, as a disk does that hangs, and wait until the API server is ready again (root)",
		Long: `Stop etcd for a while, as a disk does that hangs, and wait until the API server is ready again. Needs root.

etcd goes on when the time is over, and also when this command is interrupted or killed.`,
		Args: cobra.NoArgs,
		RunE: run(func(c *cluster.Cluster, ctx context.Context) error { return c.PauseEtcd(ctx, pause) }),
	}
	pauseEtcd.Flags().DurationVar(&pause, "for", 30*time.Second, "how long etcd is stopped")
	command.AddCommand(pauseEtcd, &cobra.Command{
		Use:   "restart-apiserver",
		Short: "Kill the API server, start it again and wait until it is ready (root)",
		Args:  cobra.NoArgs,
		RunE:  run((*cluster.Cluster).RestartAPIServer),
	}, &cobra.Command{
		Use:   "rotate-front-proxy",
		Short: "Replace the authority and certificate by which aggregated servers know the API server (root)",
		Long: `Replace the authority and the client certificate by which aggregated servers know the API server. Needs root.

This is done as an administrator would, without a restart: the new authority is trusted beside the old one, then the API
server shows its new certificate, then the old authority is trusted no more. Each step waits until the API server and
every endpoint of an aggregated server have followed; the error names the one that has not.`,
		Args: cobra.NoArgs,
		RunE: run((*cluster.Cluster).RotateFrontProxy),
	}, &cobra.Command{
		Use:   "kill-container ID",
		Short: "Kill a container's processes, as the kernel does when there is no memory left (root)",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			return run(func(c *cluster.Cluster, ctx context.Context) error { return c.KillContainer(ctx, args[0]) })(command, args)
		},
	})
	command.AddCommand(p.signKubelet())
	return command
}

func (p *program) signKubelet() *cobra.Command {
	return &cobra.Command{
		Use:   "sign-kubelet cluster|itself|another",
		Short: "Replace the kubelet's serving certificate, and print who signed it (root)",
		Long: `Replace the kubelet's serving certificate. Needs root.

It is signed by the cluster's authority, as it is after up; by the kubelet itself, for its name alone, as kubeadm leaves it;
or by another authority. The certificate of the last two is printed once the kubelet presents it. It is not restarted.`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{cluster.SignedByCluster, cluster.SignedByItself, cluster.SignedByAnother},
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.cluster()
			if err != nil {
				return err
			}
			authority, err := c.SignKubelet(command.Context(), args[0])
			if err == nil {
				_, err = command.OutOrStdout().Write(authority)
			}
			return err
		},
	}
}
