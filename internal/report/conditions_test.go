// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/cluster"
	"github.com/metricspipeline/operator/internal/metricsapi"
	"github.com/metricspipeline/operator/internal/operand"
)

// conditionCase is one way in which a pipeline differs from one that works.
type conditionCase struct {
	change func(*Observation)
	// differ are the conditions that are not as in a pipeline that works, as "Status Reason".
	differ map[string]string
	// ready is the reason of Ready, and says a part of its message.
	ready, says string
	// kstatus is what kubectl wait, Flux and Argo CD make of it.
	kstatus status.Status
	// aside are those of differ on which Ready and Stalled do not depend.
	aside []string
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
	v1alpha1.ConditionMonitoringReady:       "True MonitoringOff",
	v1alpha1.ConditionAutoscalersServed:     "True Served",
}

func conditionCases() map[string]conditionCase {
	all := map[string]conditionCase{}
	for _, group := range []map[string]conditionCase{
		settledCases(), ruleCases(), prometheusCases(), unusableCases(), maxAgeCases(), scrapeCases(), certificateCases(), componentCases(), stuckCases(), apiCases(),
		ownershipCases(), failureCases(), unreadableCases(), monitoringCases(), nodeCases(), autoscalerCases()} {
		maps.Copy(all, group)
	}
	return all
}

func settledCases() map[string]conditionCase {
	return map[string]conditionCase{
		"everything works": {
			change: func(*Observation) {}, ready: "Ready", kstatus: status.CurrentStatus,
			says: "Available: metrics.k8s.io, custom.metrics.k8s.io, external.metrics.k8s.io."},
		"insecure kubelets": {
			change: func(o *Observation) {
				o.Plan.Findings = []operand.Finding{{Condition: v1alpha1.ConditionReady, Message: "kubelet.tls is Insecure."}}
			},
			ready: "Ready", kstatus: status.CurrentStatus, says: "external.metrics.k8s.io. kubelet.tls is Insecure."},
		"no rules": {
			change: func(o *Observation) {
				o.Plan.Rules, o.Facts.Prometheus = nil, cluster.Prometheus{}
				for _, api := range metricsapi.All()[1:] {
					unregister(o, api, &metricsapi.Omission{Reason: v1alpha1.ReasonNoRules, Message: "no rule."})
				}
			},
			differ: map[string]string{v1alpha1.ConditionPrometheusReady: "True NotRequired"},
			ready:  "Ready", kstatus: status.CurrentStatus, says: "Available: metrics.k8s.io."},
		"another owner serves a group": {
			change: func(o *Observation) {
				served(o, foreign(metricsapi.External, apiregv1.ConditionTrue, "Passed"))
			},
			ready: "Ready", kstatus: status.CurrentStatus},
		"another owner serves one version of a group": {
			change: func(o *Observation) {
				served(o, foreign(metricsapi.CustomV1Beta1, apiregv1.ConditionTrue, "Passed"))
				unregister(o, metricsapi.CustomV1Beta2, &metricsapi.Omission{Reason: v1alpha1.ReasonServedByOther, Message: "theirs."})
			},
			ready: "Ready", kstatus: status.CurrentStatus},
		"the API server has no request header CA": {
			change: func(o *Observation) { o.Facts.RequestHeaderCA = false },
			differ: map[string]string{v1alpha1.ConditionAggregationLayerReady: "False RequestHeaderCAMissing"},
			ready:  "RequestHeaderCAMissing", kstatus: status.FailedStatus, says: "--requestheader-client-ca-file"},
	}
}

// scrapeCases are what the reconciler of monitors may say.
func scrapeCases() map[string]conditionCase {
	const condition = v1alpha1.ConditionScrapeReady
	settled := func(reason string) conditionCase {
		return conditionCase{
			change: func(o *Observation) {
				o.Scrape = &Scrape{Current: true, Met: true, Reason: reason, Message: "so it is."}
			},
			differ: map[string]string{condition: "True " + reason}, ready: "Ready", kstatus: status.CurrentStatus}
	}
	failing := func(reason string, kstatus status.Status) conditionCase {
		return conditionCase{
			change: func(o *Observation) { o.Scrape = &Scrape{Current: true, Reason: reason, Message: "it says why."} },
			differ: map[string]string{condition: "False " + reason}, ready: reason, kstatus: kstatus, says: "it says why."}
	}
	aside := failing(v1alpha1.ReasonCRDsMissing, status.CurrentStatus)
	aside.ready, aside.says, aside.aside = "Ready", "Available: metrics.k8s.io", []string{"False " + v1alpha1.ReasonCRDsMissing}
	both := failing(v1alpha1.ReasonCRDsMissing, status.InProgressStatus)
	both.change = func(o *Observation) {
		o.Scrape = &Scrape{Current: true, Reason: v1alpha1.ReasonCRDsMissing, Message: "it says why."}
		stands(o, usageServer, nil)
	}
	both.aside = aside.aside
	both.differ[v1alpha1.ConditionComponentsReady] = "False Unavailable"
	both.ready, both.says = "Unavailable", usageServer+": "
	named := failing(v1alpha1.ReasonPrometheusNotFound, status.FailedStatus)
	named.change = func(o *Observation) {
		o.Spec.Prometheus.Ref = &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k9s"}
		o.Scrape = &Scrape{Current: true, Reason: v1alpha1.ReasonPrometheusNotFound, Message: "it says why."}
	}
	undemanded := func(reason string) conditionCase { // A spec that names none does without.
		c := failing(reason, status.CurrentStatus)
		c.aside = []string{"False " + reason}
		c.ready, c.says = "Ready", "It is not known which Prometheus scrapes annotated apps: see the condition ScrapeReady."
		return c
	}
	unknown := func(change func(*Observation), says string) conditionCase {
		return conditionCase{change: change, differ: map[string]string{condition: "Unknown Progressing"},
			ready: "Progressing", kstatus: status.InProgressStatus, says: says}
	}
	return map[string]conditionCase{
		"annotations are not honored":                    settled(v1alpha1.ReasonScrapeOff),
		"selectors cannot be known":                      settled(v1alpha1.ReasonSelectorsUnknown),
		"there are no CRDs of monitors":                  aside,
		"there are no CRDs, and a Deployment is missing": both,
		"Prometheus does not select the monitors":        failing(v1alpha1.ReasonNotSelected, status.FailedStatus),
		"not the Prometheus that is named":               named,
		"the Prometheus in use has gone":                 undemanded(v1alpha1.ReasonPrometheusNotFound),
		"several to be scraped by":                       undemanded(v1alpha1.ReasonPrometheusAmbiguous),
		"a monitor is refused":                           failing(v1alpha1.ReasonMonitorsFailed, status.InProgressStatus),
		"the Prometheus is too old":                      failing(v1alpha1.ReasonPrometheusOutdated, status.FailedStatus),
		"the CRDs of monitors are too old":               failing(v1alpha1.ReasonCRDsOutdated, status.FailedStatus),
		"the timeout is above the Prometheus' interval":  failing(v1alpha1.ReasonScrapeTimeoutTooLong, status.FailedStatus),
		"the apps have not been read yet":                unknown(func(o *Observation) { o.Scrape = nil }, "The annotated apps are being read."),
		"the apps were read for an earlier spec":         unknown(func(o *Observation) { o.Scrape.Current = false }, "spec.scrape"),
	}
}

func TestConditions(t *testing.T) {
	for name, tc := range conditionCases() {
		t.Run(name, func(t *testing.T) {
			_, got := statusOf(tc.change)
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
			expectConjunction(t, got.Conditions, parts, tc.aside...)
			expectKstatus(t, got, tc.kstatus)
		})
	}
}

// expectConjunction compares Ready with the conditions that it is made of, and Reconciling and Stalled with each other.
func expectConjunction(t *testing.T, conditions []metav1.Condition, parts map[string]string, aside ...string) {
	t.Helper()
	all := true
	for condition, part := range parts {
		if condition == v1alpha1.ConditionMonitoringReady || condition == v1alpha1.ConditionAutoscalersServed {
			continue // The metrics APIs do without.
		}
		all = all && (strings.HasPrefix(part, "True ") || condition == v1alpha1.ConditionScrapeReady && slices.Contains(aside, part))
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

// expectKstatus uses the library that kubectl wait's successors, Flux and Argo CD share.
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
