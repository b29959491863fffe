// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package managedprometheus

import (
	"fmt"
	"io/fs"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"github.com/metricspipeline/operator/internal/assets"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/scrape/promconfig"
)

// metricsToken is where pods find the token by which components are scraped.
const metricsToken = "/etc/prometheus/metrics-token"

// components are the jobs of the operator's own metrics and of its components': what their ServiceMonitors in the assets say. One whose
// certificate is not issued yet has none. The authorities are written into the configuration, so that no file can be missing which
// Prometheus would refuse all of it for, and no key of a component is near the pod.
func components(in operand.Input) ([]promconfig.Job, error) {
	if !operand.ScrapedWithoutMonitors(in) || len(in.Facts.Prometheus.Authorities) == 0 {
		return nil, nil
	}
	paths, err := fs.Glob(assets.Files, "*/*/servicemonitor.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the monitors of the assets: %w", err)
	}
	var all []promconfig.Job
	for _, path := range paths {
		jobs, err := component(in, path)
		if err != nil {
			return nil, fmt.Errorf("write the scrape configuration of %s: %w", path, err)
		}
		all = append(all, jobs...)
	}
	return all, nil
}

// component returns the jobs of the monitor at a path of the assets.
func component(in operand.Input, path string) ([]promconfig.Job, error) {
	text, err := assets.Files.ReadFile(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the path
	}
	monitor := &monitoringv1.ServiceMonitor{}
	if err := yaml.UnmarshalStrict(text, monitor); err != nil {
		return nil, err //nolint:wrapcheck // the caller names the path
	}
	monitor.Namespace = in.Facts.Namespace
	authority := ""
	jobs, err := promconfig.OfServiceMonitor(monitor, func(key promconfig.Reference) (string, bool) {
		if key.Name == cluster.MetricsSecret && key.Key == cluster.MetricsTokenKey {
			return metricsToken + "/" + key.Key, true
		}
		authority = in.Facts.Prometheus.Authorities[key.Name]
		return "", key.Key == authorityFile
	})
	if err != nil || authority == "" {
		return nil, err //nolint:wrapcheck // the caller names the path
	}
	for i := range jobs {
		jobs[i].TLS.CA = authority
	}
	return jobs, nil
}
