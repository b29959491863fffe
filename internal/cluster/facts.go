// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"maps"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Facts are what a cluster is and offers, as read at the start of a reconcile. Nothing changes them.
type Facts struct {
	// Namespace of the operator, in which the components run.
	Namespace string
	// Terminating is true while that namespace is being deleted.
	Terminating bool
	// Served says which kinds the cluster serves and the operator can read.
	Served Served
	// Mapper knows the resources that the API server serves. It knows none of a CRD that has gone.
	Mapper meta.RESTMapper
	// APIServices are the cluster's metrics APIs by name, ours and foreign ones.
	APIServices map[string]*apiregv1.APIService
	// APIServerPorts are the ports of the API server's own endpoints.
	APIServerPorts []int32
	// RequestHeaderCA is true when the API server publishes the CA by which backends trust its requests.
	RequestHeaderCA bool
	// SystemPriority is true where pods of that namespace are sure to be admitted with the class SystemPriorityClass.
	SystemPriority bool
	// PlatformUsers is true where the platform chooses the users of the pods of that namespace, and refuses those that name one.
	PlatformUsers bool
	// Prometheus is where application metrics come from.
	Prometheus Prometheus
	// Asked are the metrics of custom.metrics.k8s.io and external.metrics.k8s.io that HorizontalPodAutoscalers ask for, and AskedKnown
	// is false while they cannot be read.
	Asked      []autoscaler.Asked
	AskedKnown bool
	// Nodes are the names of the nodes, sorted; nil where they cannot be read.
	Nodes []string
	// Authorities are those that operands' sections of the spec name, by field.
	Authorities map[string]Authority
	// Problems are what could not be read. What depends on it is unknown; the rest of the facts stand.
	Problems []error
	// Unplannable is why no plan can be made: who serves the metrics APIs is not known. nil where one can.
	Unplannable error
	// Incomplete is true when what components are rendered from is not known in full: one that runs well stays as it is.
	Incomplete bool
}

// Prometheus is what is known of the source of application metrics.
type Prometheus struct {
	// Required is true when a rule, or the backend of metrics.k8s.io, queries it.
	Required bool
	// Managed is what there is of the Prometheus that the operator runs, Starting says what it still lacks, and Token is what it is
	// queried with.
	Managed  prometheus.Managed
	Starting string
	Token    Token
	// Authorities are those of the components' certificates, by the Secret with a certificate, where its Deployment is to scrape them; nil
	// while the token for that is not there.
	Authorities map[string]string
	// Target is the Prometheus that the spec and the cluster lead to; its URL is empty where there is none.
	Target prometheus.Target
	// Chosen is the object that stays chosen from now on where the spec names none, whether it exists or not; nil for none.
	Chosen *v1alpha1.PrometheusReference
	// NotFound is why there is no target; nil where there is one.
	NotFound *prometheus.NotFoundError
	// Access is how it is queried, with what spec.prometheus names, and CredentialsMissing says which of that is not there.
	// CredentialsWithheld says why credentials must not be sent; then they are not read either.
	Access              prometheus.Access
	CredentialsMissing  string
	CredentialsWithheld string
	// Answer to the last query.
	Answer probe.Answer
	// Series are how many series it has, by the selectors of an earlier plan. One that is not there has not been counted.
	Series map[string]int64
	// Names are the names of the series of other selectors of an earlier plan, in the same way.
	Names map[string]prometheus.Names
	// Demands are the answers to what operands need to know of its series, by the operand's name.
	Demands map[string]probe.Answer
}

// Usable is true when it is known whom to query, and with what.
func (p Prometheus) Usable() bool {
	return p.Target.URL != "" && p.Starting == "" && p.CredentialsMissing == "" && p.CredentialsWithheld == ""
}

// Foreign returns the groups of metrics APIs that have another owner.
func (f Facts) Foreign() map[string]bool {
	groups := map[string]bool{}
	for _, apiService := range f.APIServices {
		if !ownership.Ours(apiService) {
			groups[apiService.Spec.Group] = true
		}
	}
	return groups
}

// Ours returns our APIService of a metrics API; nil where there is none.
func (f Facts) Ours(api metricsapi.API) *apiregv1.APIService {
	if found := f.APIServices[api.Name()]; found != nil && ownership.Ours(found) {
		return found
	}
	return nil
}

// Registered returns the metrics APIs whose APIServices of ours lead to a component.
func (f Facts) Registered(component string) []metricsapi.API {
	var apis []metricsapi.API
	for _, api := range metricsapi.All() {
		if found := f.Ours(api); found != nil && found.Labels[v1alpha1.ComponentLabel] == component {
			apis = append(apis, api)
		}
	}
	return apis
}

// Leads is true where our APIService of a metrics API leads to a Service in the operator's namespace.
func (f Facts) Leads(api metricsapi.API, service string) bool {
	found := f.Ours(api)
	return found != nil && found.Spec.Service != nil && found.Spec.Service.Name == service &&
		found.Spec.Service.Namespace == f.Namespace
}

// Without returns the facts without some APIServices, by name.
func (f Facts) Without(apiServices []string) Facts {
	f.APIServices = maps.Clone(f.APIServices)
	for _, name := range apiServices {
		delete(f.APIServices, name)
	}
	return f
}

// ScrapeInterval is how often application metrics get a new sample by default; 0 where that cannot be known. The spec's own
// interval is that of the monitors that the operator makes.
func (f Facts) ScrapeInterval(spec v1alpha1.ScrapeSpec) time.Duration {
	return max(f.Prometheus.Target.ScrapeInterval, spec.Interval.Or(0))
}

// Workload is a Deployment of a component as it stands.
type Workload struct {
	// Name of the Deployment.
	Name string
	// Deployment is nil where there is none.
	Deployment *appsv1.Deployment
	// Pods of the component.
	Pods []corev1.Pod
	// Missing are the Secrets and ConfigMaps that the pods refer to, and that do not exist or do not have a key.
	Missing []health.Source
}
