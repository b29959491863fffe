// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package component

// images are the versions that this release was tested with, and the environment variables that replace them, as OLM and
// mirrors of registries expect.
var images = map[string]struct{ variable, reference string }{
	MetricsServer:     {"RELATED_IMAGE_METRICS_SERVER", "registry.k8s.io/metrics-server/metrics-server:v0.9.0"},
	PrometheusAdapter: {"RELATED_IMAGE_PROMETHEUS_ADAPTER", "registry.k8s.io/prometheus-adapter/prometheus-adapter:v0.12.0"},
}

// Images returns the default images by component name; getenv returns an environment variable.
func Images(getenv func(string) string) map[string]string {
	references := map[string]string{}
	for name, image := range images {
		references[name] = image.reference
		if replaced := getenv(image.variable); replaced != "" {
			references[name] = replaced
		}
	}
	return references
}
