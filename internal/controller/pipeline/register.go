// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"slices"
	"time"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/registration"
	"github.com/metricspipeline/operator/internal/report"
)

// register makes the APIService of each other metrics API, or switches that of another owner or component, once the backend answers
// with a certificate that the caBundle verifies. An APIService whose backend does not answer blocks the deletion of every namespace
// in the cluster, so none is made before. One that is to be switched stays as it is until then, and is switched by one write.
func (l *ladder) register(ctx context.Context) error {
	if len(l.component.APIs) == 0 {
		return nil
	}
	workloads, err := l.workloads(ctx, l.component.Component)
	if err != nil {
		return err
	}
	waiting := registration.Waiting(l.component.Component, workloads, l.serving, l.answers)
	if l.certificate == nil && l.component.Serving != "" {
		waiting = "The backend waits for its certificate, see the condition CertificatesReady."
	}
	for _, api := range l.component.APIs {
		if l.facts.Ours(api) != nil && !l.elsewhere(api) {
			continue // Done by trust.
		}
		away, wait, kept := l.registrar.KeptAway(api, l.spec, waiting)
		l.requeueAfter(wait)
		waits := report.Registration{API: api, Reason: v1alpha1.ReasonWaitingForBackend, Message: waiting}
		switch {
		case kept:
			waits.Reason, waits.Message = v1alpha1.ReasonDeregistered, away
		case waiting == "" && !l.serves(api):
			waits.Message = "The API is registered when " + l.component.Name + " runs as desired, see the condition ComponentsReady."
		case waiting == "":
			if waits, err = l.registerOne(ctx, api); err != nil {
				return err
			}
		}
		l.outcome.APIs = append(l.outcome.APIs, waits)
	}
	return nil
}

// elsewhere is true of a metrics API of ours that leads to another component: it is switched when this one serves.
func (l *ladder) elsewhere(api metricsapi.API) bool {
	return slices.ContainsFunc(operand.Catalog(l.Operands), func(c operand.Component) bool {
		return c.Name != l.component.Name && c.Service != "" && l.facts.Leads(api, c.Service)
	})
}

// serves is true of a metrics API that the pods serve as they are: those that run as desired serve each of the component, others
// those of the last good form.
func (l *ladder) serves(api metricsapi.API) bool {
	if l.retained() == "" && !l.podsUnsure {
		return true
	}
	return l.component.LastGood != nil && slices.Contains(l.component.LastGood.Component.APIs, api)
}

// registerOne makes the APIService of a metrics API, or switches that of another owner or component.
func (l *ladder) registerOne(ctx context.Context, api metricsapi.API) (report.Registration, error) {
	registered := report.Registration{API: api, Reason: v1alpha1.ReasonWaitingForBackend,
		Message: "The APIService of " + l.component.Name + " has just been written."}
	write, earlier := l.Applier.Apply, l.facts.APIServices[api.Name()]
	if earlier != nil && !ownership.Ours(earlier) {
		write = l.Applier.TakeOver
	}
	result, err := l.write(ctx, registration.Object(api, l.component.Component, l.bundle), l.owners[:1], write)
	if err != nil || result == apply.Unchanged { // The cache has not seen it yet.
		return registered, err
	}
	l.registrar.Registered(api)
	switch {
	case earlier == nil:
	case ownership.Ours(earlier):
		registered.TakenOverFrom = earlier.Labels[v1alpha1.ComponentLabel]
		l.switched = time.Now()
	default:
		registered.TakenOverFrom = ownership.Of(earlier)
	}
	return registered, nil
}
