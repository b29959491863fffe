// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// failed are the HPAs of a cluster of which some fail, one for a cause that an administrator removes.
func failed() *Autoscalers {
	first := v1alpha1.AutoscalerFailure{Namespace: "shop", Name: "web", Metric: "Pods requests", Reason: "APIUnavailable",
		Message: "APIService v1beta1.custom.metrics.k8s.io is unavailable."}
	return &Autoscalers{Status: &v1alpha1.AutoscalersStatus{Total: 200, Working: 193, Failing: []v1alpha1.AutoscalerFailure{first}}, First: first,
		Reasons: map[string]int{"APIUnavailable": 2, "NoRequests": 4, "RuleRejected": 1}, Administrator: map[string]int{"APIUnavailable": 2, "RuleRejected": 1}}
}

// autoscalerCases are about a condition that Ready does not depend on.
func autoscalerCases() map[string]conditionCase {
	aside := func(want string, change func(*Observation)) conditionCase {
		return conditionCase{change: change, differ: map[string]string{v1alpha1.ConditionAutoscalersServed: want}, ready: "Ready",
			kstatus: status.CurrentStatus, says: "Available: metrics.k8s.io"}
	}
	return map[string]conditionCase{
		"HPAs fail for causes that an administrator removes": aside("False Unserved", func(o *Observation) { o.Autoscalers = failed() }),
		"HPAs fail for causes of their namespaces": aside("True Served", func(o *Observation) {
			o.Autoscalers = failed()
			o.Autoscalers.Administrator = nil
		}),
		"HPAs have not been looked at": aside("Unknown Progressing", func(o *Observation) { o.Autoscalers = nil }),
		"the operator may not list HPAs": aside("False Unreadable", func(o *Observation) {
			o.Autoscalers = &Autoscalers{Problem: "horizontalpodautoscalers.autoscaling is forbidden"}
		}),
	}
}

func TestAutoscalersServed(t *testing.T) {
	other := failed()
	other.Administrator = nil
	for name, tc := range map[string]struct {
		seen *Autoscalers
		want string
	}{
		"for an administrator": {failed(), "3 of 200 HorizontalPodAutoscalers fail for causes that an administrator removes: APIUnavailable 2, " +
			"RuleRejected 1. HorizontalPodAutoscaler shop/web: APIService v1beta1.custom.metrics.k8s.io is unavailable."},
		"for others": {other, "No HorizontalPodAutoscaler fails for a cause that an administrator removes. 7 of 200 fail for other causes, see " +
			"status.autoscalers."},
		"none":         {&Autoscalers{Status: &v1alpha1.AutoscalersStatus{}}, "No HorizontalPodAutoscaler fails for a cause that an administrator removes."},
		"not readable": {&Autoscalers{Problem: "it is forbidden"}, "It cannot be said whether HorizontalPodAutoscalers work: it is forbidden."},
	} {
		_, got := statusOf(func(o *Observation) { o.Autoscalers = tc.seen })
		if found := meta.FindStatusCondition(got.Conditions, v1alpha1.ConditionAutoscalersServed); found.Message != tc.want {
			t.Errorf("%s: %s", name, found.Message)
		}
	}
}

// TestAutoscalersStay: what is not known after a start, or cannot be read, stays as it was.
func TestAutoscalersStay(t *testing.T) {
	_, before := statusOf(func(o *Observation) { o.Autoscalers = failed() })
	o, _ := statusOf(func(o *Observation) { o.Autoscalers = nil })
	after := Status(o, before)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("not known (-before +after):\n%s", diff)
	}
	o.Autoscalers = failed()
	o.Autoscalers.Unsure, o.Autoscalers.Administrator = true, nil
	if diff := cmp.Diff(before, Status(o, before)); diff != "" {
		t.Errorf("not examined again (-before +after):\n%s", diff)
	}
	o.Autoscalers = &Autoscalers{Problem: "it is forbidden"}
	if diff := cmp.Diff(before.Autoscalers, Status(o, before).Autoscalers); diff != "" {
		t.Errorf("not readable (-before +after):\n%s", diff)
	}
}

// TestAutoscalerMetric counts failing HPAs by reason, and nothing by a name that a tenant chooses.
func TestAutoscalerMetric(t *testing.T) {
	o, after := statusOf(func(o *Observation) { o.Autoscalers = failed() })
	var e Exporter
	e.Set(o, after)
	got := map[string]float64{}
	for name, value := range series(t, &e) {
		if strings.HasPrefix(name, "autoscaler") {
			got[name] = value
		}
	}
	want := map[string]float64{"autoscaler_failing{reason=APIUnavailable}": 2, "autoscaler_failing{reason=NoRequests}": 4,
		"autoscaler_failing{reason=RuleRejected}": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
