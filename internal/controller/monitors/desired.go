// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// typed returns the monitors that a namespace should have; where special is false, without the apps that have endpoints of their own.
func (r *Reconciler) typed(s *settings, ns *metav1.PartialObjectMetadata, special bool) []client.Object {
	if s.off || !s.scrapes(ns.Labels) {
		return nil
	}
	apps := r.index.View(ns.Name)
	if !special {
		apps.Special, apps.Queries, apps.PodsSeen.Ports = nil, nil, 0
	}
	config := s.in(ns.Labels)
	config.ServicesSeen, config.PodsSeen, config.Queries = apps.ServicesSeen, apps.PodsSeen, apps.Queries
	config.Both = apps.Pods || apps.HostPods && config.HostNetwork
	typed := s.ofServices(ns.Name, apps, config)
	if config.Both {
		typed = append(typed, s.ofPods(ns.Name, config)...)
	}
	return typed
}

// desired returns the monitors that a namespace should have, as they are applied.
func (r *Reconciler) desired(s *settings, ns *metav1.PartialObjectMetadata) ([]*unstructured.Unstructured, error) {
	var desired []*unstructured.Unstructured
	for _, object := range r.typed(s, ns, true) {
		u, err := apply.FromTyped(object)
		if err != nil {
			return nil, err
		}
		u.SetOwnerReferences([]metav1.OwnerReference{ownership.Pipeline(s.pipeline)})
		desired = append(desired, u)
	}
	return desired, nil
}

// in returns what the monitors of a namespace with these labels are made from.
func (s *settings) in(set map[string]string) scrape.Config {
	config := s.config
	config.HostNetwork, config.HonorLabels = s.scrapesHosts(set), s.honors.Matches(labels.Set(set))
	if !s.tokens.Matches(labels.Set(set)) {
		config.Token = nil
	}
	return config
}

// ofServices returns the monitors of a namespace's Services. Those with the scheme https have their own where it needs an object that
// may be missing: prometheus-operator rejects the whole monitor then.
func (s *settings) ofServices(namespace string, apps index.View, config scrape.Config) []client.Object {
	config.Labels = s.services
	var monitors []client.Object
	if s.rules().PerService {
		for _, app := range apps.Services {
			monitors = append(monitors, scrape.ServiceMonitorFor(app, monitorName+"-"+app.Name, config))
		}
		return monitors
	}
	if !apps.Plain && len(apps.Special) == 0 {
		return nil
	}
	if !config.OwnHTTPS() {
		return append(monitors, scrape.ServiceMonitor(namespace, monitorName, apps.Special, config))
	}
	config.Schemes = scrape.OnlyHTTP
	monitors = append(monitors, scrape.ServiceMonitor(namespace, monitorName, apps.Special, config))
	if apps.ServicesSeen.HTTPS {
		config.Schemes = scrape.OnlyHTTPS
		monitors = append(monitors, scrape.ServiceMonitor(namespace, scrape.HTTPSName(monitorName), apps.Special, config))
	}
	return monitors
}

// ofPods returns the monitors of a namespace's Pods, as ofServices does.
func (s *settings) ofPods(namespace string, config scrape.Config) []client.Object {
	config.Labels = s.pods
	if !config.OwnHTTPS() {
		return []client.Object{scrape.PodMonitor(namespace, monitorName, config)}
	}
	config.Schemes = scrape.OnlyHTTP
	monitors := []client.Object{scrape.PodMonitor(namespace, monitorName, config)}
	if config.PodsSeen.HTTPS {
		config.Schemes = scrape.OnlyHTTPS
		monitors = append(monitors, scrape.PodMonitor(namespace, scrape.HTTPSName(monitorName), config))
	}
	return monitors
}
