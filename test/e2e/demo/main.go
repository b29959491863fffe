// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work on the cluster of KUBECONFIG: it installs the operator and a sample
// application, applies one MetricsPipeline with nothing in its spec, puts load on the application and takes it away again, and draws
// what follows. Then it breaks the HPA, and asks why. It fails if the application is not scaled, or the fault is not named. `make demo`
// runs it.
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

	v1alpha1 "github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// app is the name of the sample application, its Deployment, Service and HorizontalPodAutoscaler.
	app = "web"
	// load is sent to it, target is what one pod is meant to take.
	load, target = 120, 40
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
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result, err := play(limited, cluster, show)
	if err != nil && ctx.Err() == nil {
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

// play runs the acts, each of which ends when what it is about has happened, and returns what has come of it.
func play(ctx context.Context, cluster *kit.Cluster, show *show) (string, error) {
	show.say("One MetricsPipeline, from nothing to an application that scales on its own metric.\n")
	acts := []struct {
		title string
		start func(context.Context) error
		ended func(scene) bool
	}{
		{
			"installing the operator and a sample application",
			func(ctx context.Context) error { return install(ctx, cluster) },
			func(now scene) bool { return now.operator == "ready" && now.replicas == 1 },
		},
		{
			"kubectl apply -f the pipeline: spec: {}, and no rule",
			func(ctx context.Context) error { return applyPipeline(ctx, cluster) },
			func(now scene) bool { return now.ready },
		},
		{
			"waiting for the first numbers: the rule follows from the HPA",
			func(context.Context) error { return nil },
			func(now scene) bool { return now.metricKnown },
		},
		{
			fmt.Sprintf("load on: %d requests/s, an HPA wants %d per pod", load, target),
			func(ctx context.Context) error { return show.setLoad(ctx, load) },
			func(now scene) bool { return now.replicas == kit.SampleMaxReplicas },
		},
		{
			"load off",
			func(ctx context.Context) error { return show.setLoad(ctx, 0) },
			func(now scene) bool { return now.replicas == 1 },
		},
		{
			"a mistake: the HPA reads " + typo,
			func(ctx context.Context) error { return misspell(ctx, cluster) },
			func(now scene) bool { return now.failing },
		},
	}
	for _, act := range acts {
		if err := show.act(ctx, act.title, act.start, act.ended); err != nil {
			return "", fmt.Errorf("%s: %w", act.title, err)
		}
	}
	status, err := cluster.Kubectl(ctx, "get", "metricspipeline")
	if err != nil {
		return "", err
	}
	reason, err := why(ctx, cluster)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("The HPA scaled %s from 1 to %d pods and back on http_requests_per_second, a custom metric for which nobody wrote "+
		"a rule.\n\nkubectl get metricspipeline\n%s\nThen it was broken.\n\nkubectl metricspipeline why hpa/%s --namespace %s\n%s",
		app, kit.SampleMaxReplicas, status, app, kit.SampleNamespace, reason), nil
}

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

func install(ctx context.Context, cluster *kit.Cluster) error {
	objects := append(kit.SampleNamespaceObjects(), kit.SampleApp(app)...)
	objects = append(objects, kit.SampleScaler(app, kit.RequestsOfPods(target)))
	if err := cluster.Apply(ctx, objects...); err != nil {
		return err
	}
	return cluster.InstallOperator(ctx)
}

func applyPipeline(ctx context.Context, cluster *kit.Cluster) error {
	pipeline, err := cluster.Sample(kit.SamplePlain)
	if err != nil {
		return err
	}
	return cluster.ApplyPipeline(ctx, pipeline)
}

// cleanUp removes everything that play brought, also after an interrupt.
func cleanUp(ctx context.Context, cluster *kit.Cluster, show *show) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	show.say("cleaning up")
	// The pipeline first, while the operator is there to see it go.
	return errors.Join(
		cluster.DeletePipeline(ctx),
		cluster.Delete(ctx, kit.SampleNamespaceObjects()[0]),
		cluster.UninstallOperator(ctx),
	)
}
