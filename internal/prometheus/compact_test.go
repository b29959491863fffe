// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
)

// TestCompact: what is kept of an object resolves to the same, and is small whatever its user writes.
func TestCompact(t *testing.T) {
	huge := strings.Repeat("x", 200<<10)
	selector := func(value string) *metav1.LabelSelector {
		return metav1.SetAsLabelSelector(map[string]string{"team": value})
	}
	object := &monitoringv1.Prometheus{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "k8s", UID: "u", Generation: 3,
		ResourceVersion: "7", Annotations: map[string]string{"a": huge}, Labels: map[string]string{"a": huge}}}
	object.Spec.ServiceMonitorSelector, object.Spec.PodMonitorSelector = selector("a"), selector("b")
	object.Spec.ServiceMonitorNamespaceSelector, object.Spec.PodMonitorNamespaceSelector = selector("c"), selector("d")
	object.Spec.RuleSelector, object.Spec.RuleNamespaceSelector = selector("e"), selector("f")
	object.Spec.ScrapeInterval, object.Spec.Version, object.Spec.RoutePrefix = "15s", "v3.5.0", "/prefix"
	object.Spec.Shards, object.Spec.ServiceName = ptr.To[int32](2), ptr.To("prometheus")
	object.Spec.Web = &monitoringv1.PrometheusWebSpec{PageTitle: &huge,
		WebConfigFileFields: monitoringv1.WebConfigFileFields{TLSConfig: &monitoringv1.WebTLSConfig{}}}
	object.Spec.ExternalLabels, object.Status.AvailableReplicas = map[string]string{"a": huge}, 2
	ref := &v1alpha1.PrometheusReference{Namespace: "monitoring", Name: "k8s"}
	resolve := func(object *monitoringv1.Prometheus) Target {
		t.Helper()
		target, err := Resolve(v1alpha1.PrometheusSpec{Ref: ref}, among(*object), nil)
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	compacted := func(object *monitoringv1.Prometheus) *monitoringv1.Prometheus {
		t.Helper()
		kept, err := Compact(object)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := kept.(*monitoringv1.Prometheus)
		if !ok {
			t.Fatalf("%T", kept)
		}
		if text := fmt.Sprintf("%+v", got); len(text) > 64<<10 {
			t.Errorf("%d bytes are kept", len(text))
		}
		return got
	}
	if diff := cmp.Diff(resolve(object), resolve(compacted(object))); diff != "" {
		t.Errorf("(-whole +kept):\n%s", diff)
	}
	if kept := compacted(object); kept.ResourceVersion != "7" || kept.Spec.Version != "v3.5.0" {
		t.Errorf("kept: %+v", kept)
	}

	// What the operator makes itself is no one's choice, also as it is kept.
	own := object.DeepCopy()
	own.Namespace, own.Name = "metricspipeline-system", ManagedObject
	own.Labels = map[string]string{v1alpha1.ManagedLabel: v1alpha1.SingletonName, "a": huge}
	if target, err := Resolve(v1alpha1.PrometheusSpec{}, among(*compacted(object), *compacted(own)), nil); err != nil ||
		target.Object != "Prometheus monitoring/k8s" {
		t.Errorf("beside the operator's own: %s, %v", target.Object, err)
	}

	hostile := object.DeepCopy()
	hostile.Spec.ServiceMonitorSelector, hostile.Spec.PodMonitorNamespaceSelector = selector(huge), selector(huge)
	hostile.Spec.ScrapeInterval, hostile.Spec.Version, hostile.Spec.RoutePrefix = monitoringv1.Duration(huge), huge, huge
	hostile.Spec.ServiceName = &huge
	kept := compacted(hostile)
	if _, err := resolve(kept).ServiceMonitors.Labels(nil); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a selector that is too large: %v", err)
	}
	if other, err := Compact("other"); err != nil || other != any("other") {
		t.Errorf("what is no Prometheus object: %v, %v", other, err)
	}
}

// TestOldPrometheus: prometheus-operator rejects monitors that compare labels for it, and says so only in its log.
func TestOldPrometheus(t *testing.T) {
	for version, rejected := range map[string]bool{"": false, "v2.40.7": true, "2.40.7": true, "v2.41.0": false, "v3.5.0": false, "main": false} {
		got := Target{Object: "Prometheus monitoring/k8s", Version: version}.RejectedRelabelings()
		if (got != "") != rejected || rejected && !strings.Contains(got, "v2.41.0") {
			t.Errorf("%q: %q, want a rejection: %v", version, got, rejected)
		}
	}
}
