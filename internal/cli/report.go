// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
)

// Bounds of a report.
const (
	logLines    = 2000
	mostLog     = 1 << 20
	mostObjects = 200
)

func reportCommand(env *environment) *cobra.Command {
	var (
		file, namespace string
		timeout         time.Duration
	)
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write an archive to attach to an issue",
		Long: `Write an archive to attach to an issue, and print what it contains.

It has the MetricsPipeline, the APIServices of the metrics APIs, the Deployments, Pods, Events and logs of the operator and its
components, the versions, and how many objects of some kinds there are. Of a log it has the last 2000 lines, at most 1 MiB, and those of
the container before a restart.

No Secret is read. Values of environment variables, the text of spec.patches and what looks like a credential are replaced. Of tenants
there are only counts: lists of the status that name their apps are left out, and in messages and logs the names of other namespaces are
replaced where they are recognized as such. Read the archive before you publish it.

Exit codes:

    0  the archive is complete
    2  something could not be read; errors.txt in the archive says what
    3  the archive could not be written
    4  the command line is not understood`,
		Example: `  kubectl metricspipeline report
  kubectl metricspipeline report -f /tmp/report.tar.gz --operator-namespace kube-system`,
		Args: noArguments,
		RunE: perform(func(ctx context.Context, _ []string) error {
			limited, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			now := env.now().UTC()
			if file == "" {
				file = "metricspipeline-report-" + now.Format("20060102-150405") + ".tar.gz"
			}
			gathered, err := env.gather(limited, namespace)
			if err != nil {
				return err
			}
			if err := env.writeReport(gathered, file, now); err != nil {
				return err
			}
			if len(gathered.problems) > 0 {
				return exit(ExitUnseen)
			}
			return nil
		}),
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "",
		"The archive to write, metricspipeline-report-TIME.tar.gz by default. It must not exist.")
	cmd.Flags().StringVar(&namespace, "operator-namespace", "", "The operator's namespace, found by its Deployment by default.")
	cmd.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "How long to gather at most.")
	return cmd
}

// gather reads what a report has.
func (e *environment) gather(ctx context.Context, namespace string) (*gathered, error) {
	reader, err := e.client()
	if err != nil {
		return nil, err
	}
	config, err := e.config()
	if err != nil {
		return nil, err
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server %s: %w", config.Host, err)
	}
	g := &gathered{reader: reader, clients: clients, namespace: namespace}
	g.findNamespace(ctx)
	g.versions(e.versions(ctx))
	g.pipeline(ctx)
	g.apiServices(ctx)
	g.workloads(ctx)
	g.events(ctx)
	g.logs(ctx)
	g.counts(ctx)
	g.finish(ctx)
	return g, nil
}

// writeReport writes the archive, only for its owner to read, and lists what it has.
func (e *environment) writeReport(g *gathered, file string, now time.Time) error {
	content, err := archive(g.files, now)
	if err != nil {
		return fmt.Errorf("pack the report: %w", err)
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the archive of --filename: %w; name a file that does not exist, in a folder that you may write to", err)
	}
	_, err = out.Write(content)
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	for _, written := range g.files {
		fmt.Fprintf(e.Out, "%8d  %s\n", len(written.content), written.name)
	}
	fmt.Fprintf(e.Out, "%s has these %d files. Read them before you publish them.\n", file, len(g.files))
	for _, problem := range g.problems {
		fmt.Fprintf(e.ErrOut, "warning: %s\n", problem)
	}
	return nil
}
