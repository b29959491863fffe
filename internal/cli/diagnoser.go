// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/operand/registry"
)

// live looks at HPAs in the cluster.
type live struct{ sources collect.Sources }

func (l *live) diagnose(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) (diagnose.Diagnosis, error) {
	evidence, err := l.collect(ctx, hpa)
	if err != nil {
		return diagnose.Diagnosis{}, err
	}
	return diagnose.Examine(evidence), nil
}

// collect returns the evidence of an HPA.
func (l *live) collect(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) (*diagnose.Evidence, error) {
	evidence, err := collect.New(l.sources).Collect(ctx, hpa)
	if err != nil {
		return nil, fmt.Errorf("look at HorizontalPodAutoscaler %s/%s: %w", hpa.Namespace, hpa.Name, err)
	}
	return evidence, nil
}

func (e *environment) newDiagnoser(ctx context.Context, c client.Client, direct string) (diagnoser, error) {
	return e.live(ctx, c, direct)
}

// live reads what all HPAs have in common once, and tries Prometheus once.
func (e *environment) live(ctx context.Context, c client.Client, direct string) (*live, error) {
	config, err := e.config()
	if err != nil {
		return nil, err
	}
	through, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server %s: %w", config.Host, err)
	}
	scales, resources, err := collect.NewScales(config, through, c.RESTMapper())
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it makes
	}
	var found *v1alpha1.MetricsPipeline
	read := &v1alpha1.MetricsPipeline{}
	notRead := c.Get(ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, read)
	if notRead == nil {
		found = read
	}
	l := &live{collect.Sources{Objects: c, Mapper: c.RESTMapper(), Scales: scales, Resources: resources, Explain: explainer(),
		Pipeline: func(context.Context) (*v1alpha1.MetricsPipeline, error) { return found, notRead }}}
	asked, unasked := askPrometheus(ctx, config, c, found, direct)
	if unasked != nil { // The rest can be seen all the same.
		l.sources.NoPrometheus = unasked.Error()
	} else {
		l.sources.Prometheus, l.sources.Targets = collect.Ask(asked), asked.PodTargets
	}
	return l, nil
}

// explainer is the operand that makes metrics by rules.
func explainer() operand.Explainer {
	for _, one := range registry.Operands() {
		if explains, ok := one.(operand.Explainer); ok {
			return explains
		}
	}
	return nil
}
