// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/metricspipeline/operator/internal/controller/pipeline"
	"github.com/metricspipeline/operator/internal/kubelet"
	"github.com/metricspipeline/operator/internal/probe"
)

// nodes returns what looks at the nodes and asks their kubelets.
func nodes(mgr ctrl.Manager, options Options, answered func()) (*pipeline.Nodes, error) {
	config := rest.CopyConfig(mgr.GetConfig())
	config.NegotiatedSerializer = serializer.NewCodecFactory(mgr.GetScheme()).WithoutConversion()
	api, err := rest.UnversionedRESTClientForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make the client of metrics.k8s.io: %w", err)
	}
	return pipeline.NewNodes(pipeline.NodesConfig{
		Prober: probe.New(answered, options.Timing.FirstProbe, options.Timing.LastKubelet),
		Live:   mgr.GetAPIReader(), Verify: kubelet.Verify,
		// That of the pods' own API server, which is what a component verifies kubelets by as well. It is read anew, as its file changes
		// when it is renewed.
		Authority: func() ([]byte, error) {
			config := rest.CopyConfig(mgr.GetConfig())
			err := rest.LoadTLSFiles(config)
			return config.CAData, err //nolint:wrapcheck // what cannot be read is asked without
		},
		WithMetrics: func(ctx context.Context) (sets.Set[string], error) { return kubelet.WithMetrics(ctx, api) },
		Clock:       options.Clock, Reports: options.Timing.Reports,
	}), nil
}
