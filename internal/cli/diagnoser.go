// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/scale"
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
	scales, err := scalesOf(config, c)
	if err != nil {
		return nil, err
	}
	var found *v1alpha1.MetricsPipeline
	read := &v1alpha1.MetricsPipeline{}
	notRead := c.Get(ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, read)
	if notRead == nil {
		found = read
	}
	l := &live{collect.Sources{Objects: c, Mapper: c.RESTMapper(), Scales: scales, Explain: explainer(),
		Pipeline: func(context.Context) (*v1alpha1.MetricsPipeline, error) { return found, notRead }}}
	asked, unasked := askPrometheus(ctx, config, found, direct)
	if unasked != nil { // The rest can be seen all the same.
		l.sources.NoPrometheus = unasked.Error()
	} else {
		l.sources.Prometheus = collect.Ask(asked)
	}
	return l, nil
}

// scalesOf reads the subresource scale of any kind.
func scalesOf(config *rest.Config, c client.Client) (scale.ScalesGetter, error) {
	discovered, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client of the API server %s: %w", config.Host, err)
	}
	scales, err := scale.NewForConfig(rest.CopyConfig(config), c.RESTMapper(), dynamic.LegacyAPIPathResolverFunc,
		scale.NewDiscoveryScaleKindResolver(discovered))
	if err != nil {
		return nil, fmt.Errorf("make a client of scales: %w", err)
	}
	return scales, nil
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
