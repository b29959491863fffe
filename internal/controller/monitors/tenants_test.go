// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package monitors

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/internal/scrape"
	"github.com/metricspipeline/operator/internal/scrape/index"
)

// TestNamespaceMadeAnew gets its monitor, however often it goes and comes, and nothing of it is remembered.
func TestNamespaceMadeAnew(t *testing.T) {
	w := working(t)
	for i := range 10 {
		ns := namespaces("test")[0]
		ns.SetUID(types.UID(strconv.Itoa(i)))
		must(t, w.client.Create(t.Context(), ns))
		must(t, w.services().Add(service("test", "a", annotated())))
		expectWrites(t, fmt.Sprintf("time %d", i+1), w.reconcile(t, "test"), "apply ServiceMonitor test/"+monitorName)
		for _, monitor := range w.monitors(t) {
			must(t, w.client.Delete(t.Context(), &monitor))
		}
		must(t, w.services().Delete(service("test", "a", nil)))
		must(t, w.client.Delete(t.Context(), ns))
		if i == 5 {
			w.reconcile(t, "test") // In between, or not: events of both may be seen as one.
		}
	}
	w.reconcile(t, "test")
	if len(w.r.seen)+len(w.r.wrote)+len(w.r.failures) != 0 {
		t.Errorf("remembered: %v, %v, %v", w.r.seen, w.r.wrote, w.r.failures)
	}
}

// TestHostNetworkPods are refused where their namespace is not allowed to have some scraped.
func TestHostNetworkPods(t *testing.T) {
	w := working(t)
	w.change(t, func(s *v1alpha1.ScrapeSpec) {
		s.HostNetworkPods = &v1alpha1.HostNetworkPods{NamespaceSelector: metav1.LabelSelector{
			MatchLabels: map[string]string{"kubernetes.io/metadata.name": "bank"}}}
	})
	w.observe(t)
	for _, name := range []string{"shop", "bank"} {
		must(t, w.stores[index.HostPod].Add(pod(name, "exporter", annotated())))
	}
	if want := []string{"Pod shop/exporter"}; !slices.Equal(w.rejected, want) {
		t.Errorf("Events about %q, want %q", w.rejected, want)
	}
	expectWrites(t, "both", w.reconcile(t, "shop", "bank"), "apply PodMonitor bank/"+monitorName)
	_, status := w.observe(t)
	if status.Pods != 1 || status.RejectedTotal != 1 || status.Rejected[0].Reason != scrape.InHostNetwork.Reason {
		t.Errorf("%+v", status)
	}
	dropped := func(namespace string) bool {
		monitor := &monitoringv1.PodMonitor{}
		must(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: monitorName}, monitor))
		return slices.ContainsFunc(monitor.Spec.PodMetricsEndpoints[0].RelabelConfigs, func(c monitoringv1.RelabelConfig) bool {
			return c.Action == "dropequal"
		})
	}
	must(t, w.pods().Add(pod("shop", "p", annotated())))
	w.reconcile(t, "shop")
	if !dropped("shop") || dropped("bank") {
		t.Errorf("the monitor drops Pods in the host's network: of shop %v, of bank %v", dropped("shop"), dropped("bank"))
	}
}

// TestMonitorsAreCachedSmall: users who may write monitors may write large ones with our labels.
func TestMonitorsAreCachedSmall(t *testing.T) {
	huge := strings.Repeat("x", 200<<10)
	full := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "m", UID: "u", ResourceVersion: "7",
		Generation: 3, Annotations: map[string]string{"a": huge}, Finalizers: []string{huge},
		OwnerReferences: []metav1.OwnerReference{{Name: huge}}}}
	full.Labels = ownership.Labels(ownership.MonitorsComponent)
	full.Labels["other"] = huge
	ours := metav1.ManagedFieldsEntry{Manager: v1alpha1.FieldManager, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}
	full.ManagedFields = append([]metav1.ManagedFieldsEntry{ours, {Manager: "attacker", FieldsV1: metav1.NewFieldsV1(huge)}},
		slices.Repeat([]metav1.ManagedFieldsEntry{ours}, 100)...)
	kept, err := onlyOwnership(full)
	must(t, err)
	got, ok := kept.(*metav1.PartialObjectMetadata)
	if !ok {
		t.Fatalf("%T", kept)
	}
	if text := fmt.Sprintf("%+v", got); len(text) > 4000 {
		t.Errorf("%d bytes are kept", len(text))
	}
	if got.Name != "m" || got.UID != "u" || got.ResourceVersion != "7" || got.Generation != 3 || !ownership.Labeled(got) ||
		got.ManagedFields[0].FieldsV1 == nil || got.ManagedFields[1].Manager != "attacker" {
		t.Errorf("kept: %+v", got)
	}
}

// TestGoneWhileMonitorsAreRetained: nothing is remembered of a namespace that goes while no monitor is written.
func TestGoneWhileMonitorsAreRetained(t *testing.T) {
	for name, without := range map[string]client.Object{"Prometheus": everything(), "pipeline": pipeline()} {
		w := working(t)
		must(t, w.services().Add(service("shop", "a", annotated())))
		w.reconcile(t, "shop")
		must(t, w.client.Delete(t.Context(), without))
		w.reconcile(t)
		must(t, w.services().Delete(service("shop", "a", nil)))
		must(t, w.client.Delete(t.Context(), namespaces("shop")[0]))
		w.reconcile(t, "shop")
		if len(w.r.seen)+len(w.r.wrote)+len(w.r.accepted) != 0 {
			t.Errorf("without a %s, remembered: %v, %v, %v", name, w.r.seen, w.r.wrote, w.r.accepted)
		}
	}
}

// TestLeftOutNamespacesGetNoEvents: their users have nothing to correct.
func TestLeftOutNamespacesGetNoEvents(t *testing.T) {
	leftOut := namespaces("left-out")[0]
	leftOut.GetLabels()[v1alpha1.ScrapeOptOutLabel] = "false"
	w := working(t, leftOut)
	w.observe(t)
	for _, name := range []string{"left-out", "shop"} {
		must(t, w.services().Add(service(name, "bad", annotated("scheme", "ftp"))))
	}
	if want := []string{"Service shop/bad"}; !slices.Equal(w.rejected, want) {
		t.Errorf("Events about %q, want %q", w.rejected, want)
	}
}
