// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/autoscaler"
	"github.com/metricspipeline/operator/internal/certs/provider"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/prometheus"
	"github.com/metricspipeline/operator/internal/report"
)

// prometheusPeriod is how often a Prometheus without an object in the cluster is queried: its outage brings no event.
const prometheusPeriod = time.Minute

// read returns the facts about the cluster, with what is known of how Prometheus answers.
func (r *Reconciler) read(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, probes *probe.Round) cluster.Facts {
	if r.choice.of != pipeline.UID {
		r.choice = choice{of: pipeline.UID, object: prometheus.Chosen(pipeline.Status)}
	}
	facts := r.Facts.Read(ctx, pipeline.Spec, r.choice.object)
	r.choice.object = facts.Prometheus.Chosen
	for _, problem := range facts.Problems {
		r.failed(report.PhaseRead, problem)
	}
	if unknown := facts.Prometheus.NotFound; r.Source != nil && !facts.Served.Waiting() &&
		(unknown == nil || unknown.Reason != v1alpha1.ReasonUnreadable) { // Else it stays who it was.
		r.Source(facts.Prometheus)
	}
	if r.Asked != nil {
		facts.Asked, facts.AskedKnown = r.Asked()
	}
	if p := facts.Prometheus; (p.Required || derives(pipeline, facts)) && p.Usable() {
		//nolint:contextcheck // a question outlives the reconcile, so it must not end with its context
		facts.Prometheus.Answer = probes.Ask(prometheusQuestion(p.Target, pipeline.Spec.Prometheus.AdapterURL, p.Access))
		facts.Prometheus.Series = r.Census.Series(sourceOf(p))
		facts.Prometheus.Names = r.Names.Series(sourceOf(p))
		//nolint:contextcheck // the same
		facts.Prometheus.Demands = r.demands(pipeline.Spec, facts, probes)
	}
	return facts
}

// sourceOf names what series are counted at: who is asked for them, and as whom.
func sourceOf(p cluster.Prometheus) string { return p.Target.URL + " " + p.Access.Digest() }

// count has the series counted that a plan is to know, outside of this worker, and returns when to call it again; 0 for never. A
// Prometheus that does not answer is not asked for more: what it had stays known.
func (r *Reconciler) count(facts cluster.Facts, plan operand.Plan) time.Duration {
	p := facts.Prometheus
	if !p.Usable() || !p.Answer.Yes() {
		return 0
	}
	return operand.Sooner(
		r.Census.Take(sourceOf(p), plan.Series, prometheus.CounterOf(p.Target.URL, p.Access)),
		r.Names.Take(sourceOf(p), plan.Names, prometheus.NamerOf(p.Target.URL, p.Access)))
}

// derives is true where rules are derived, or may be, from what HorizontalPodAutoscalers ask for.
func derives(pipeline *v1alpha1.MetricsPipeline, facts cluster.Facts) bool {
	withheld := metricsapi.Withhold(pipeline.Spec, facts.Foreign())
	served := func(api metricsapi.API) bool {
		return metricsapi.Derives(pipeline.Spec, api.Group) && !withheld.Withheld(api)
	}
	custom, external := served(metricsapi.CustomV1Beta1), served(metricsapi.External)
	if pipeline.Status.RulesTotal.Derived > 0 {
		return custom || external
	}
	return slices.ContainsFunc(facts.Asked, func(asked autoscaler.Asked) bool {
		if asked.Type == autoscalingv2.ExternalMetricSourceType {
			return external
		}
		return custom
	})
}

// demands returns whether Prometheus has the series that operands demand, by the operand's name.
func (r *Reconciler) demands(spec v1alpha1.MetricsPipelineSpec, facts cluster.Facts, probes *probe.Round) map[string]probe.Answer {
	answers := map[string]probe.Answer{}
	for _, o := range r.Operands {
		demander, ok := o.(operand.Demander)
		if !ok {
			continue
		}
		if demand, needed := demander.Demand(metricsapi.InForce(spec), facts); needed {
			question := seriesQuestion(facts.Prometheus.Target, facts.Prometheus.Access, demand)
			answers[o.Describe().Catalog.Name] = probes.Ask(question)
		}
	}
	return answers
}

// choice is the Prometheus object that was chosen for a pipeline, or nil. Only after a start it is what the status records: the cache
// shows a status some time after it was written, and by then another object may have made the choice ambiguous.
type choice struct {
	of     types.UID
	object *v1alpha1.PrometheusReference
}

// prometheusQuestion is whether Prometheus answers a query, also where the adapter is to query it: a mistake in that URL must not take
// its metrics away, and it is given no credentials for a URL that may redirect. Only the adapter's pod itself can tell of its localhost.
func prometheusQuestion(target prometheus.Target, adapterURL string, access prometheus.Access) probe.Question {
	if prometheus.Loopback(adapterURL) {
		adapterURL = ""
	}
	question := probe.Question{
		Key: fmt.Sprintf("prometheus %s %s %s %s %s", target.URL, target.Revision, adapterURL, access.Method, access.Digest()),
		Ask: func(ctx context.Context) error {
			if err := prometheus.Ask(ctx, target.URL, access); err != nil || adapterURL == "" {
				return err //nolint:wrapcheck // it says what was asked
			}
			return prometheus.AskForAdapter(ctx, adapterURL, access)
		},
	}
	if target.Revision == "" || adapterURL != "" {
		question.Period = prometheusPeriod
	}
	return question
}

// seriesQuestion is whether Prometheus has series. They come and go without an event.
func seriesQuestion(target prometheus.Target, access prometheus.Access, demand prometheus.Demand) probe.Question {
	sum := sha256.Sum256([]byte(demand.Query))
	return probe.Question{
		Key:    fmt.Sprintf("series %s %s %s", target.URL, access.Digest(), hex.EncodeToString(sum[:8])),
		Ask:    func(ctx context.Context) error { return prometheus.Meets(ctx, target.URL, access, demand) },
		Period: prometheusPeriod,
	}
}

// servingQuestion is whether an endpoint of a component presents a certificate that the API server will accept.
func servingQuestion(owner, serverName, address string, caBundle []byte) probe.Question {
	sum := sha256.Sum256(caBundle)
	return probe.Question{
		Key:   fmt.Sprintf("serving %s %s %s", address, serverName, hex.EncodeToString(sum[:8])),
		Owner: owner,
		Ask:   func(ctx context.Context) error { return health.VerifyTLS(ctx, address, serverName, caBundle) },
	}
}

// plan returns what should exist. An error about reading what runs already does not stop it.
func (r *Reconciler) plan(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, facts cluster.Facts) (operand.Plan, error) {
	request := operand.Request{Spec: pipeline.Spec, Facts: facts, Operands: r.Operands, Images: r.Images,
		LastGood: map[string]*operand.LastGood{}, Running: map[string]bool{}}
	var failures []error
	for _, c := range operand.Catalog(r.Operands) {
		form, err := r.lastGood(ctx, pipeline, c.Name)
		if err != nil {
			failures = append(failures, err)
		}
		request.LastGood[c.Name] = form
		for _, workload := range c.Workloads {
			deployment := kinds.Deployment.New()
			err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: workload}, deployment)
			if client.IgnoreNotFound(err) != nil {
				failures = append(failures, fmt.Errorf("read Deployment %s/%s: %w", r.Namespace, workload, err))
			}
			request.Running[c.Name] = request.Running[c.Name] || !apierrors.IsNotFound(err)
		}
	}
	plan := operand.For(request)
	if r.Derived != nil && plan.Derivation != nil {
		r.Derived(*plan.Derivation)
	}
	for name := range r.forms {
		if _, planned := plan.Component(name); !planned {
			delete(r.forms, name) // It begins anew when it is wanted again.
		}
	}
	return plan, errors.Join(failures...)
}

// lastGood returns the last good form of a component; nil for none. One that was deleted or edited is put back by remember.
func (r *Reconciler) lastGood(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, component string) (*operand.LastGood, error) {
	if r.formsOf != pipeline.UID {
		r.forms, r.formsOf = map[string]*operand.LastGood{}, pipeline.UID // Those of a deleted pipeline are not of this one.
	}
	if form := r.forms[component]; form != nil {
		return form, nil
	}
	stored, err := r.stored(ctx, pipeline, component)
	if stored == nil || err != nil {
		return nil, err
	}
	form := operand.ReadLastGood(stored)
	if form != nil {
		r.forms[component] = form
	}
	return form, nil
}

// stored returns the ConfigMap with the last good form of a component of the pipeline; nil for none.
func (r *Reconciler) stored(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, component string) (*corev1.ConfigMap, error) {
	stored := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: r.Namespace, Name: operand.LastGoodName(component)}
	if err := r.Client.Get(ctx, key, stored); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s: %w", key, err)
	}
	owned := slices.ContainsFunc(stored.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == pipeline.UID })
	if !owned || !ownership.Ours(stored) {
		return nil, nil
	}
	return stored, nil
}

// repair puts back the objects of each last good form while no plan can be made, because it is not known who serves the metrics
// APIs. Their owners, APIServices among them, are those of the stored form. No certificate is renewed: which authority the API server
// trusts is not known either.
func (r *Reconciler) repair(ctx context.Context, pipeline *v1alpha1.MetricsPipeline, facts cluster.Facts, probes *probe.Round) []outcome {
	var outcomes []outcome
	all := operand.Catalog(r.Operands)
	for i, c := range all {
		l := &ladder{Reconciler: r, spec: pipeline.Spec, facts: facts, probes: probes, component: operand.Planned{Component: c}}
		l.outcome.Component, l.outcome.Condition = c.Name, c.Condition
		stored, err := r.stored(ctx, pipeline, c.Name)
		if err != nil {
			l.failed(ctx, err)
		} else if form, err := r.lastGood(ctx, pipeline, c.Name); err != nil {
			l.failed(ctx, err)
		} else if stored != nil && form != nil {
			l.owners = stored.OwnerReferences
			l.component = operand.Planned{Component: form.Component, LastGood: form, Retained: "see the condition APIServicesAvailable."}
			share, cancel := shareOf(ctx, len(all)-i)
			l.repair(share)
			cancel()
		}
		l.probes.Retain(c.Name)
		outcomes = append(outcomes, l.outcome)
	}
	return outcomes
}

// climb lets each component of the plan climb its ladder, and returns the authorities that their certificates share.
func (r *Reconciler) climb(
	ctx context.Context, pipeline *v1alpha1.MetricsPipeline, facts cluster.Facts, plan operand.Plan, probes *probe.Round,
) ([]outcome, []provider.Authority) {
	owners := []metav1.OwnerReference{ownership.Pipeline(pipeline)}
	w := &writer{applier: r.Applier}
	certificates := provider.New(provider.Config{
		Spec:                pipeline.Spec.Certificates,
		CertManager:         facts.Served.Has(kinds.CertificateCRD) && facts.Served.Has(kinds.IssuerCRD),
		CertificateRequests: facts.Served.Has(kinds.CertificateRequestCRD),
		Namespace:           r.Namespace, Owners: owners, Labels: ownership.Labels(""), Now: r.Clock.Now(),
		DNSNames: operand.DNSNames(r.Operands, r.Namespace),
		Cluster:  r.Client, Live: r.Live, Writer: w,
	})
	var outcomes []outcome
	for i, planned := range plan.Components {
		l := &ladder{Reconciler: r, spec: pipeline.Spec, facts: facts, component: planned, probes: probes, certificates: certificates,
			owners: slices.Clone(owners), writer: w}
		for _, api := range facts.Registered(planned.Name) {
			l.owners = append(l.owners, ownership.APIService(facts.Ours(api)))
		}
		l.outcome.Component, l.outcome.Condition = planned.Name, planned.Condition
		share, cancel := shareOf(ctx, len(plan.Components)-i+1)
		l.climb(share)
		cancel()
		outcomes = append(outcomes, l.outcome)
	}
	return outcomes, certificates.Authorities()
}

// leastShare is more than the default timeout of an admission webhook: one that hangs and is to be ignored delays a write by 10 s, and
// with less time no write would ever succeed.
const leastShare = 12 * time.Second

// shareOf returns a context with a share of the time that is left, an equal one where that is enough: an API server, or an admission
// webhook, that hangs on the objects of one component leaves the others their time.
func shareOf(ctx context.Context, among int) (context.Context, context.CancelFunc) {
	deadline, limited := ctx.Deadline()
	if !limited {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, max(time.Until(deadline)/time.Duration(among), leastShare))
}
