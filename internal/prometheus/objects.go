// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// defaultScrapeInterval is prometheus-operator's when a Prometheus object names none.
const defaultScrapeInterval = 30 * time.Second

// Objects are the objects of a cluster that could scrape.
type Objects struct {
	// Served is false where the cluster does not know Prometheus objects.
	Served       bool
	Prometheuses []monitoringv1.Prometheus
	// Managed is the one that the operator runs.
	Managed Managed
	// Agents are needed only where NeedsAgents says so.
	Agents []monitoringv1alpha1.PrometheusAgent
}

// Needed is true where who scrapes depends on Prometheus objects, or on PrometheusAgents.
func Needed(spec v1alpha1.PrometheusSpec) bool { return spec.Ref != nil || spec.URL == "" }

// ours is true of the object that the operator makes: it is no one's choice.
func (c candidate) ours() bool { return c.meta.Labels[v1alpha1.ManagedLabel] == v1alpha1.SingletonName }

// NeedsAgents is true where who scrapes depends on PrometheusAgents as well.
func (o Objects) NeedsAgents(spec v1alpha1.PrometheusSpec, chosen *v1alpha1.PrometheusReference) bool {
	switch {
	case spec.Managed != nil:
		return false
	case spec.Ref != nil:
		return kindOf(*spec.Ref) == v1alpha1.KindPrometheusAgent
	case spec.URL != "":
		return false
	case chosen != nil:
		return kindOf(*chosen) == v1alpha1.KindPrometheusAgent
	}
	return len(o.Prometheuses) == 0
}

// candidate is one of them, of either kind.
type candidate struct {
	kind v1alpha1.PrometheusKind
	meta metav1.ObjectMeta
	spec monitoringv1.CommonPrometheusFields
	// rules and ruleNamespaces select PrometheusRules, which an agent does not evaluate.
	rules, ruleNamespaces *metav1.LabelSelector
	available             int32
	// daemonSet is true for an agent on every node, which reads PodMonitors alone.
	daemonSet bool
}

// all returns the objects of a kind.
func (o Objects) all(kind v1alpha1.PrometheusKind) []candidate {
	var all []candidate
	if kind == v1alpha1.KindPrometheusAgent {
		for _, agent := range o.Agents {
			all = append(all, candidate{kind: kind, meta: agent.ObjectMeta, spec: agent.Spec.CommonPrometheusFields,
				available: agent.Status.AvailableReplicas,
				daemonSet: ptr.Deref(agent.Spec.Mode, "") == monitoringv1alpha1.DaemonSetPrometheusAgentMode})
		}
		return all
	}
	for _, p := range o.Prometheuses {
		all = append(all, candidate{kind: kind, meta: p.ObjectMeta, spec: p.Spec.CommonPrometheusFields,
			rules: p.Spec.RuleSelector, ruleNamespaces: p.Spec.RuleNamespaceSelector, available: p.Status.AvailableReplicas})
	}
	return all
}

// find returns the object that a reference names; nil where there is none.
func find(all []candidate, ref v1alpha1.PrometheusReference) *candidate {
	index := slices.IndexFunc(all, func(c candidate) bool { return c.meta.Namespace == ref.Namespace && c.meta.Name == ref.Name })
	if index < 0 {
		return nil
	}
	return &all[index]
}

// reference names the object. The kind is left out where it is the default, as in a status of before there were two.
func (c candidate) reference() *v1alpha1.PrometheusReference {
	ref := &v1alpha1.PrometheusReference{Namespace: c.meta.Namespace, Name: c.meta.Name}
	if c.kind != v1alpha1.KindPrometheus {
		ref.Kind = c.kind
	}
	return ref
}

// target describes an object.
func (c candidate) target(all []candidate) Target {
	name := fmt.Sprintf("%s %s/%s", c.kind, c.meta.Namespace, c.meta.Name)
	t := Target{
		Origin: name, Object: name,
		Version:        c.spec.Version,
		ScrapeInterval: defaultScrapeInterval,
		Shards:         max(ptr.Deref(c.spec.Shards, 1), 1), // prometheus-operator takes less than 1 for 1.
	}
	if interval, err := model.ParseDuration(string(c.spec.ScrapeInterval)); err == nil && interval > 0 {
		t.ScrapeInterval = time.Duration(interval)
	}
	if t.Shards == 1 && !c.daemonSet { // Each pod of a DaemonSet scrapes its own node.
		t.TargetsURL = c.url(all)
	}
	t.ServiceMonitors = c.selection("serviceMonitorSelector", c.spec.ServiceMonitorSelector,
		"serviceMonitorNamespaceSelector", c.spec.ServiceMonitorNamespaceSelector)
	t.PodMonitors = c.selection("podMonitorSelector", c.spec.PodMonitorSelector,
		"podMonitorNamespaceSelector", c.spec.PodMonitorNamespaceSelector)
	if c.daemonSet {
		t.ServiceMonitors.Never = "its mode DaemonSet reads no ServiceMonitors; change its mode, or set spec.scrape.targets to [Pods]"
	}
	if c.kind == v1alpha1.KindPrometheusAgent {
		return t
	}
	t.URL, t.Namespace, t.Revision = c.url(all), c.meta.Namespace, c.revision()
	t.Rules = c.selection("ruleSelector", c.rules, "ruleNamespaceSelector", c.ruleNamespaces)
	t.Rules.Objects = "rules"
	return t
}

func (c candidate) selection(field string, selector *metav1.LabelSelector, in string, namespaces *metav1.LabelSelector) *Selection {
	return &Selection{Field: field, Selector: selector, NamespaceField: in, Namespaces: namespaces, HomeNamespace: c.meta.Namespace}
}

// url returns the base of the object's HTTP API. The governing Service leads to every object of the kind in the namespace that uses it,
// so where several do, the first pod is addressed by name.
func (c candidate) url(all []candidate) string {
	host := c.service() + "." + c.meta.Namespace + ".svc"
	shared := 0
	for _, other := range all {
		if other.meta.Namespace == c.meta.Namespace && other.service() == c.service() {
			shared++
		}
	}
	if shared > 1 {
		host = c.prefix() + c.meta.Name + "-0." + host
	}
	base := url.URL{Scheme: "http", Host: host + ":9090"}
	if c.spec.Web != nil && c.spec.Web.TLSConfig != nil {
		base.Scheme = "https"
	}
	if prefix := strings.TrimSuffix(c.spec.RoutePrefix, "/"); prefix != "" {
		base.Path = prefix
	}
	return base.String()
}

// prefix of the names of its pods.
func (c candidate) prefix() string {
	if c.kind == v1alpha1.KindPrometheusAgent {
		return "prom-agent-"
	}
	return "prometheus-"
}

// service returns the name of the Service in front of its pods.
func (c candidate) service() string {
	usual := "prometheus-operated"
	if c.kind == v1alpha1.KindPrometheusAgent {
		usual = "prometheus-agent-operated"
	}
	return cmp.Or(ptr.Deref(c.spec.ServiceName, ""), usual)
}

// revision changes with the spec of the object and the number of its available pods, and with nothing else in its status.
func (c candidate) revision() string {
	return fmt.Sprintf("%s/%d/%d", c.meta.UID, c.meta.Generation, c.available)
}

// list names up to five objects.
func list(objects []candidate) string {
	if len(objects) == 0 {
		return "none"
	}
	var names []string
	for _, c := range objects {
		names = append(names, c.meta.Namespace+"/"+c.meta.Name)
	}
	slices.Sort(names)
	if len(names) > 5 {
		names = append(names[:5], fmt.Sprintf("and %d more", len(names)-5))
	}
	return strings.Join(names, ", ")
}
