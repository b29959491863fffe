// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/kinds"
	"github.com/metricspipeline/operator/internal/render"
)

// fails lets the ladder of a component end in a failure.
func fails(component string, failures ...*Failure) func(*Observation) {
	return func(o *Observation) { outcomeOf(o, component).Failures = failures }
}

// forbidden is the API server's answer to who may not do something.
func forbidden(verb, resource string) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "",
		fmt.Errorf(`User "operator" cannot %s resource %q`, verb, resource))
}

// failureCases are the errors that end the ladder of a component.
func failureCases() map[string]conditionCase {
	const components = v1alpha1.ConditionComponentsReady
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "usage-server", nil)
	ending := func(failure *Failure, kstatus status.Status, condition, reason, says string) conditionCase {
		return conditionCase{
			change: fails(usageServer, failure), differ: map[string]string{condition: "False " + reason},
			ready: reason, kstatus: kstatus, says: says}
	}
	several := func(reason, says string, kstatus status.Status, change func(*Observation)) conditionCase {
		return conditionCase{change: change, differ: map[string]string{components: "False " + reason},
			ready: reason, kstatus: kstatus, says: says}
	}
	noTarget := (&render.Renderer{}).CheckTargets([]v1alpha1.Patch{{Target: v1alpha1.PatchTarget{Kind: "Gadget"}, Patch: "[]"}})
	leaving := forbidden("create", "deployments")
	var status403 *apierrors.StatusError
	errors.As(leaving, &status403)
	status403.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	away := FailureOf(errors.New("the API server is away"))
	return map[string]conditionCase{
		"a patch does not apply": ending(Unrendered(noTarget), status.FailedStatus, components, "RenderFailed", "spec.patches[0].target"),
		"a name is taken": ending(FailureOf(&apply.NameTakenError{Object: "Service metrics/usage-server", Manager: "helm"}),
			status.FailedStatus, components, "NameTaken", `the field manager "helm"`),
		"the API server refuses an object": ending(FailureOf(invalid), status.FailedStatus, components, "ApplyFailed", "usage-server"),
		"an object is refused, and not sent again": ending(
			FailureOf(&apply.RefusedError{Object: "ConfigMap metrics/usage-server", Err: apierrors.NewRequestEntityTooLargeError("limit is 3 MiB")}),
			status.FailedStatus, components, "ApplyFailed", "apply ConfigMap metrics/usage-server: "),
		"an object is too large for the API server": ending(FailureOf(apierrors.NewRequestEntityTooLargeError("limit is 3 MiB")),
			status.FailedStatus, components, "ApplyFailed", "limit is 3 MiB"),
		"the operator may not do it": ending(FailureOf(forbidden("patch", "deployments")),
			status.FailedStatus, components, "ApplyFailed", `cannot patch resource "deployments"`),
		"the namespace of an object is being deleted": ending(FailureOf(leaving), status.InProgressStatus, components, "ApplyFailed", "forbidden"),
		"the API server does not answer": ending(FailureOf(apierrors.NewTimeoutError("etcd", 1)),
			status.InProgressStatus, components, "ApplyFailed", "etcd"),
		"a certificate cannot be stored": ending(Unissued(errors.New("no entropy")),
			status.InProgressStatus, v1alpha1.ConditionCertificatesReady, "IssueFailed", "no entropy"),
		"the API server refuses a certificate": ending(Unissued(forbidden("patch", "secrets")),
			status.FailedStatus, v1alpha1.ConditionCertificatesReady, "IssueFailed", `cannot patch resource "secrets"`),

		"several failures of one component": several("RenderFailed", "the API server is away. spec.patches[0] does not apply.", status.FailedStatus,
			fails(usageServer, away, Unrendered(errors.New("spec.patches[0] does not apply")))),
		"one failure of two components": several("ApplyFailed", "the API server is away.", status.InProgressStatus, func(o *Observation) {
			fails(usageServer, away)(o)
			fails(rulesServer, away)(o)
		}),
		"one component fails, and another is stuck": several("Contested", "the API server is away. Deployment metrics/rules-server: the field",
			status.FailedStatus, func(o *Observation) {
				fails(usageServer, away)(o)
				outcomeOf(o, rulesServer).Contested = []*apply.ContestedError{contested("Deployment metrics/rules-server")}
			}),
		"one certificate cannot be stored, and another is not issued": {
			change: func(o *Observation) {
				fails(usageServer, Unissued(errors.New("no entropy")))(o)
				outcomeOf(o, usageServer).Certificate.Known = false
				outcomeOf(o, rulesServer).Certificate = Certificate{Known: true, Waiting: true, Lacking: "Certificate rules: pending."}
			},
			differ: map[string]string{v1alpha1.ConditionCertificatesReady: "False IssueFailed"},
			ready:  "IssueFailed", kstatus: status.InProgressStatus, says: "no entropy. Certificate rules: pending."},
	}
}

// unreadable is what the cache says of a kind that cannot be read.
func unreadable(kind schema.GroupVersionKind, resource string) *cluster.UnreadableError {
	return &cluster.UnreadableError{Kind: kind, Err: forbidden("list", resource)}
}

// problem enters what could not be read among the facts, as the reconciler does.
func problem(o *Observation, err error) {
	o.Facts.Problems = append(o.Facts.Problems, err)
	o.Failures = append(o.Failures, FailureOf(err))
}

// unreadableCases are facts that could not be read: they name the permission or the object, where it matters.
func unreadableCases() map[string]conditionCase {
	is := func(condition, says string, err error) conditionCase {
		return conditionCase{change: func(o *Observation) { problem(o, err) }, differ: map[string]string{condition: "False Unreadable"},
			ready: "Unreadable", kstatus: status.FailedStatus, says: says}
	}
	pending := is(v1alpha1.ConditionComponentsReady, "Deployment objects (apps/v1) cannot be read: ",
		&cluster.UnreadableError{Kind: kinds.Deployment.GroupVersionKind, Pending: true, Err: errors.New("no answer yet")})
	pending.kstatus = status.InProgressStatus
	configMaps := unreadable(corev1.SchemeGroupVersion.WithKind("ConfigMap"), "configmaps")
	authentication := is(v1alpha1.ConditionAggregationLayerReady, `cannot list resource "configmaps"`, nil)
	authentication.change = func(o *Observation) {
		o.Facts.RequestHeaderCA = false
		problem(o, fmt.Errorf("read ConfigMap kube-system/x: %w", configMaps))
	}
	authentication.differ[v1alpha1.ConditionComponentsReady] = "False Unreadable"
	whichPrometheus := is(v1alpha1.ConditionPrometheusReady, `list Prometheus objects: Prometheus objects (monitoring.coreos.com/v1) cannot be read: `,
		nil)
	whichPrometheus.change = func(o *Observation) {
		err := fmt.Errorf("list Prometheus objects: %w", unreadable(kinds.Prometheus.GroupVersionKind, "prometheuses"))
		o.Facts.Prometheus = cluster.Prometheus{Required: true, NotFound: notFoundError(v1alpha1.ReasonUnreadable, err.Error())}
		problem(o, err)
	}
	return map[string]conditionCase{
		"Deployments cannot be read": is(v1alpha1.ConditionComponentsReady, `cannot list resource "deployments"`,
			fmt.Errorf("read Deployment metrics/x: %w", unreadable(kinds.Deployment.GroupVersionKind, "deployments"))),
		"Deployments have not been read yet": pending,
		"an object cannot be decoded": is(v1alpha1.ConditionComponentsReady, "Namespace objects (v1) cannot be read: shop: json: no number.",
			&cluster.UnreadableError{Kind: kinds.Namespace.GroupVersionKind, Err: errors.New("shop: json: no number")}),
		"Certificates cannot be read": is(v1alpha1.ConditionCertificatesReady, `cannot list resource "certificates"`,
			unreadable(kinds.Certificate.GroupVersionKind, "certificates")),
		"Secrets cannot be read for a certificate": is(v1alpha1.ConditionCertificatesReady, `cannot list resource "secrets"`,
			Unissued(unreadable(corev1.SchemeGroupVersion.WithKind("Secret"), "secrets"))),
		"the request header CA cannot be read": authentication,
		"Prometheus objects cannot be read":    whichPrometheus,
		"APIServices cannot be read any more":  is(v1alpha1.ConditionAPIServicesAvailable, `cannot list resource "apiservices"`, unreadable(kinds.APIService.GroupVersionKind, "apiservices")),
	}
}
