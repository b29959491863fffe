// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

// Package collect collects the evidence of a HorizontalPodAutoscaler, for the operator and for the command line. It reads live, with the
// rights of who calls: what may not be read is named in the evidence, and the rest stands. It reads the HPA's own namespace and what the
// status of the pipeline says, and puts few questions to Prometheus, each about that namespace. What tenants write is never PromQL: it is
// the value of a matcher, or the name of an object.
package collect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/scale"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// Sources are where evidence is collected from.
type Sources struct {
	// Objects are read live, with the rights of who calls; rbac.go says which.
	Objects client.Reader
	// Mapper knows the resources that the API server serves.
	Mapper meta.RESTMapper
	// Scales reads the subresource scale of any kind, and Resources say which kinds have it; nil where that is not known.
	Scales    scale.ScalesGetter
	Resources Resources
	// Pipeline returns the MetricsPipeline; nil reads it. A NotFound error is that there is none.
	Pipeline func(context.Context) (*v1alpha1.MetricsPipeline, error)
	// Scraper returns who scrapes, with its selectors of monitors; nil reads the object that the pipeline names.
	Scraper func(context.Context, *v1alpha1.MetricsPipeline) (prometheus.Target, error)
	// Prometheus answers questions; nil where it cannot be asked, and NoPrometheus says why.
	Prometheus   Asker
	NoPrometheus string
	// Targets returns the targets of a scrape pool, as who scrapes sees them; nil where that cannot be asked.
	Targets func(ctx context.Context, pool string) ([]prometheus.PodTarget, error)
	// Budget bounds the questions of all HPAs together; nil does not.
	Budget *Budget
	// TakenOver are metrics APIs, by group, that are looked at as if the pipeline served them already: what will be, not what is.
	TakenOver map[string]bool
	// Explain says what makes a metric.
	Explain operand.Explainer
	// Derived says why no rule is derived for what an HPA asks for, as far as that depends on what other HPAs ask for; nil where that is
	// not known.
	Derived func(derive.Ask) *derive.Problem
	// Clock is the time; nil is that of the system.
	Clock clock.PassiveClock
}

// Collector collects evidence. It may be used by several goroutines.
type Collector struct{ Sources }

// New returns a Collector.
func New(sources Sources) *Collector {
	if sources.Clock == nil {
		sources.Clock = clock.RealClock{}
	}
	return &Collector{sources}
}

// deadline of one Collect, and mostListed how many objects of a kind it reads.
const (
	deadline   = 20 * time.Second
	mostListed = 300
)

// originSpec is that of a rule of the spec.
const originSpec = string(v1alpha1.RuleOfSpec)

// Collect returns what can be observed of an HPA. The error is ErrNotNow alone: then the evidence does not have what Prometheus would
// have said, and nothing should be concluded from it.
func (c *Collector) Collect(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) (*diagnose.Evidence, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	now := c.Clock.Now()
	s := &collection{Collector: c, hpa: hpa,
		evidence:  &diagnose.Evidence{Now: now, HPA: hpa, Unseen: map[diagnose.LinkName]string{}},
		questions: &questioner{asker: c.Prometheus, budget: c.Budget, now: now},
	}
	if c.Prometheus != nil && !c.Budget.enough(now, perMetric*asks(hpa)) {
		return s.evidence, ErrNotNow // Before anything is read in vain.
	}
	s.readPipeline(ctx)
	s.targetApps = s.newApps("")
	s.readOthers(ctx)
	s.readTarget(ctx)
	s.readPods(ctx)
	if slices.ContainsFunc(hpa.Spec.Metrics, ofPods) {
		s.readApps(ctx)
	}
	for _, metric := range hpa.Spec.Metrics {
		collected, err := s.metric(ctx, metric)
		if errors.Is(err, ErrNotNow) {
			return s.evidence, ErrNotNow
		}
		s.evidence.Metrics = append(s.evidence.Metrics, collected)
	}
	for _, a := range s.allApps() {
		s.readErrors(ctx, a)
		a.settleTargets()
	}
	for i, metric := range hpa.Spec.Metrics {
		if exposer := s.exposer(metric); exposer != nil {
			s.evidence.Metrics[i].Scrape = exposer.scrape
		}
	}
	return s.evidence, nil
}

// asks counts the metrics of which Prometheus has series.
func asks(hpa *autoscalingv2.HorizontalPodAutoscaler) int {
	count := 0
	for _, metric := range hpa.Spec.Metrics {
		if metric.Pods != nil || metric.Object != nil || metric.External != nil {
			count++
		}
	}
	return count
}

// ofPods is true of a metric that pods give, as a rule.
func ofPods(metric autoscalingv2.MetricSpec) bool { return metric.Pods != nil || metric.Object != nil }

// collection is one Collect.
type collection struct {
	*Collector
	hpa       *autoscalingv2.HorizontalPodAutoscaler
	evidence  *diagnose.Evidence
	questions *questioner
	// pipeline is nil where there is none, or it cannot be read.
	pipeline *v1alpha1.MetricsPipeline
	// noPipeline is true where there is none.
	noPipeline bool
	usage      usage
	// targetApps are the pods of the target, and describedApps those of other Services that metrics describe.
	targetApps    *apps
	describedApps []*apps
	// poolsAsked counts the scrape pools that were asked for, and poolsUnanswered is true after one of which there was no answer.
	poolsAsked      int
	poolsUnanswered bool
}

// unseen notes why the evidence of a link cannot be read. The first reason stays. A refusal of the API server names the permission.
func (c *collection) unseen(link diagnose.LinkName, what string, err error) {
	if c.evidence.Unseen[link] == "" {
		c.evidence.Unseen[link] = fmt.Sprintf("%s: %v", what, err)
	}
}

// notServed is true for the error that the API server does not serve a kind, as where a CRD is not installed.
func notServed(err error) bool { return meta.IsNoMatchError(err) }

// absent is true for the error that an object does not exist, or its kind.
func absent(err error) bool { return apierrors.IsNotFound(err) || notServed(err) }

// spec is that of the pipeline; the default one without.
func (c *collection) spec() v1alpha1.MetricsPipelineSpec {
	if c.pipeline == nil {
		return v1alpha1.MetricsPipelineSpec{}
	}
	return c.pipeline.Spec
}
