// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// The Prometheus that the operator runs, as more than its operand must know it.
const (
	// ManagedName is the name of its component, of its Service and, where it has no Prometheus object, of its Deployment.
	ManagedName = "managed-prometheus"
	// ManagedObject is the name of its Prometheus object.
	ManagedObject = "metricspipeline"
	// ManagedUser is whom queries of its Deployment are authenticated as.
	ManagedUser = "metricspipeline"
	// ManagedField is where the spec wants it.
	ManagedField = "spec.prometheus.managed"
	// managedInterval is how often it scrapes where the schema's default was bypassed.
	managedInterval = 30 * time.Second
	// ResourceJob is the job by which it scrapes /metrics/resource of each kubelet. No app has it: the job of an app is that of its
	// monitor.
	ResourceJob = "kubelet-resource"
	// Shards is how many ConfigMaps have its scrape configurations: one has no room for those of every namespace.
	Shards = 8
)

// ShardName is the name of a ConfigMap with scrape configurations, one key NAMESPACE.yaml for each namespace.
func ShardName(shard int) string { return fmt.Sprintf("%s-scrape-%d", ManagedName, shard) }

// ShardOf returns which ConfigMap has the scrape configurations of a namespace.
func ShardOf(namespace string) int {
	sum := fnv.New32a()
	sum.Write([]byte(namespace))
	return int(sum.Sum32() % Shards)
}

// Managed is what there is of the Prometheus that the operator runs, or is to run.
type Managed struct {
	// Namespace that it runs in.
	Namespace string
	// Plain is true where it is a Deployment, and no Prometheus object. What runs stays in its form.
	Plain bool
	// Exists is true where there is one, whatever the spec says.
	Exists bool
	// Revision changes with the Deployment and with the number of its ready pods.
	Revision string
}

// ManagedPort is the one that it answers at.
const ManagedPort = 9090

// ManagedURL returns where it is asked by who verifies its certificate by the name in the address: by its Service, in either form. base is
// where the operator asks it.
func ManagedURL(base string) string {
	_, host, _ := strings.Cut(base, "://")
	if labels := strings.Split(host, "."); len(labels) > 1 {
		return Managed{Namespace: labels[1]}.url()
	}
	return base
}

// URL of its Service.
func (m Managed) url() string { return fmt.Sprintf("https://%s:%d", m.ServerName(), ManagedPort) }

// ManagedNamespace returns the namespace of the Deployment whose Service a URL leads to; empty for another URL.
func ManagedNamespace(base string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(base, "https://"+ManagedName+"."), ".")
	if (Managed{Namespace: host}).url() != base {
		return ""
	}
	return host
}

// ServerName is what its certificate is verified by, in either form.
func (m Managed) ServerName() string { return ManagedName + "." + m.Namespace + ".svc" }

// reference names its Prometheus object.
func (m Managed) reference() v1alpha1.PrometheusReference {
	return v1alpha1.PrometheusReference{Namespace: m.Namespace, Name: ManagedObject}
}

// managed returns the Prometheus that the operator runs. spec is nil where it is there although the spec does not want it any more.
func (o Objects) managed(spec *v1alpha1.ManagedPrometheusSpec) (Target, error) {
	m := o.Managed
	if !m.Plain {
		all := o.all(v1alpha1.KindPrometheus)
		found := find(all, m.reference())
		if found == nil {
			return Target{}, &NotFoundError{Reason: v1alpha1.ReasonPrometheusNotFound, Starting: true, Message: fmt.Sprintf(
				"The Prometheus object %s/%s, which %s wants, does not exist yet.", m.Namespace, ManagedObject, ManagedField)}
		}
		t := found.target(all)
		t.Origin, t.Managed, t.Abandoned = ManagedField, true, spec == nil
		return t, nil
	}
	t := Target{URL: m.url(), Origin: ManagedField, Revision: "Deployment " + m.Revision, Namespace: m.Namespace,
		Object: fmt.Sprintf("Deployment %s/%s", m.Namespace, ManagedName), ScrapeInterval: managedInterval, Shards: 1, TargetsURL: m.url(),
		ScrapeConfigs: true, Managed: true, Abandoned: spec == nil}
	if spec != nil {
		t.ScrapeInterval = spec.ScrapeInterval.Or(managedInterval)
	}
	return t, nil
}
