// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scrape

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// The test's own picture of Prometheus' service discovery: which labels it gives to the targets of a Service's endpoints
// and of Pods. The end-to-end tests compare it with a real Prometheus.

type testContainer struct {
	name  string
	init  bool
	ports []testPort
}

type testPort struct {
	name     string
	number   int
	protocol string
}

type testPod struct {
	name, ip string
	// host is the address of its node, 192.0.2.1 where it is empty.
	host string
	// app is the label app.kubernetes.io/name.
	app         string
	annotations map[string]string
	containers  []testContainer
}

// testEndpoints are the endpoints of a Service in one address family.
type testEndpoints struct {
	service     string
	annotations map[string]string
	ports       []testPort
	pods        []testPod
	// addresses replace the Pods' own, as hand-made endpoints can; withoutPods leaves the references to Pods out.
	addresses   []string
	withoutPods bool
}

type labelSet map[string]string

func (p testPod) labels() labelSet {
	set := labelSet{
		"__meta_kubernetes_pod_name": p.name, "__meta_kubernetes_pod_ip": p.ip, "__meta_kubernetes_pod_phase": "Running",
		"__meta_kubernetes_namespace": "apps", "__meta_kubernetes_pod_host_ip": cmp.Or(p.host, "192.0.2.1"),
		"__meta_kubernetes_pod_label_app_kubernetes_io_name": p.app,
	}
	annotate(set, "pod", p.annotations)
	return set
}

func annotate(set labelSet, kind string, annotations map[string]string) {
	for key, value := range annotations {
		set["__meta_kubernetes_"+kind+"_annotation_"+notInLabel.ReplaceAllString(key, "_")] = value
		set["__meta_kubernetes_"+kind+"_annotationpresent_"+notInLabel.ReplaceAllString(key, "_")] = "true"
	}
}

func containerPort(set labelSet, c testContainer, port testPort) {
	set["__meta_kubernetes_pod_container_name"] = c.name
	set["__meta_kubernetes_pod_container_init"] = fmt.Sprint(c.init)
	if port.number != 0 {
		set["__meta_kubernetes_pod_container_port_name"] = port.name
		set["__meta_kubernetes_pod_container_port_number"] = fmt.Sprint(port.number)
		set["__meta_kubernetes_pod_container_port_protocol"] = port.protocol
	}
}

func address(host string, port int) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d", host, port)
}

// discover returns the targets of endpoints for the role endpointslice or endpoints.
func (e testEndpoints) discover(role string) []labelSet {
	var targets []labelSet
	for i, pod := range e.pods {
		base := labelSet{"__meta_kubernetes_namespace": "apps", "__meta_kubernetes_service_name": e.service}
		annotate(base, "service", e.annotations)
		if !e.withoutPods {
			maps.Copy(base, pod.labels())
		}
		host := pod.ip
		if len(e.addresses) > i {
			host = e.addresses[i]
		}
		seen := map[int]bool{}
		for _, port := range e.ports {
			target := maps.Clone(base)
			target["__address__"] = address(host, port.number)
			target["__meta_kubernetes_"+role+"_port_name"] = port.name
			target["__meta_kubernetes_"+role+"_port_protocol"] = port.protocol
			seen[port.number] = true
			for _, c := range pod.containers {
				for _, declared := range c.ports {
					if declared.number == port.number && !e.withoutPods {
						containerPort(target, c, declared)
					}
				}
			}
			targets = append(targets, target)
		}
		for _, c := range pod.containers {
			for _, declared := range c.ports {
				if !seen[declared.number] && !e.withoutPods {
					target := maps.Clone(base)
					target["__address__"] = address(pod.ip, declared.number)
					containerPort(target, c, declared)
					targets = append(targets, target)
				}
			}
		}
	}
	return targets
}

// discover returns the targets of a Pod for the role pod.
func (p testPod) discover() []labelSet {
	var targets []labelSet
	for _, c := range p.containers {
		if len(c.ports) == 0 {
			target := p.labels()
			target["__address__"] = p.ip
			containerPort(target, c, testPort{})
			targets = append(targets, target)
		}
		for _, port := range c.ports {
			target := p.labels()
			target["__address__"] = address(p.ip, port.number)
			containerPort(target, c, port)
			targets = append(targets, target)
		}
	}
	return targets
}

// scraped runs discovered targets through prometheus-operator's own relabelings and then a monitor's, with Prometheus' own
// code, and returns the targets that are left as "URL label=value ...". As in Prometheus, targets are the same when all their
// labels are, hidden ones included, but for those of the discovery.
func scraped(t *testing.T, targets []labelSet, relabelings []monitoringv1.RelabelConfig, params map[string][]string) []string {
	t.Helper()
	for _, target := range targets {
		target.relabelLikeOperator()
	}
	return slices.Sorted(maps.Values(relabeledTargets(t, targets, relabelings, params)))
}

// relabelLikeOperator sets the labels that prometheus-operator's own relabelings give to a target.
func (l labelSet) relabelLikeOperator() {
	l["__scheme__"], l["__metrics_path__"] = "http", "/metrics"
	l["job"] = "apps/m" // That of Pods.
	for label, from := range map[string]string{
		"namespace": "__meta_kubernetes_namespace", "service": "__meta_kubernetes_service_name",
		"pod": "__meta_kubernetes_pod_name", "container": "__meta_kubernetes_pod_container_name", "job": "__meta_kubernetes_service_name",
	} {
		if l[from] != "" {
			l[label] = l[from]
		}
	}
}

// relabeledTargets returns how the targets that are left are described, by all their labels.
func relabeledTargets(
	t *testing.T, targets []labelSet, relabelings []monitoringv1.RelabelConfig, params map[string][]string,
) map[string]string {
	t.Helper()
	configs := make([]*relabel.Config, 0, len(relabelings))
	for _, relabeling := range relabelings {
		configs = append(configs, prometheusRelabeling(t, relabeling))
	}
	found := map[string]string{}
	for _, target := range targets {
		builder := labels.NewBuilder(labels.FromMap(target))
		if !relabel.ProcessBuilder(builder, configs...) {
			continue
		}
		described := describe(builder.Labels(), params)
		builder.Range(func(l labels.Label) {
			if strings.HasPrefix(l.Name, model.MetaLabelPrefix) {
				builder.Del(l.Name)
			}
		})
		found[builder.Labels().String()] = described
	}
	return found
}

func describe(set labels.Labels, params map[string][]string) string {
	text := set.Get("__scheme__") + "://" + set.Get("__address__") + set.Get("__metrics_path__")
	if len(params) > 0 {
		text += fmt.Sprint("?", params)
	}
	for _, name := range []string{"service", "pod", "container", "endpoint"} {
		if value := set.Get(name); value != "" {
			text += " " + name + "=" + value
		}
	}
	return text
}

// compiled are regular expressions by their text: nearly all are the same for every monitor, and to compile them takes most
// of the time of a fuzz run.
var compiled sync.Map

func prometheusRelabeling(t *testing.T, relabeling monitoringv1.RelabelConfig) *relabel.Config {
	t.Helper()
	config := relabel.DefaultRelabelConfig
	config.Action = relabel.Action(strings.ToLower(relabeling.Action))
	for _, label := range relabeling.SourceLabels {
		config.SourceLabels = append(config.SourceLabels, model.LabelName(label))
	}
	if relabeling.Separator != nil {
		config.Separator = *relabeling.Separator
	}
	if relabeling.Regex != "" {
		regex, known := compiled.Load(relabeling.Regex)
		if !known {
			fresh, err := relabel.NewRegexp(relabeling.Regex)
			if err != nil {
				t.Fatalf("relabeling %+v: %v", relabeling, err)
			}
			regex, _ = compiled.LoadOrStore(relabeling.Regex, fresh)
		}
		config.Regex = regex.(relabel.Regexp)
	}
	config.TargetLabel = relabeling.TargetLabel
	if relabeling.Replacement != nil {
		config.Replacement = *relabeling.Replacement
	}
	if err := config.Validate(model.UTF8Validation); err != nil {
		t.Fatalf("relabeling %+v: %v", relabeling, err)
	}
	return &config
}
