// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/certs"
	"github.com/metricspipeline/operator/internal/certs/provider"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/health"
	"github.com/metricspipeline/operator/internal/operand"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/probe"
	"github.com/metricspipeline/operator/internal/registration"
	"github.com/metricspipeline/operator/internal/report"
)

// ladder is the reconcile of one component, rung by rung: its certificate, the trust of the API server, the Secret, the
// objects, their writes, the metrics APIs. An error ends this ladder only.
type ladder struct {
	*Reconciler
	spec         v1alpha1.MetricsPipelineSpec
	facts        cluster.Facts
	component    operand.Planned
	owners       []metav1.OwnerReference
	probes       *probe.Round
	certificates *provider.Round
	writer       *writer

	// certificate to serve with; nil for none. Set by certify.
	certificate *provider.Certificate
	// answers of the ready endpoints, and the certificates by which clients should trust them. Set by certify.
	answers []probe.Answer
	probed  bool
	bundle  []byte
	// objects to write. Set by render.
	objects []*unstructured.Unstructured
	// accepted is true when what pods are made from is as it is desired, and form are the objects as they are in place. Set by
	// apply.
	accepted bool
	form     []*unstructured.Unstructured
	// unsure is true when a write failed for a reason that may pass, so that the form is not known in full, and podsUnsure when another
	// writer keeps changing an object that pods are made from. Set by apply.
	unsure, podsUnsure bool
	// applied is true once the ladder came to apply.
	applied bool

	// phase is the rung that it is on.
	phase   report.Phase
	outcome outcome
}

// rung is a step of the ladder.
type rung struct {
	phase report.Phase
	take  func(context.Context) error
}

// climb takes the rungs in their order.
func (l *ladder) climb(ctx context.Context) {
	defer func() {
		if !l.probed {
			l.probes.Retain(l.component.Name) // Whether its answers are still needed is not known.
		}
		if l.component.LastGood != nil && l.applied {
			l.outcome.Retained = l.retained()
		}
	}()
	// Its last good form is not pruned, wherever the ladder ends, nor is what the pods of that form read.
	l.outcome.Desired = append(l.outcome.Desired,
		ownership.ID("ConfigMap", l.component.Namespace, operand.LastGoodName(l.component.Name)))
	if form := l.component.LastGood; form != nil && form.Component.AccessSecret != "" {
		l.outcome.Desired = append(l.outcome.Desired, ownership.ID("Secret", l.component.Namespace, form.Component.AccessSecret))
	}
	l.take(ctx, []rung{
		{report.PhaseCertify, l.certify}, {report.PhaseSecure, l.secure}, {report.PhaseRender, l.render}, {report.PhaseApply, l.apply},
		{report.PhaseRegister, l.register}, {report.PhaseRemember, l.remember}, {report.PhaseSweep, l.sweep},
	})
}

// repair takes the rungs that put back what is there in its last good form.
func (l *ladder) repair(ctx context.Context) {
	l.take(ctx, []rung{{report.PhaseRender, l.render}, {report.PhaseApply, l.apply}})
}

// take takes rungs until one fails.
func (l *ladder) take(ctx context.Context, rungs []rung) {
	for _, r := range rungs {
		l.phase = r.phase
		if err := r.take(ctx); err != nil {
			l.failed(ctx, err)
			return
		}
	}
}

// secure lets the API server know the certificate and stores it, in this order. A component that has run before has a certificate:
// where the next one cannot be stored, the rest of it is repaired all the same.
func (l *ladder) secure(ctx context.Context) error {
	err := l.trust(ctx)
	if err == nil {
		err = l.store(ctx)
	}
	if err == nil || l.component.LastGood == nil {
		return err
	}
	l.failed(ctx, err)
	return nil
}

// failed records an error. A conflict is not reported: it is tried again.
func (l *ladder) failed(ctx context.Context, err error) {
	log := ctrl.LoggerFrom(ctx).WithValues("component", l.component.Name)
	if apierrors.IsConflict(err) {
		log.V(1).Info("Conflict, trying again", "error", err.Error())
		l.outcome.conflict = true
		return
	}
	l.Metrics.Failed(l.phase)
	failure := report.FailureOf(err)
	if failure.Stalled {
		log.Info("Stalled until a person acts", "error", err.Error())
	}
	l.outcome.Failures = append(l.outcome.Failures, failure)
}

func (l *ladder) requeueAfter(after time.Duration) {
	l.outcome.requeueAfter = operand.Sooner(l.outcome.requeueAfter, after)
}

// certify finds the certificate that the component is to serve with, and by which certificates it should be trusted: that of
// its authority and, until every endpoint serves with it and no other is stored, of those before.
func (l *ladder) certify(ctx context.Context) error {
	if l.component.Serving == "" {
		return nil
	}
	l.writer.into = &l.outcome
	result := l.certificates.For(ctx, l.request())
	for _, desired := range result.Desired {
		l.outcome.Desired = append(l.outcome.Desired, ownership.Identity(desired))
	}
	for _, err := range apart(result.Err) {
		l.failed(ctx, report.Unissued(err))
	}
	in, now := &l.outcome.Certificate, l.Clock.Now()
	in.Known = result.Err == nil || result.Certificate != nil
	in.ManagerMissing, in.WithoutCA, in.Overdue = result.CertManagerMissing, result.WithoutCA, result.Overdue
	in.Waiting, in.Lacking = result.Waiting, result.Message
	if result.Next.After(now) {
		l.requeueAfter(result.Next.Sub(now))
	}
	known, err := l.trusted(ctx)
	if err != nil {
		return err
	}
	if l.certificate = result.Certificate; l.certificate == nil {
		l.bundle = known
		return nil
	}
	in.InUse = certificateStatus(l.component.Serving, l.certificate.Provider, l.certificate.Expiry, l.certificate.Renewal)
	if l.answers, err = l.probe(ctx, l.certificate.Authority); err != nil {
		l.failed(ctx, err) // Without answers nothing is registered, and no authority is dropped. The ladder does not end.
	}
	settled, rotating := allYes(l.answers), certs.Predecessors(l.certificate.Authority, known, now) > 0
	if settled && rotating {
		if settled, err = l.certificates.Stored(ctx, l.request(), *l.certificate); err != nil {
			return report.Unissued(err)
		}
	}
	in.Rotating = rotating && !settled
	l.bundle = certs.Bundle(l.certificate.Authority, known, settled, now)
	return nil
}

// certificateStatus describes a certificate that is in use.
func certificateStatus(secret string, issuer v1alpha1.CertificateProvider, expires, renews time.Time) v1alpha1.CertificateStatus {
	status := v1alpha1.CertificateStatus{Name: secret, Provider: issuer}
	if !expires.IsZero() {
		ends, due := metav1.NewTime(expires), metav1.NewTime(renews)
		status.Expires, status.Renews = &ends, &due
	}
	return status
}

func (l *ladder) request() provider.Request {
	return provider.Request{Component: l.component.Name, Namespace: l.component.Namespace, Secret: l.component.Serving,
		DNSNames: l.component.DNSNames(), Owners: l.owners, Labels: ownership.Labels(l.component.Name)}
}

// trusted returns the certificates by which the API server trusts the component now. The clients of one that serves no metrics API find
// them beside its certificate.
func (l *ladder) trusted(ctx context.Context) ([]byte, error) {
	if len(l.component.APIs) == 0 && l.component.Service != "" {
		return l.certificates.Trusted(ctx, l.request())
	}
	for _, api := range l.component.APIs {
		if registered := l.facts.Ours(api); registered != nil && !l.elsewhere(api) {
			return registered.Spec.CABundle, nil
		}
	}
	return nil, nil
}

// probe returns the last answers of the ready endpoints: whether they present certificates of an authority.
func (l *ladder) probe(ctx context.Context, authority []byte) ([]probe.Answer, error) {
	if l.component.Service == "" {
		l.probed = true
		return nil, nil // Nothing leads to it.
	}
	var endpointSlices discoveryv1.EndpointSliceList
	err := l.Client.List(ctx, &endpointSlices, client.InNamespace(l.Namespace), client.MatchingLabels{
		v1alpha1.ManagedLabel: v1alpha1.SingletonName, discoveryv1.LabelServiceName: l.component.Service})
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of %s: %w", l.component.Service, err)
	}
	l.probed = true
	var answers []probe.Answer
	for _, address := range health.ReadyEndpoints(endpointSlices.Items, registration.PortName) {
		question := servingQuestion(l.component.Name, l.component.ServerName(), address, authority)
		//nolint:contextcheck // a question outlives the reconcile, so it must not end with its context
		answers = append(answers, l.probes.Ask(question))
	}
	return answers, nil
}

// allYes is true when there is an answer for some endpoint, and yes for every one.
func allYes(answers []probe.Answer) bool {
	return len(answers) > 0 && !slices.ContainsFunc(answers, func(answer probe.Answer) bool { return !answer.Yes() })
}

// trust writes the caBundle of a registered component before it can present a certificate of a new authority. The bundle
// depends on the one before, so an APIService that has changed since it was read is a conflict.
func (l *ladder) trust(ctx context.Context) error {
	for _, api := range l.component.APIs {
		registered := l.facts.Ours(api)
		if registered == nil || l.elsewhere(api) {
			continue
		}
		l.outcome.APIs = append(l.outcome.APIs, report.Registration{API: api})
		if len(l.bundle) == 0 {
			continue
		}
		object := registration.Object(api, l.component.Component, l.bundle)
		object.SetUID(registered.UID)
		object.SetResourceVersion(registered.ResourceVersion)
		if _, err := l.write(ctx, object, l.owners[:1], l.Applier.Apply); err != nil {
			return err
		}
	}
	return nil
}

// store writes the Secret with the certificate. Only what is stored counts as issued.
func (l *ladder) store(ctx context.Context) error {
	if l.certificate == nil {
		return nil
	}
	result, err := l.write(ctx, l.certificate.Object(l.request(), l.bundle), l.owners, l.Applier.Apply)
	if err == nil && l.certificate.Issued != "" && result != apply.Unchanged {
		l.outcome.Certificate.Issued = l.certificate.Issued
	}
	return err
}

// render builds the objects. A component that is retained, or cannot be built, gets those of its last good form.
func (l *ladder) render(ctx context.Context) error {
	form := l.component.LastGood
	if l.component.Retained == "" {
		objects, err := l.Renderer.Build(l.component.Component)
		if err == nil {
			l.objects = objects
			return nil
		}
		l.failed(ctx, report.Unrendered(err))
		l.component.Retained = err.Error()
	}
	if form != nil {
		l.objects = form.Objects
	}
	return nil
}

// retained returns why the component stays in its last good form; empty where it does not.
func (l *ladder) retained() string {
	if l.component.Retained == "" && !l.accepted {
		return "what its pods are made from could not be applied, see the condition ComponentsReady."
	}
	return l.component.Retained
}
