// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/apply"
	"github.com/metricspipeline/operator/internal/component"
	scraping "github.com/metricspipeline/operator/internal/controller/monitors"
	"github.com/metricspipeline/operator/internal/prometheus"
)

// conditionCase is one way in which a pipeline differs from one that works.
type conditionCase struct {
	change func(*observation)
	// differ are the conditions that are not as in a pipeline that works, as "Status Reason".
	differ map[string]string
	// ready is the reason of Ready, and says a part of its message.
	ready, says string
	// kstatus is what kubectl wait, Flux and Argo CD make of it.
	kstatus status.Status
}

// whenWorking are the conditions of a pipeline in which everything works.
var whenWorking = map[string]string{
	v1alpha1.ConditionAggregationLayerReady: "True RequestHeaderCAFound",
	v1alpha1.ConditionRulesAccepted:         "True AllAccepted",
	v1alpha1.ConditionPrometheusReady:       "True Reachable",
	v1alpha1.ConditionScrapeReady:           "True Selected",
	v1alpha1.ConditionCertificatesReady:     "True Issued",
	v1alpha1.ConditionComponentsReady:       "True AllAvailable",
	v1alpha1.ConditionAPIServicesAvailable:  "True AllAvailable",
}

func conditionCases() map[string]conditionCase {
	all := map[string]conditionCase{}
	for _, group := range []map[string]conditionCase{
		settledCases(), prometheusCases(), scrapeCases(), certificateCases(), componentCases(), apiCases(), ownershipCases(),
		failureCases()} {
		maps.Copy(all, group)
	}
	return all
}

func settledCases() map[string]conditionCase {
	return map[string]conditionCase{
		"everything works": {
			change: func(*observation) {}, ready: "Ready", kstatus: status.CurrentStatus,
			says: "Available: metrics.k8s.io, custom.metrics.k8s.io, external.metrics.k8s.io."},
		"insecure kubelets": {
			change: func(o *observation) { o.insecureKubelets = true }, ready: "Ready", kstatus: status.CurrentStatus,
			says: "metricsServer.kubelet.tls.verification is Insecure"},
		"no rules": {
			change: func(o *observation) {
				o.rules, o.prometheus = rulesObservation{}, prometheusObservation{}
				for _, api := range component.APIs()[1:] {
					unregister(o, api, &component.Omission{Reason: v1alpha1.ReasonNoRules, Message: "no rule."})
				}
			},
			differ: map[string]string{v1alpha1.ConditionPrometheusReady: "True NotRequired"},
			ready:  "Ready", kstatus: status.CurrentStatus, says: "Available: metrics.k8s.io."},
		"somebody else serves a group": {
			change: func(o *observation) {
				replace(o, foreign(component.ExternalMetricsBeta, apiregv1.ConditionTrue, "Passed"))
			},
			ready: "Ready", kstatus: status.CurrentStatus},
		"somebody else serves one version of a group": {
			change: func(o *observation) {
				replace(o, foreign(component.CustomMetricsBeta1, apiregv1.ConditionTrue, "Passed"))
				unregister(o, component.CustomMetricsBeta2, &component.Omission{Reason: v1alpha1.ReasonServedByOther, Message: "theirs."})
			},
			ready: "Ready", kstatus: status.CurrentStatus},
		"the API server has no request header CA": {
			change: func(o *observation) { o.requestHeaderCA = false },
			differ: map[string]string{v1alpha1.ConditionAggregationLayerReady: "False RequestHeaderCAMissing"},
			ready:  "RequestHeaderCAMissing", kstatus: status.FailedStatus, says: "--requestheader-client-ca-file"},
		"a rule is rejected": {
			change: func(o *observation) {
				o.rules.rejected = []v1alpha1.RuleStatus{{ID: "requests", API: "custom.metrics.k8s.io", Message: "seriesQuery is wrong"}}
			},
			differ: map[string]string{v1alpha1.ConditionRulesAccepted: "False RulesRejected"},
			ready:  "RulesRejected", kstatus: status.FailedStatus,
			says: "1 of 2 rules left out, see status.rules; the first: requests (custom.metrics.k8s.io): seriesQuery is wrong"},
	}
}

func prometheusCases() map[string]conditionCase {
	failing := func(reason string, kstatus status.Status, says string, change func(*prometheusObservation)) conditionCase {
		return conditionCase{
			change: func(o *observation) { change(&o.prometheus) },
			differ: map[string]string{v1alpha1.ConditionPrometheusReady: "False " + reason},
			ready:  reason, kstatus: kstatus, says: says}
	}
	probing := failing("Probing", status.InProgressStatus, "Prometheus monitoring/k8s is being asked at http",
		func(p *prometheusObservation) { p.answer.Known = false })
	probing.differ = map[string]string{v1alpha1.ConditionPrometheusReady: "Unknown Probing"}
	return map[string]conditionCase{
		"Prometheus is being asked": probing,
		"there is no Prometheus": failing("PrometheusNotFound", status.FailedStatus, "no Prometheus object", func(p *prometheusObservation) {
			p.notFound = &prometheus.NotFoundError{Reason: v1alpha1.ReasonPrometheusNotFound, Message: "The cluster has no Prometheus object."}
		}),
		"there are several": failing("PrometheusAmbiguous", status.FailedStatus, "has 2", func(p *prometheusObservation) {
			p.notFound = &prometheus.NotFoundError{Reason: v1alpha1.ReasonPrometheusAmbiguous, Message: "The cluster has 2."}
		}),
		"Prometheus does not answer": failing("Unreachable", status.InProgressStatus, "Prometheus monitoring/k8s does not answer: refused.",
			func(p *prometheusObservation) { p.answer.Err = errors.New("refused") }),
		"another Prometheus does not answer": failing("Unreachable", status.InProgressStatus, "refused. The adapter stays as it is until then",
			func(p *prometheusObservation) { p.answer.Err, p.kept = errors.New("refused"), true }),
		"a credential is missing": failing("AuthMissing", status.FailedStatus, "there is no Secret x.",
			func(p *prometheusObservation) { p.authMissing = "there is no Secret x" }),
		"maxAge is below the scrape interval": failing("MaxAgeTooShort", status.FailedStatus,
			"maxAge is 1s and Prometheus monitoring/k8s scrapes every 30s",
			func(p *prometheusObservation) { p.maxAge = 1e9 }),
		"maxAge is as long as the scrape interval": {
			change: func(o *observation) { o.prometheus.maxAge = o.prometheus.target.ScrapeInterval },
			ready:  "Ready", kstatus: status.CurrentStatus},
	}
}

// scrapeCases are what the reconciler of monitors may say.
func scrapeCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionScrapeReady
	settled := func(reason string) conditionCase {
		return conditionCase{
			change: func(o *observation) { o.scrape = scraping.State{Met: true, Reason: reason, Message: "so it is."} },
			differ: map[string]string{condition: "True " + reason}, ready: "Ready", kstatus: status.CurrentStatus}
	}
	failing := func(reason string, kstatus status.Status) conditionCase {
		return conditionCase{
			change: func(o *observation) { o.scrape = scraping.State{Reason: reason, Message: "it says why."} },
			differ: map[string]string{condition: "False " + reason}, ready: reason, kstatus: kstatus, says: "it says why."}
	}
	aside := failing(v1alpha1.ReasonCRDsMissing, status.CurrentStatus)
	aside.ready, aside.says = "Ready", "Available: metrics.k8s.io"
	both := failing(v1alpha1.ReasonCRDsMissing, status.InProgressStatus)
	both.change = func(o *observation) {
		o.scrape = scraping.State{Reason: v1alpha1.ReasonCRDsMissing, Message: "it says why."}
		o.components[0].deployment = nil
	}
	both.differ[v1alpha1.ConditionComponentsReady] = "False Unavailable"
	both.ready, both.says = "Unavailable", "metrics-server: "
	return map[string]conditionCase{
		"annotations are not honored":                    settled(v1alpha1.ReasonScrapeOff),
		"selectors cannot be known":                      settled(v1alpha1.ReasonSelectorsUnknown),
		"there are no CRDs of monitors":                  aside,
		"there are no CRDs, and a Deployment is missing": both,
		"Prometheus does not select the monitors":        failing(v1alpha1.ReasonNotSelected, status.FailedStatus),
		"no Prometheus to be scraped by":                 failing(v1alpha1.ReasonPrometheusNotFound, status.FailedStatus),
		"several to be scraped by":                       failing(v1alpha1.ReasonPrometheusAmbiguous, status.FailedStatus),
		"a monitor is refused":                           failing(v1alpha1.ReasonMonitorsFailed, status.InProgressStatus),
	}
}

func componentCases() map[string]conditionCase {
	return map[string]conditionCase{
		"a pod is missing": {
			change: func(o *observation) { o.components[0].deployment = starting(component.MetricsServer) },
			differ: map[string]string{v1alpha1.ConditionComponentsReady: "False Unavailable"},
			ready:  "Unavailable", kstatus: status.InProgressStatus, says: "metrics-server: "},
		"a Deployment is not there yet": {
			change: func(o *observation) { o.components[1].deployment = nil },
			differ: map[string]string{v1alpha1.ConditionComponentsReady: "False Unavailable"},
			ready:  "Unavailable", kstatus: status.InProgressStatus, says: "prometheus-adapter: The Deployment does not exist yet."},
		"Kubernetes gave up on a Deployment, and another one starts": {
			change: func(o *observation) {
				o.components[0].deployment = failed(component.MetricsServer)
				o.components[1].deployment = starting(component.PrometheusAdapter)
			},
			differ: map[string]string{v1alpha1.ConditionComponentsReady: "False Unavailable"},
			ready:  "Unavailable", kstatus: status.FailedStatus, says: "prometheus-adapter: "},
	}
}

func apiCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionAPIServicesAvailable
	return map[string]conditionCase{
		"an API waits for its backend": {
			change: func(o *observation) {
				unregister(o, component.ResourceMetrics, nil)
				o.waiting(component.ResourceMetrics, "The Service has no ready endpoint yet.")
			},
			differ: map[string]string{condition: "False WaitingForBackend"},
			ready:  "WaitingForBackend", kstatus: status.InProgressStatus,
			says: "v1beta1.metrics.k8s.io: The Service has no ready endpoint yet."},
		"an API waits for an earlier step": {
			change: func(o *observation) { unregister(o, component.ResourceMetrics, nil) },
			differ: map[string]string{condition: "False WaitingForBackend"},
			ready:  "WaitingForBackend", kstatus: status.InProgressStatus, says: "v1beta1.metrics.k8s.io: The API is registered once"},
		"kube-aggregator has not looked": {
			change: func(o *observation) { o.apis[0].apiService.Status.Conditions = nil },
			differ: map[string]string{condition: "False WaitingForAggregator"},
			ready:  "WaitingForAggregator", kstatus: status.InProgressStatus, says: "kube-aggregator has not looked"},
		"an API does not answer": {
			change: func(o *observation) {
				replace(o, registered(component.ResourceMetrics, component.MetricsServer, apiregv1.ConditionFalse, "FailedDiscoveryCheck"))
			},
			differ: map[string]string{condition: "False FailedDiscoveryCheck"},
			ready:  "FailedDiscoveryCheck", kstatus: status.InProgressStatus, says: "v1beta1.metrics.k8s.io: said kube-aggregator"},
		"somebody else's API does not answer": {
			change: func(o *observation) {
				replace(o, foreign(component.ExternalMetricsBeta, apiregv1.ConditionFalse, "MissingEndpoints"))
			},
			differ: map[string]string{condition: "False MissingEndpoints"},
			ready:  "MissingEndpoints", kstatus: status.InProgressStatus},
		"no rule of an API is usable": {
			change: func(o *observation) {
				o.rules.rejected = []v1alpha1.RuleStatus{{ID: "depth", API: "external.metrics.k8s.io", Message: "bad"}}
				unregister(o, component.ExternalMetricsBeta,
					&component.Omission{Reason: v1alpha1.ReasonConfigurationInvalid, Message: "none usable."})
			},
			differ: map[string]string{v1alpha1.ConditionRulesAccepted: "False RulesRejected", condition: "False ConfigurationInvalid"},
			ready:  "RulesRejected", kstatus: status.FailedStatus},
	}
}

// failureCases are the errors that end a reconcile, as the phases return them.
func failureCases() map[string]conditionCase {
	deployments := schema.GroupKind{Group: "apps", Kind: "Deployment"}
	ending := func(err error, kstatus status.Status, condition, reason, says string) conditionCase {
		return conditionCase{
			change: func(o *observation) { o.failure = asPhaseError(err) },
			differ: map[string]string{condition: "False " + reason},
			ready:  reason, kstatus: kstatus, says: says}
	}
	patches := []v1alpha1.Patch{{Target: v1alpha1.PatchTarget{Kind: "Gadget"}, Patch: "[]"}}
	badPatch := &scope{plan: component.For(v1alpha1.MetricsPipelineSpec{Patches: patches},
		component.Capabilities{Images: component.Images(func(string) string { return "" })})}

	const components = v1alpha1.ConditionComponentsReady
	return map[string]conditionCase{
		"a patch does not apply": ending((&Reconciler{Options: Options{}.orDefaults()}).renderObjects(context.Background(), badPatch),
			status.FailedStatus, components, "RenderFailed", "spec.patches[0].target"),
		"a name is taken": ending(&apply.NameTakenError{Object: "Service metrics/metrics-server", Manager: "helm"},
			status.FailedStatus, components, "NameTaken", `the field manager "helm"`),
		"the API server refuses an object": ending(apierrors.NewInvalid(deployments, "metrics-server", nil),
			status.FailedStatus, components, "ApplyFailed", "metrics-server"),
		"the operator may not do it": ending(apierrors.NewForbidden(schema.GroupResource{Resource: "deployments"}, "metrics-server", nil),
			status.FailedStatus, components, "ApplyFailed", "forbidden"),
		"the API server does not answer": ending(apierrors.NewTimeoutError("etcd", 1),
			status.InProgressStatus, components, "ApplyFailed", "etcd"),
		"a certificate cannot be stored": ending(
			&phaseError{v1alpha1.ConditionCertificatesReady, v1alpha1.ReasonIssueFailed, false, errors.New("no entropy")},
			status.InProgressStatus, v1alpha1.ConditionCertificatesReady, "IssueFailed", "no entropy"),
	}
}

// statusOf computes the status for a case.
func statusOf(tc conditionCase) v1alpha1.MetricsPipelineStatus {
	o := working()
	tc.change(&o)
	return computeStatus(o, v1alpha1.MetricsPipelineStatus{})
}

func TestConditions(t *testing.T) {
	for name, tc := range conditionCases() {
		t.Run(name, func(t *testing.T) {
			got := statusOf(tc)
			want := maps.Clone(whenWorking)
			maps.Copy(want, tc.differ)

			parts := map[string]string{}
			for _, condition := range got.Conditions {
				if condition.ObservedGeneration != 3 || condition.Message == "" || condition.LastTransitionTime.IsZero() {
					t.Errorf("incomplete: %+v", condition)
				}
				if _, part := want[condition.Type]; part {
					parts[condition.Type] = string(condition.Status) + " " + condition.Reason
				}
			}
			if diff := cmp.Diff(want, parts); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			ready := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionReady)
			if ready.Reason != tc.ready || !strings.Contains(ready.Message, tc.says) {
				t.Errorf("Ready: %s: %s; want %s and %q", ready.Reason, ready.Message, tc.ready, tc.says)
			}
			expectConjunction(t, got.Conditions, parts)
			expectKstatus(t, got, tc.kstatus)
		})
	}
}

// expectConjunction holds Ready to the conditions that it is made of, and Reconciling and Stalled to each other.
func expectConjunction(t *testing.T, conditions []metav1.Condition, parts map[string]string) {
	t.Helper()
	all := true
	for _, part := range parts {
		// Nothing that the metrics APIs need is missing with the CRDs of monitors.
		all = all && (strings.HasPrefix(part, "True ") || part == "False "+v1alpha1.ReasonCRDsMissing)
	}
	if ready := meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReady); ready != all {
		t.Errorf("Ready is %v, and the others are %v", ready, parts)
	}
	reconciling := meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionReconciling)
	stalled := meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled)
	if reconciling && stalled || (reconciling || stalled) == all {
		t.Errorf("all met: %v, Reconciling: %v, Stalled: %v", all, reconciling, stalled)
	}
}

// expectKstatus asks the library that kubectl wait's successors, Flux and Argo CD share.
func expectKstatus(t *testing.T, got v1alpha1.MetricsPipelineStatus, want status.Status) {
	t.Helper()
	pipeline := &v1alpha1.MetricsPipeline{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "MetricsPipeline"},
		ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 3},
		Status:     got,
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pipeline)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil || result.Status != want {
		t.Errorf("kstatus %+v, %v, want %s", result, err, want)
	}
	pipeline.Generation++
	content, err = runtime.DefaultUnstructuredConverter.ToUnstructured(pipeline)
	if err != nil {
		t.Fatal(err)
	}
	if result, err := status.Compute(&unstructured.Unstructured{Object: content}); err != nil || result.Status != status.InProgressStatus {
		t.Errorf("kstatus %+v, %v after a change of the spec, want %s", result, err, status.InProgressStatus)
	}
}
