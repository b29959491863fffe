// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// upstream writes the configuration that prometheus-operator makes of monitors: it reads monitors.yaml of a folder and writes
// prometheus.yaml beside it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus-operator/prometheus-operator/pkg/assets"
	"github.com/prometheus-operator/prometheus-operator/pkg/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: upstream FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(folder string) error {
	text, err := os.ReadFile(filepath.Join(folder, "monitors.yaml"))
	if err != nil {
		return err
	}
	services, pods, err := read(string(text))
	if err != nil {
		return err
	}
	object := &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s"}}
	object.Spec.ScrapeInterval, object.Spec.EvaluationInterval = "30s", "30s"
	object.Spec.ServiceDiscoveryRole = ptr.To(monitoringv1.EndpointSliceRole)
	generator, err := prometheus.NewConfigGenerator(nil, object, prometheus.WithEndpointSliceSupport())
	if err != nil {
		return err
	}
	config, err := generator.GenerateServerConfiguration(object, services, pods, nil, nil, assets.NewTestStoreBuilder(
		secret("apps", "token"), secret("metricspipeline-system", "metricspipeline-metrics-token")), nil, nil, nil, nil)
	if err != nil {
		return err
	}
	// The config-reloader does so with the number of the shard, of which there is one.
	written := strings.ReplaceAll(string(config), "$(SHARD)", "0")
	return os.WriteFile(filepath.Join(folder, "prometheus.yaml"), []byte(written), 0o600)
}

// read returns the monitors by a key in their order.
func read(text string) (map[string]*monitoringv1.ServiceMonitor, map[string]*monitoringv1.PodMonitor, error) {
	services, pods := map[string]*monitoringv1.ServiceMonitor{}, map[string]*monitoringv1.PodMonitor{}
	for i, document := range strings.Split(text, "\n---\n") {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			return nil, nil, err
		}
		key := fmt.Sprintf("%03d", i)
		var into any
		if kind.Kind == monitoringv1.PodMonitorsKind {
			pods[key] = &monitoringv1.PodMonitor{}
			into = pods[key]
		} else {
			services[key] = &monitoringv1.ServiceMonitor{}
			into = services[key]
		}
		if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
			return nil, nil, fmt.Errorf("document %d: %w", i, err)
		}
	}
	return services, pods, nil
}

// secret is one with a token.
func secret(namespace, name string) *corev1.Secret {
	return &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"token": []byte("secret")}}
}
