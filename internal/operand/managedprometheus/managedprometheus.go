// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package managedprometheus is the operand that scrapes for a cluster which has no Prometheus: a Prometheus object where
// prometheus-operator is served, else a Deployment.
package managedprometheus

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Name of the component, its Service and its Deployment.
const Name = prometheus.ManagedName

const (
	// version is that of the image.
	version = "v3.5.1"
	// serving is the Secret with its certificate.
	serving = Name + "-tls"
	// Folders of the assets: the Prometheus object in place of the Deployment, the same with a second replica, and the volume of the
	// Deployment.
	object, objectPair, volume = "object", "object-high-availability", "volume"

	defaultRetention = 2 * time.Hour
	defaultInterval  = 30 * time.Second
	// discovery is how long a new pod takes at most until it scrapes what it discovers: Prometheus hands new targets over, and loads them,
	// once in five seconds each.
	discovery = 10 * time.Second
)

// Operand is the Prometheus that the operator runs.
type Operand struct{}

var (
	_ operand.Operand  = Operand{}
	_ operand.Demander = Operand{}
)

// Describe implements operand.Operand.
func (Operand) Describe() operand.Description {
	return operand.Description{
		Catalog: operand.Component{Name: Name, Workloads: []string{Name}, Service: Name, Serving: serving,
			AccessSecret: cluster.ManagedSecret, Images: map[string]string{Name: Name}, Files: map[string]string{configFile: ""},
			Variants: []string{operand.HighAvailability, volume},
			Guarded:  []string{"--agent", "--config.", "--enable-feature", "--storage.", "--web."}},
		Image:         "quay.io/prometheus/prometheus:" + version,
		ImageVariable: "RELATED_IMAGE_PROMETHEUS",
		Authorities: func(spec v1alpha1.MetricsPipelineSpec) map[string]*v1alpha1.CertificateAuthority {
			if spec.Prometheus.Managed == nil {
				return nil
			}
			all := map[string]*v1alpha1.CertificateAuthority{authorityField: spec.MetricsServer.Kubelet.TLS.CA}
			for _, key := range remoteKeys(spec.Prometheus.Managed) {
				all[key.field] = &key.from
			}
			return all
		},
	}
}

// Plan implements operand.Operand: it runs where the spec wants it, and for as long as a metrics API has no other source.
func (o Operand) Plan(in operand.Input) (operand.Proposal, error) {
	spec := in.Spec.Prometheus.Managed
	if spec == nil {
		return unwanted(in)
	}
	access, err := accessData(in)
	if err != nil {
		return operand.Proposal{}, err
	}
	if why := undecided(in); why != "" {
		return operand.Proposal{Retained: Name + ": " + why, Access: access, Findings: findings(in)}, nil
	}
	component := o.Describe().Catalog
	component.Namespace, component.UserPatches = in.Facts.Namespace, in.Spec.Patches
	image := cmp.Or(spec.Image, in.Image)
	if in.Facts.Prometheus.Managed.Plain {
		config, err := config(in)
		if err != nil {
			return operand.Proposal{}, err
		}
		component.Images = map[string]string{Name: image}
		component.Files = map[string]string{configFile: config}
		component.Variants, component.Patches = deployment(in)
	} else {
		component.Workloads, component.Service, component.Files, component.Images = nil, "", nil, nil
		component.Variants, component.Patches = []string{object}, []operand.Patch{prometheusObject(in, image)}
		if replicas(spec) > 1 {
			component.Variants = []string{objectPair}
		}
	}
	component.Patches = append(component.Patches, ingress(in)...)
	return operand.Proposal{Component: &component, Access: access, Findings: findings(in)}, nil
}

// undecided says why it is not known what is to run; empty where it is. A CRD that cannot be looked at must not look like none: the other
// form would be deployed.
func undecided(in operand.Input) string {
	if missing := in.Facts.Authorities[authorityField].Missing; missing != "" && in.LastGood != nil {
		return "it is not known by which authority to verify the kubelets, see the condition ComponentsReady."
	}
	for _, key := range remoteKeys(in.Spec.Prometheus.Managed) {
		if missing := in.Facts.Authorities[key.field].Missing; missing != "" {
			return "what it is to present to a store is not there, see the condition PrometheusReady."
		}
	}
	// Its apps keep their scrape configurations then, and Prometheus refuses those below another interval.
	if scrape := in.Spec.Scrape; in.LastGood != nil && in.Facts.Prometheus.Managed.Plain && len(scrape.Targets) > 0 &&
		in.Facts.Prometheus.Target.RejectedTimeout(scrape.Interval.Or(0), scrape.ScrapeTimeout.Or(0)) != "" {
		return "its apps are scraped as before, see the condition ScrapeReady."
	}
	if in.LastGood == nil && in.Facts.Incomplete || in.Facts.Served.Err(kinds.Prometheus.GroupVersionKind) != nil {
		return "it is not known whether the cluster serves Prometheus objects, see the condition ComponentsReady."
	}
	return ""
}

// unwanted is the proposal where the spec does without it: what a metrics API is served from stays until another source answers.
func unwanted(in operand.Input) (operand.Proposal, error) {
	p := in.Facts.Prometheus
	if in.LastGood == nil || !needed(in) || p.Usable() && !p.Target.Managed && p.Answer.Yes() {
		return operand.Proposal{}, nil
	}
	if !p.Target.Abandoned {
		return operand.Proposal{Retained: Name + ": it stays until another Prometheus answers, see the condition PrometheusReady."}, nil
	}
	access, err := accessData(in)
	return operand.Proposal{Access: access, Retained: Name + ": no other Prometheus is named, see the condition PrometheusReady.",
		Findings: []operand.Finding{{Condition: v1alpha1.ConditionPrometheusReady, Reason: v1alpha1.ReasonManagedRemoved, Stalled: true,
			Message: fmt.Sprintf("%s was removed while a metrics API is served from the Prometheus that the operator runs, which stays: "+
				"set %[1]s: {} again, name another Prometheus in spec.prometheus.url or spec.prometheus.ref, or set the policy of "+
				"spec.customMetrics and spec.externalMetrics to Disabled.", prometheus.ManagedField)}}}, err
}

// needed is true while a metrics API is served from Prometheus, or is to be.
func needed(in operand.Input) bool {
	return in.Facts.Prometheus.Required || slices.ContainsFunc(metricsapi.All(), func(api metricsapi.API) bool {
		return api != metricsapi.Resource && in.Facts.Ours(api) != nil
	})
}

// reloaded is the name of what Demand looks for.
const reloaded = "configuration"

// Demand implements operand.Demander: whether it has taken up its configuration. A new pod has not scraped itself yet.
func (Operand) Demand(spec v1alpha1.MetricsPipelineSpec, facts cluster.Facts) (prometheus.Demand, bool) {
	const metric = "prometheus_config_last_reload_successful{job=\"" + Name + "\"}"
	query := fmt.Sprintf(`label_replace(min(%[1]s) == 1 or absent(%[1]s), %q, %q, "", "")`, metric, prometheus.KindLabel, reloaded)
	needed := spec.Prometheus.Managed != nil && facts.Prometheus.Target.ScrapeConfigs
	return prometheus.Demand{Query: query, Kinds: []string{reloaded}}, needed
}

// findings say that it runs with an earlier configuration, and what is missing of what the spec names.
func findings(in operand.Input) []operand.Finding {
	var all []operand.Finding
	for _, key := range remoteKeys(in.Spec.Prometheus.Managed) {
		if missing := in.Facts.Authorities[key.field].Missing; missing != "" {
			all = append(all, operand.Finding{Condition: v1alpha1.ConditionPrometheusReady, Reason: v1alpha1.ReasonAuthMissing,
				Stalled: true, Message: missing + "."})
		}
	}
	var missing *prometheus.MissingError
	if !errors.As(in.Facts.Prometheus.Demands[Name].Err, &missing) {
		return all
	}
	return append(all, operand.Finding{Condition: v1alpha1.ConditionPrometheusReady, Reason: v1alpha1.ReasonConfigurationRefused,
		Stalled: true, Message: fmt.Sprintf("%s refused its last configuration and goes on with the one before; why, its log says "+
			"(kubectl -n %s logs deploy/%s): take back the change of spec.scrape or of the annotation that it names.",
			Name, in.Facts.Namespace, Name)})
}
