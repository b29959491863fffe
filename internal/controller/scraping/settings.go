// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package scraping

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
	"github.com/metricspipeline/operator/internal/controller/optional"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/scrape"
)

// ComponentName is the value of the component label on monitors for apps.
const ComponentName = "scrape"

// settings are what the monitors of every namespace have in common.
type settings struct {
	pipeline *v1alpha1.MetricsPipeline
	config   scrape.Config
	// services and pods are the labels of the monitors.
	services, pods map[string]string
	target         prometheus.Target
	namespaces     labels.Selector
	// state is what ScrapeReady says as far as it does not depend on a namespace. Monitors are written unless hold is
	// true; off removes them.
	state     State
	hold, off bool
	// pending is true when the API server is about to serve a CRD.
	pending bool
}

// State is what is to be said of the condition ScrapeReady.
type State struct {
	// Met is true when annotated apps become targets.
	Met bool
	// Reason is one of the condition's.
	Reason  string
	Message string
}

// settings reads the pipeline and what its Prometheus demands; nil without a pipeline.
func (r *Reconciler) settings(ctx context.Context) (*settings, error) {
	pipeline := &v1alpha1.MetricsPipeline{}
	err := r.client.Get(ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)
	if apierrors.IsNotFound(err) || err == nil && !pipeline.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	spec := pipeline.Spec.Scrape
	s := &settings{pipeline: pipeline, namespaces: labels.Everything(), config: scrape.Config{
		Prefix:        cmp.Or(spec.AnnotationPrefix, "prometheus.io"),
		Selectorless:  spec.SelectorlessServices == v1alpha1.SelectorlessAllow,
		Pods:          slices.Contains(spec.Targets, v1alpha1.ScrapePods),
		Interval:      promDuration(spec.Interval),
		ScrapeTimeout: promDuration(spec.ScrapeTimeout),
		SampleLimit:   ptr.Deref(spec.Limits.Samples, 0),
		InsecureTLS:   spec.TLS.Verification == v1alpha1.TLSInsecure,
	}}
	if spec.NamespaceSelector != nil {
		if s.namespaces, err = metav1.LabelSelectorAsSelector(spec.NamespaceSelector); err != nil {
			s.keep(v1alpha1.ReasonNotSelected, fmt.Sprintf("spec.scrape.namespaceSelector cannot be read: %v.", err))
			return s, nil
		}
	}
	return s, r.demands(ctx, s)
}

// promDuration writes a duration as prometheus-operator takes it, each unit once and from the greatest to the smallest;
// nothing where none is set.
func promDuration(d v1alpha1.Duration) string {
	if d == "" {
		return ""
	}
	return model.Duration(d.Or(0)).String()
}

// keep leaves the monitors as they are and says why.
func (s *settings) keep(reason, message string) {
	s.hold, s.state = true, State{Reason: reason, Message: message}
}

// demands finds out which labels the monitors need.
func (r *Reconciler) demands(ctx context.Context, s *settings) error {
	spec := s.pipeline.Spec
	if len(spec.Scrape.Targets) == 0 {
		s.off, s.state = true, State{Met: true, Reason: v1alpha1.ReasonScrapeOff,
			Message: "spec.scrape.targets is empty: annotations are not honored."}
	}
	served, err := r.optional.Ensure(ctx)
	if err != nil {
		return err
	}
	s.pending = served.Pending
	if !served.Has(apply.ServiceMonitorCRD) || !served.Has(apply.PodMonitorCRD) {
		if s.off {
			s.hold = true // Nothing is missed.
			return nil
		}
		s.keep(v1alpha1.ReasonCRDsMissing,
			"The cluster knows no ServiceMonitors and PodMonitors; install prometheus-operator, and annotated apps are scraped.")
		return nil
	}
	if s.off {
		return nil
	}
	var objects monitoringv1.PrometheusList
	if served.Has(optional.PrometheusCRD) {
		if err := r.prometheuses.List(ctx, &objects); err != nil {
			return fmt.Errorf("list Prometheus objects: %w", err)
		}
	}
	var notFound *prometheus.NotFoundError
	s.target, err = prometheus.Resolve(spec.Prometheus, served.Has(optional.PrometheusCRD), objects.Items)
	switch {
	case errors.As(err, &notFound):
		s.keep(notFound.Reason, notFound.Message)
		return nil
	case err != nil:
		return err
	}
	own := component.Labels(ComponentName)
	maps.Copy(own, plain(spec.Scrape.Labels))
	// By these we find the monitors again.
	own[v1alpha1.ManagedLabel], own[v1alpha1.ComponentLabel] = v1alpha1.SingletonName, ComponentName
	s.services, s.pods = maps.Clone(own), maps.Clone(own)
	if s.target.ServiceMonitors == nil {
		s.state = State{Met: true, Reason: v1alpha1.ReasonSelectorsUnknown, Message: "No object stands behind " +
			"spec.prometheus.url, so it cannot be known which monitors that Prometheus selects; set the labels that it " +
			"wants in spec.scrape.labels."}
		return nil
	}
	for _, kind := range []struct {
		selection *prometheus.Selection
		labels    map[string]string
	}{{s.target.ServiceMonitors, s.services}, {s.target.PodMonitors, s.pods}} {
		needed, err := kind.selection.Labels(own, fixedLabels(spec)...)
		if err != nil {
			message := fmt.Sprintf("%s does not select the monitors: %v.", s.target.Origin, err)
			s.state = State{Reason: v1alpha1.ReasonNotSelected, Message: message}
			return nil
		}
		maps.Copy(kind.labels, needed)
	}
	s.state = State{Met: true, Reason: v1alpha1.ReasonSelected, Message: s.target.Origin + " selects every monitor."}
	return nil
}

// plain returns labels by the type that Kubernetes has for them.
func plain(labels map[string]v1alpha1.LabelValue) map[string]string {
	plain := make(map[string]string, len(labels))
	for key, value := range labels {
		plain[key] = string(value)
	}
	return plain
}

// rules are what the index judges apps by.
func (s *settings) rules() rules {
	return rules{prefix: s.config.Prefix, selectorless: s.config.Selectorless, pods: s.config.Pods,
		services:   slices.Contains(s.pipeline.Spec.Scrape.Targets, v1alpha1.ScrapeServices),
		perService: s.pipeline.Spec.Scrape.Granularity == v1alpha1.ScrapePerService}
}

// wants is true when apps of a namespace are scraped at all.
func (s *settings) wants(set map[string]string) bool {
	optOut, labeled := set[v1alpha1.ScrapeOptOutLabel]
	return s.namespaces.Matches(labels.Set(set)) && (!labeled || optOut == "true")
}
