// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/scale"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/derive"
	"github.com/metricspipeline/operator/internal/diagnose"
	"github.com/metricspipeline/operator/internal/diagnose/collect"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/prometheus"
)

const (
	// questions are how many all HPAs together put to Prometheus in a minute: with what the censuses of series ask, 16 queries a minute at
	// most, it is less than one a second. questionsAtOnce are those after a calm: an HPA on a metric of its pods takes two to four, and
	// where a change breaks fifty of them, each is to be explained within a minute.
	questions, questionsAtOnce = 40, 120
	// longestAnswer is how many bytes of an answer are read.
	longestAnswer = 8 << 20
)

// examiner explains why HPAs fail, by what the operator may read.
type examiner struct {
	// sources do without Prometheus, which may be another one each time.
	sources collect.Sources
	// prometheus is the last that the pipeline's controller found; nil before that.
	prometheus atomic.Pointer[cluster.Prometheus]
	// asked is the client that was used last; nil before there is one.
	asked atomic.Pointer[asked]
	// derived is the last state of derived rules; nil before there is one.
	derived atomic.Pointer[derive.State]
}

// asked is a client of a Prometheus, with all that it depends on.
type asked struct {
	*prometheus.Client

	url    string
	access prometheus.Access
}

// newExaminer reads live: of HPAs that fail alone, so next to nothing is read that a cache would keep for all.
func newExaminer(mgr ctrl.Manager, options Options) (*examiner, error) {
	scales, resources, err := collect.NewScales(mgr.GetConfig(), mgr.GetHTTPClient(), mgr.GetRESTMapper())
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it makes
	}
	objects, err := client.New(mgr.GetConfig(), client.Options{
		HTTPClient: collect.Bounded(mgr.GetHTTPClient()), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, fmt.Errorf("make the client that reads live: %w", err)
	}
	cached := options.Watches.Client(mgr.GetClient(), mgr.GetCache())
	e := &examiner{sources: collect.Sources{
		Objects: objects, Mapper: mgr.GetRESTMapper(), Scales: scales, Resources: resources,
		Budget: collect.NewBudget(questions, questionsAtOnce),
		Pipeline: func(ctx context.Context) (*v1alpha1.MetricsPipeline, error) {
			pipeline := &v1alpha1.MetricsPipeline{}
			err := cached.Get(ctx, client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)
			return pipeline, err //nolint:wrapcheck // the collector says what it read
		},
	}}
	e.sources.Scraper = func(context.Context, *v1alpha1.MetricsPipeline) (prometheus.Target, error) {
		known := e.prometheus.Load()
		switch {
		case known == nil:
			return prometheus.Target{}, errors.New("it is being found out")
		case known.NotFound != nil && known.Target.Object == "":
			return prometheus.Target{}, known.NotFound
		}
		return known.Target, nil
	}
	e.sources.Derived = func(ask derive.Ask) *derive.Problem {
		if state := e.derived.Load(); state != nil {
			return state.Exceeds(ask)
		}
		return nil
	}
	for _, o := range options.Operands {
		if explainer, explains := o.(operand.Explainer); explains {
			e.sources.Explain = explainer
		}
	}
	return e, nil
}

// examine implements autoscalers.Examine.
func (e *examiner) examine(ctx context.Context, hpa *autoscalingv2.HorizontalPodAutoscaler) (diagnose.Diagnosis, time.Duration, error) {
	sources, denied := e.sources, &denial{}
	sources.Objects, sources.Scales = noting{e.sources.Objects, denied}, notingScales{e.sources.Scales, denied}
	asker, problem := e.asker()
	if asker != nil {
		sources.Prometheus = collect.Ask(asker)
	}
	sources.NoPrometheus, sources.Targets = problem, e.targets()
	evidence, err := collect.New(sources).Collect(ctx, hpa)
	if err != nil {
		return diagnose.Diagnosis{}, 0, err //nolint:wrapcheck // ErrNotNow
	}
	return diagnose.Examine(evidence), 0, denied.first
}

// asker returns the client of the Prometheus, or why there is none. It stays as long as whom it queries, and what it presents there, have
// the same values: many HPAs that fail are examined one after the other, each with some questions, over one connection.
func (e *examiner) asker() (*prometheus.Client, string) {
	known := e.prometheus.Load()
	switch {
	case known == nil:
		return nil, "which Prometheus answers queries is being found out"
	case !known.Usable():
		missing := "no Prometheus answers queries"
		if known.NotFound != nil {
			missing = known.NotFound.Error()
		}
		return nil, cmp.Or(known.CredentialsWithheld, known.CredentialsMissing, missing)
	}
	before := e.asked.Load()
	if before != nil && before.url == known.Target.URL && reflect.DeepEqual(before.access, known.Access) {
		return before.Client, ""
	}
	asker, err := prometheus.NewClient(known.Target.URL, known.Access, longestAnswer)
	if err != nil {
		return nil, err.Error()
	}
	if e.asked.Store(&asked{asker, known.Target.URL, known.Access}); before != nil {
		before.Close()
	}
	return asker, ""
}

// targets returns how to ask who scrapes for the targets of a scrape pool; nil where that is not known, or must not be asked.
func (e *examiner) targets() func(context.Context, string) ([]prometheus.PodTarget, error) {
	known := e.prometheus.Load()
	if known == nil || known.Target.TargetsURL == "" || known.CredentialsMissing != "" || known.CredentialsWithheld != "" {
		return nil
	}
	return func(ctx context.Context, pool string) ([]prometheus.PodTarget, error) {
		return prometheus.PodTargets(ctx, known.Target, known.Access, pool)
	}
}

// denial is the first refusal of a read: a permission that the operator should have.
type denial struct{ first error }

func (d *denial) note(err error) error {
	if apierrors.IsForbidden(err) && d.first == nil {
		d.first = err
	}
	return err
}

// noting notes refusals, and passes everything on. What it reads are kinds that no tenant chooses.
type noting struct {
	client.Reader
	denied *denial
}

// Get implements client.Reader.
func (n noting) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return n.denied.note(n.Reader.Get(ctx, key, object, options...))
}

// List implements client.Reader.
func (n noting) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return n.denied.note(n.Reader.List(ctx, list, options...))
}

// notingScales does the same with scales of the kinds that Kubernetes has. Of another kind, which an HPA may name, it is no fault that
// the operator may not read the scale.
type notingScales struct {
	scale.ScalesGetter
	denied *denial
}

// Scales implements scale.ScalesGetter.
func (n notingScales) Scales(namespace string) scale.ScaleInterface {
	return notingScale{n.ScalesGetter.Scales(namespace), n.denied}
}

type notingScale struct {
	scale.ScaleInterface
	denied *denial
}

// Get implements scale.ScaleInterface.
func (n notingScale) Get(
	ctx context.Context, of schema.GroupResource, name string, options metav1.GetOptions,
) (*autoscalingv1.Scale, error) {
	found, err := n.ScaleInterface.Get(ctx, of, name, options)
	if of.Group == corev1.GroupName || of.Group == appsv1.GroupName {
		err = n.denied.note(err)
	}
	return found, err //nolint:wrapcheck // it only stands between
}
