// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work on the cluster of KUBECONFIG: it installs the operator and a sample
// application, applies one MetricsPipeline, puts load on the application and takes it away again, and draws what
// follows. It fails if the application is not scaled. `make demo` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/metricspipeline/operator/test/e2e/kit"
)

const (
	// app is the name of the sample application, its Deployment, Service and HorizontalPodAutoscaler.
	app = "web"
	// load is sent to it, target is what one pod is meant to take.
	load, target = 120, 40
)

func main() {
	keep := flag.Bool("keep", false, "leave the operator, the pipeline and the sample application in the cluster")
	limit := flag.Duration("timeout", 8*time.Minute, "how long all of it may take")
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
			"kubectl apply -f the pipeline",
			func(ctx context.Context) error { return applyPipeline(ctx, cluster) },
			func(now scene) bool { return now.ready },
		},
		{
			"waiting for the first numbers",
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
	return fmt.Sprintf("The HPA scaled %s from 1 to %d pods and back on http_requests_per_second, a custom metric.\n\n"+
		"kubectl get metricspipeline\n%s", app, kit.SampleMaxReplicas, status), nil
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
	pipeline, err := cluster.QuickSample()
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
