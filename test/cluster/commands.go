package main

import (
	"cmp"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/metricspipeline/operator/test/cluster/internal/cluster"
	"github.com/metricspipeline/operator/test/cluster/internal/components"
)

// program is what the commands share; its fields are the global flags.
type program struct {
	log      func(string, ...any)
	stateDir string
	source   string
}

// stateDirVariable names the state folder for every command of a script.
const stateDirVariable = "CLUSTER_STATE_DIR"

func newCommand(log func(string, ...any)) *cobra.Command {
	p := &program{log: log}
	root := &cobra.Command{
		Use:   "cluster",
		Short: "A real single-node Kubernetes cluster from Go modules and Debian packages",
		Long: `A real single-node Kubernetes cluster from Go modules and Debian packages: no image registry, no prebuilt
binaries, nothing outside of loopback and a network namespace of its own.

The first up builds everything, which takes about 9 minutes on two processors; the binaries are kept in the user's cache
folder. After that a start takes about 20 seconds. The cluster has CoreDNS, prometheus-operator and the Prometheus
monitoring/k8s, which takes up monitors and rules labeled prometheus=k8s. The images of metrics-server and
prometheus-adapter are loaded. NetworkPolicies are accepted, and enforced with a flag of up.`,
		Example: `  cluster up
  export KUBECONFIG=$(cluster kubeconfig) PATH=$(cluster binaries kubectl):$PATH
  cluster load example.test/app:dev --binary bin/app
  cluster down`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVar(&p.stateDir, "state-dir", cmp.Or(os.Getenv(stateDirVariable), cluster.DefaultStateDir),
		"folder with everything of the cluster; each cluster that is up has its own (the default is "+stateDirVariable+", if that is set)")
	flags.StringVar(&p.source, "components", "", "the folder test/cluster/components (default: found from the working directory)")
	root.AddCommand(p.up(), p.down(), p.load(), p.kubeconfig(), p.status(), p.binaries(), p.execInNode(), p.addon(), p.fault(),
		p.dial(), p.push(), p.forward(), p.accept(), p.registry())
	return root
}

func (p *program) builder() (*components.Builder, error) {
	source, err := components.FindSource(p.source)
	if err != nil {
		return nil, err
	}
	return components.NewBuilder(source, p.log)
}

// cluster is the cluster of the state folder, for all that needs no building.
func (p *program) cluster() (*cluster.Cluster, error) { return cluster.New(p.stateDir, nil, p.log) }

// buildingCluster is the cluster of the state folder, for what builds parts that are missing.
func (p *program) buildingCluster() (*cluster.Cluster, error) {
	builder, err := p.builder()
	if err != nil {
		return nil, err
	}
	return cluster.New(p.stateDir, builder, p.log)
}

func (p *program) up() *cobra.Command {
	var options cluster.Options
	command := &cobra.Command{
		Use:   "up",
		Short: "Build what is missing, start the cluster and wait until everything serves (root)",
		Long: `Build what is missing, start the cluster and wait until everything serves. Needs root.

The daemons stay in the background. A second up on a healthy cluster returns at once. When a start fails, what was
started is taken down again and the logs are kept in the state folder.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := p.buildingCluster()
			if err != nil {
				return err
			}
			if err := c.Up(command.Context(), options); err != nil {
				return err
			}
			return c.Summary(command.Context(), command.OutOrStdout())
		},
	}
	command.Flags().BoolVar(&options.WithoutPrometheus, "without-prometheus", false,
		"leave out prometheus-operator and its Prometheus")
	command.Flags().BoolVar(&options.EnforceNetworkPolicies, "enforce-network-policies", false,
		"enforce NetworkPolicies, and add a host outside of the cluster to connect to")
	command.Flags().BoolVar(&options.NextControlPlane, "next-control-plane", false,
		"run kube-apiserver and kube-controller-manager of the next minor of Kubernetes, which takes minutes to build")
	command.Flags().DurationVar(&options.Timeout, "timeout", 3*time.Minute, "time for the start, after the building")
	return command
}

func (p *program) down() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the cluster and remove everything but its logs, after any failure (root)",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := p.cluster()
			if err != nil {
				return err
			}
			return c.Down()
		},
	}
}

func (p *program) load() *cobra.Command {
	var binary string
	var entrypoint []string
	command := &cobra.Command{
		Use:   "load IMAGE",
		Short: "Put an image into the cluster: a docker archive, or a static executable with --binary (root)",
		Long: `Put an image into the cluster. Needs root.

IMAGE is the path of a docker archive, or, with --binary, the name:tag under which the executable is packed. The
executable must be static; it lies at the root of the image under its file name and runs as user 65532.`,
		Example: "  cluster load example.test/app:dev --binary bin/app\n  cluster load app.tar",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.cluster()
			if err != nil {
				return err
			}
			if binary == "" {
				loaded, err := c.LoadArchive(command.Context(), args[0])
				if err == nil {
					p.log("%s", loaded)
				}
				return err
			}
			if err := c.LoadBinary(command.Context(), args[0], binary, entrypoint); err != nil {
				return err
			}
			p.log("loaded %s", args[0])
			return nil
		},
	}
	command.Flags().StringVar(&binary, "binary", "", "static executable to pack as the image")
	command.Flags().StringArrayVar(&entrypoint, "entrypoint", nil,
		"with --binary: one word of the entrypoint, repeatable (default: the executable)")
	return command
}

func (p *program) kubeconfig() *cobra.Command {
	return &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the path of the administrator's kubeconfig, good on this host",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := p.cluster()
			if err != nil {
				return err
			}
			path, err := c.KubeconfigPath()
			if err == nil {
				fmt.Fprintln(command.OutOrStdout(), path)
			}
			return err
		},
	}
}

func (p *program) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show daemons, node and pods; fails when the cluster is not up or not healthy",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			c, err := p.cluster()
			if err != nil {
				return err
			}
			return c.Status(command.Context(), command.OutOrStdout())
		},
	}
}

func (p *program) binaries() *cobra.Command {
	var forUp, withoutPrometheus bool
	command := &cobra.Command{
		Use:   "binaries [NAME...]",
		Short: "Build the named binaries, or all but those of make test-stack, and print one folder that has them (no root needed)",
		Args:  cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, names []string) error {
			builder, err := p.builder()
			if err != nil {
				return err
			}
			switch {
			case forUp:
				names = append(names, cluster.NeededBinaries(cluster.Options{WithoutPrometheus: withoutPrometheus})...)
			case len(names) == 0:
				names = components.UsualNames()
			}
			dir, err := builder.Directory(command.Context(), names...)
			if err == nil {
				fmt.Fprintln(command.OutOrStdout(), dir)
			}
			return err
		},
	}
	command.Flags().BoolVar(&forUp, "for-up", false, "those that up without flags starts or puts into the cluster")
	command.Flags().BoolVar(&withoutPrometheus, "without-prometheus", false, "with --for-up: those of up with this flag")
	return command
}

func (p *program) execInNode() *cobra.Command {
	command := &cobra.Command{
		Use:   "exec-in-node COMMAND [ARGUMENT...]",
		Short: "Run a command in the node's network namespace (root)",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := p.cluster()
			if err != nil {
				return err
			}
			return c.ExecInNode(command.Context(), args)
		},
	}
	// Flags after the command's name are the command's.
	command.Flags().SetInterspersed(false)
	return command
}

// forward is what up starts in the background.
func (p *program) forward() *cobra.Command {
	return &cobra.Command{
		Use:    "forward ADDRESS",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return cluster.Forward(args[0]) },
	}
}
