// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work on the cluster of KUBECONFIG. It installs the operator; applies a pipeline whose Prometheus the
// operator runs, an annotated application and an HPA, at once, with no rule and no monitor; puts load on the application and takes it away
// again; and draws what follows. Then it breaks the HPA, and asks why. It fails if the application is not scaled, the fault is not
// named, or anything is left in the end. `make demo` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/demo/picture"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// app is the name of the sample application, its Deployment, Service and HorizontalPodAutoscaler.
	app = "web"
	// load is sent to it, target is what one pod is meant to take.
	load, target = 120, 40
	// manifest is the file of what is applied at once.
	manifest = "dist/demo.yaml"
	// typo is what the HPA reads in the end.
	typo = "http_reqeusts_per_second"
)

func main() {
	keep := flag.Bool("keep", false, "leave the operator, the pipeline and the sample application in the cluster")
	limit := flag.Duration("timeout", 12*time.Minute, "how long all of it may take")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *limit, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, limit time.Duration, keep bool) error {
	cluster, err := kit.Connect()
	if err != nil {
		return err
	}
	show := newShow(cluster, os.Stdout)
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it has not come to its end within %s, the time for all", limit))
	defer cancel()
	if err := empty(limited, cluster); err != nil {
		return err
	}
	result, err := perform(limited, cluster, show)
	if err != nil && ctx.Err() == nil {
		show.say("FAILED: %v\nWhat the cluster has of it follows on stderr.", err)
		cluster.Dump(ctx, os.Stderr)
	}
	if !keep {
		err = errors.Join(err, cleanUp(ctx, cluster, show))
	}
	if err != nil {
		return err
	}
	// The last thing on the screen is what came of it, not the tidying up.
	show.say("\n%s", result)
	return nil
}

// act is a part of the demo, which ends when what it is about has happened.
type act struct {
	title string
	start func(context.Context) error
	ended func(*picture.Seen) bool
	// stays is true where the picture is left on the screen.
	stays bool
}

func acts(cluster *kit.Cluster, show *show) []act {
	return []act{
		{
			title: "kubectl apply -f dist/install.yaml   # the operator",
			start: cluster.InstallOperator,
			ended: func(now *picture.Seen) bool { return now.Operator != nil && kit.RolledOut(now.Operator) },
		},
		{
			title: "kubectl apply -f " + manifest + "   # a pipeline with `managed: {}`, an annotated app, an HPA: no rule, no monitor",
			start: func(ctx context.Context) error { return applyAll(ctx, cluster) },
			ended: func(now *picture.Seen) bool { _, known := now.Rate(); return known },
		},
		{
			title: fmt.Sprintf("load on: %d requests/s; the HPA has a target of %d per pod", load, target),
			start: func(ctx context.Context) error { return show.setLoad(ctx, load) },
			ended: func(now *picture.Seen) bool { return now.Replicas() == kit.SampleMaxReplicas },
			stays: true,
		},
		{
			title: "load off",
			start: func(ctx context.Context) error { return show.setLoad(ctx, 0) },
			ended: func(now *picture.Seen) bool { return now.Replicas() == 1 && now.Scaler.Status.DesiredReplicas == 1 },
		},
		{
			title: "a mistake: the HPA reads " + typo,
			start: func(ctx context.Context) error { return misspell(ctx, cluster) },
			ended: func(now *picture.Seen) bool { return now.Failure() != nil },
			stays: true,
		},
	}
}

// perform plays the acts and returns what has come of them.
func perform(ctx context.Context, cluster *kit.Cluster, show *show) (string, error) {
	show.say("From nothing to an application that scales on its own metric, in five steps:\n" +
		"app -> Prometheus -> adapter -> APIService -> HPA\n")
	for _, act := range acts(cluster, show) {
		if err := show.play(ctx, act); err != nil {
			return "", fmt.Errorf("%s: %w", act.title, err)
		}
	}
	status, err := cluster.Kubectl(ctx, "get", "metricspipeline")
	if err != nil {
		return "", err
	}
	if missing := show.look(ctx).NotReady(); missing != "" {
		status += missing + "\n"
	}
	reason, err := why(ctx, cluster)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(summary, app, kit.SampleMaxReplicas, status, app, kit.SampleNamespace, reason), nil
}

const summary = `The HPA scaled %s from 1 to %d pods and back on http_requests_per_second. Nobody wrote a rule or a monitor, and the
Prometheus came with the pipeline.

$ kubectl get metricspipeline
%s
Then the name of the metric was misspelled.

$ kubectl metricspipeline why hpa/%s --namespace %s
%s`

// misspell has the HPA read a metric that there is not.
func misspell(ctx context.Context, cluster *kit.Cluster) error {
	scaler := kit.SampleScaler(app, kit.RequestsOfPods(target))
	scaler.Spec.Metrics[0].Pods.Metric.Name = typo
	return cluster.Apply(ctx, scaler)
}

// why runs the command line, which has to name the mistake.
func why(ctx context.Context, cluster *kit.Cluster) (string, error) {
	program := filepath.Join(cluster.Root, "bin", "kubectl-metricspipeline")
	out, err := exec.CommandContext(ctx, program, "why", "hpa/"+app, "--namespace", kit.SampleNamespace).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), v1alpha1.AutoscalerRuleMissing) {
		return "", fmt.Errorf("%s does not name the mistake: %w\n%s", program, err, out)
	}
	return string(out), nil
}

// applyAll writes the manifest and applies it, as a user would. It has neither rule nor monitor.
func applyAll(ctx context.Context, cluster *kit.Cluster) error {
	pipeline, err := cluster.Sample(kit.SampleManaged)
	if err != nil {
		return err
	}
	objects := append(kit.SampleNamespaceObjects(), pipeline)
	objects = append(objects, kit.SampleApp(app)...)
	objects = append(objects, kit.SampleScaler(app, kit.RequestsOfPods(target)))
	content, err := cluster.Manifest(objects...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(cluster.Root, manifest), content, 0o600); err != nil {
		return err
	}
	_, err = cluster.Kubectl(ctx, "apply", "-f", manifest)
	return err
}

// empty returns an error where the cluster has an operator: the demo brings its own, and takes it away with all that it made.
func empty(ctx context.Context, cluster *kit.Cluster) error {
	for _, name := range []string{kit.OperatorNamespace, kit.SampleNamespace} {
		err := cluster.Client.Get(ctx, client.ObjectKey{Name: name}, &corev1.Namespace{})
		switch {
		case err == nil:
			return fmt.Errorf("the cluster has the namespace %s: the demo installs an operator and an application of its own, and "+
				"deletes them in the end; name a cluster without them in KUBECONFIG, or uninstall them first (README, \"Uninstall\")", name)
		case !apierrors.IsNotFound(err):
			return err
		}
	}
	return nil
}

// cleanUp removes everything that play brought, also after an interrupt.
func cleanUp(ctx context.Context, cluster *kit.Cluster, show *show) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	show.say("%s  cleaning up: the pipeline, the application, the operator", picture.Clock(time.Since(show.start)))
	// The pipeline first, while the operator is there to see it go. Each of these fails where something is left.
	err := errors.Join(
		cluster.DeletePipeline(ctx),
		cluster.Delete(ctx, kit.SampleNamespaceObjects()[0]),
		cluster.UninstallOperator(ctx),
	)
	if err == nil {
		show.say("%s  nothing is left of it in the cluster", picture.Clock(time.Since(show.start)))
	}
	return err
}
