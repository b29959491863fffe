// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// State is the condition ScrapeReady.
type State struct {
	// Met is true when annotated apps become targets.
	Met bool
	// Reason is one of the condition's.
	Reason  string
	Message string
}

// settings are what the monitors of every namespace have in common. They are never changed once they are made.
type settings struct {
	pipeline *v1alpha1.MetricsPipeline
	config   scrape.Config
	// services and pods are the labels of the monitors.
	services, pods map[string]string
	target         prometheus.Target
	// namespaces are those whose apps are scraped, hosts those of them that may have Pods in the network of their node, honors those
	// whose targets may choose labels, and tokens those whose targets get the bearer token.
	namespaces, hosts, honors, tokens labels.Selector
	// state is the condition as far as it does not depend on a namespace. Monitors are written unless retain is true; off
	// removes them.
	state       State
	retain, off bool
	// served is true when the cluster knows monitors, pending when it is about to. plain is true where scrape configurations are written
	// instead of monitors, because who scrapes reads those.
	served, pending, plain bool
}

// newSettings returns the settings that a spec states, before it is known what the cluster demands.
func newSettings(pipeline *v1alpha1.MetricsPipeline) *settings {
	spec := pipeline.Spec.Scrape
	none, slow := labels.Nothing(), ptr.Deref(spec.Slow, v1alpha1.ScrapeSlow{})
	return &settings{pipeline: pipeline, namespaces: labels.Everything(), hosts: none, honors: none, tokens: none, config: scrape.Config{
		Prefix:             cmp.Or(spec.AnnotationPrefix, "prometheus.io"),
		Selectorless:       spec.SelectorlessServices == v1alpha1.SelectorlessAllow,
		Pods:               slices.Contains(spec.Targets, v1alpha1.ScrapePods),
		Interval:           promDuration(spec.Interval),
		ScrapeTimeout:      promDuration(spec.ScrapeTimeout),
		SampleLimit:        ptr.Deref(spec.Limits.Samples, 0),
		BodySizeLimit:      bodySize(spec.Limits.BodySize),
		TargetLimit:        ptr.Deref(spec.Limits.Targets, 0),
		KeepDroppedTargets: ptr.Deref(spec.Limits.DroppedTargets, 0),
		SlowInterval:       promDuration(slow.Interval),
		SlowTimeout:        promDuration(slow.ScrapeTimeout),
		PodTargetLabels:    texts(spec.PodTargetLabels),
		NativeSidecars:     texts(spec.NativeSidecars),
		InsecureTLS:        spec.TLS.Verification == v1alpha1.TLSInsecure,
		ServerName:         spec.TLS.ServerName,
		CA:                 authority(spec.TLS.CA),
		Token:              token(spec.BearerToken),
	}}
}

// bodySize is empty for no limit.
func bodySize(size v1alpha1.ByteSize) string {
	if size == "0" {
		return ""
	}
	return string(size)
}

// promDuration writes a duration as prometheus-operator takes it, each unit once and from the greatest to the smallest;
// nothing where none is set.
func promDuration(d v1alpha1.Duration) string {
	if d == "" {
		return ""
	}
	return model.Duration(d.Or(0)).String()
}

// keep retains the monitors as they are, for a reason.
func (s *settings) keep(reason, message string) {
	s.retain, s.state = true, State{Reason: reason, Message: message}
}

// settings finds out what the monitors of every namespace have in common. The error is about a kind that the API server has
// not listed yet.
func (r *Reconciler) settings(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, served cluster.Served) (*settings, error) {
	s, spec := newSettings(pipeline), pipeline.Spec.Scrape
	if problem := s.selectors(spec); problem != "" {
		s.keep(v1alpha1.ReasonNotSelected, problem)
		return s, nil
	}
	if len(spec.Targets) == 0 {
		s.off, s.state = true, State{Met: true, Reason: v1alpha1.ReasonScrapeOff,
			Message: "spec.scrape.targets is empty: annotations are not honored."}
	}
	if err := served.Err(r.watches.CRDs().GroupVersionKind); cluster.IsPending(err) {
		return nil, err
	}
	if done, err := r.plainSettings(ctx, s, served); done || err != nil {
		return s, err
	}
	if !served.Has(kinds.ServiceMonitorCRD) || !served.Has(kinds.PodMonitorCRD) {
		s.pending = r.aboutToBeServed(served)
		if s.off {
			s.retain = true // Nothing is missed.
			return s, nil
		}
		s.keep(v1alpha1.ReasonCRDsMissing,
			"The cluster knows no ServiceMonitors and PodMonitors; install prometheus-operator, or have the operator run a Prometheus by "+
				"spec.prometheus.managed, and annotated apps are scraped.")
		return s, nil
	}
	s.served = true
	if err := s.readable(served, r.needed(s)); err != nil || s.retain || s.off {
		return s, err
	}
	missing, err := r.support(ctx, s, served)
	if err != nil || s.retain {
		return s, err
	}
	if err := r.demands(ctx, s, served); err != nil {
		return s, err
	}
	if s.state.Met && missing != "" {
		s.state.Message += " " + missing
	}
	return s, nil
}

// readable retains the monitors where one of the kinds cannot be read. The error is about one that has not been listed yet.
func (s *settings) readable(served cluster.Served, needed []schema.GroupVersionKind) error {
	for _, kind := range needed {
		switch err := served.Err(kind); {
		case cluster.IsPending(err):
			return err //nolint:wrapcheck // it says what was read
		case err != nil:
			s.keep(v1alpha1.ReasonMonitorsFailed, fmt.Sprintf("Monitors are left as they are: %v.", err))
			return nil
		}
	}
	return nil
}

// demands finds out which labels the monitors need.
func (r *Reconciler) demands(ctx context.Context, s *settings, served cluster.Served) error {
	spec := s.pipeline.Spec
	var notFound *prometheus.NotFoundError
	var err error
	s.target, err = r.scraper(ctx, s, served)
	switch {
	case prometheus.IsNobody(err): // What else reads monitors, such as another collector, needs no object.
	case errors.As(err, &notFound):
		s.keep(notFound.Reason, notFound.Message)
		return nil
	case err != nil:
		return err
	}
	if tooOld := s.target.RejectedRelabelings(); tooOld != "" {
		s.keep(v1alpha1.ReasonPrometheusOutdated, tooOld)
		return nil
	}
	if rejected := s.target.RejectedTimeout(spec.Scrape.Interval.Or(0), spec.Scrape.ScrapeTimeout.Or(0)); rejected != "" {
		s.keep(v1alpha1.ReasonScrapeTimeoutTooLong, rejected)
		return nil
	}
	s.state = s.label()
	return nil
}

// label gives the monitors the labels that the Prometheus demands, and returns whether it selects them.
func (s *settings) label() State {
	stated := s.pipeline.Spec.Scrape.Labels
	own := ownership.Labels(ownership.MonitorsComponent)
	fixed := ownership.Fixed()
	for key, value := range stated {
		if !slices.Contains(ownership.Fixed(), key) {
			own[key], fixed = string(value), append(fixed, key)
		}
	}
	s.services, s.pods = maps.Clone(own), maps.Clone(own)
	if s.target.ServiceMonitors == nil {
		return s.unknown()
	}
	for _, kind := range []struct {
		selection *prometheus.Selection
		labels    map[string]string
	}{{s.target.ServiceMonitors, s.services}, {s.target.PodMonitors, s.pods}} {
		if kind.selection.Never != "" && !s.rules().Services {
			continue // There are no ServiceMonitors for it to use.
		}
		demanded, err := kind.selection.Labels(own, fixed...)
		if err != nil {
			return State{Reason: v1alpha1.ReasonNotSelected,
				Message: fmt.Sprintf("%s does not select the monitors: %v.", s.target.Object, err)}
		}
		maps.Copy(kind.labels, demanded)
		// Whether it looks into a namespace is that namespace's to know, but the selector itself must be readable.
		if _, err := kind.selection.SelectsNamespace("", nil); err != nil {
			return State{Reason: v1alpha1.ReasonNotSelected,
				Message: fmt.Sprintf("%s does not select the monitors: %v.", s.target.Object, err)}
		}
	}
	return State{Met: true, Reason: v1alpha1.ReasonSelected, Message: s.target.Object + " selects every monitor" + s.where() + "."}
}

// unknown is the state where no object says who scrapes.
func (s *settings) unknown() State {
	labeled := len(s.pipeline.Spec.Scrape.Labels) > 0
	state := State{Met: true, Reason: v1alpha1.ReasonSelectorsUnknown}
	if s.pipeline.Spec.Prometheus.URL == "" {
		state.Message = "The cluster has no Prometheus object, so the monitors are there for any other collector that reads " +
			"ServiceMonitors and PodMonitors, such as Grafana Alloy, the operator of VictoriaMetrics or OpenTelemetry; "
		if labeled {
			state.Message += "they carry spec.scrape.labels, and whether it selects them by those cannot be checked"
		} else {
			state.Message += "if it selects them by labels, set those in spec.scrape.labels"
		}
		state.Message += ". A Prometheus or PrometheusAgent object that comes is used by itself; where nothing is to be scraped, set " +
			"spec.scrape.targets to []."
		return state
	}
	remedy := "set the labels that it demands in spec.scrape.labels"
	if labeled {
		remedy = "the monitors carry spec.scrape.labels, and whether that Prometheus selects them by those cannot be checked"
	}
	state.Message = "No object stands behind spec.prometheus.url, so it cannot be known which monitors that Prometheus selects; " + remedy +
		". Where a Prometheus or PrometheusAgent object of the cluster scrapes for it, name that in spec.prometheus.ref as well."
	return state
}

// where says into which namespaces the Prometheus looks; empty for all.
func (s *settings) where() string {
	for _, selection := range []*prometheus.Selection{s.target.ServiceMonitors, s.target.PodMonitors} {
		if value := selection.Where(); value != "" && selection.Never == "" {
			return fmt.Sprintf(" of the namespaces that it looks into: its %s is %s", selection.NamespaceField, value)
		}
	}
	return ""
}

// rules are the criteria that the index judges apps by.
func (s *settings) rules() index.Rules {
	return index.Rules{Prefix: s.config.Prefix, Selectorless: s.config.Selectorless, Pods: s.config.Pods,
		Services:   slices.Contains(s.pipeline.Spec.Scrape.Targets, v1alpha1.ScrapeServices),
		Near:       s.near(),
		PerService: s.pipeline.Spec.Scrape.Granularity == v1alpha1.ScrapePerService && !s.plain}
}

// apps returns the kinds of apps that have to be watched.
func (s *settings) apps() []index.Kind {
	var kinds []index.Kind
	if s.scrapesApps() && s.rules().Services {
		kinds = append(kinds, index.Service)
	}
	if s.scrapesApps() && s.rules().Pods {
		kinds = append(kinds, index.Pod, index.HostPod)
	}
	return kinds
}

// follows returns the kinds that have to be watched: apps, and workloads that make apps. Without apps there are no near misses.
func (s *settings) follows() []index.Kind {
	if apps := s.apps(); len(apps) > 0 {
		return append(apps, index.Workloads()...)
	}
	return nil
}
