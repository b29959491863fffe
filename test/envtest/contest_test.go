// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestContested: a controller that changes an object of ours back each time gets its way after a few writes, and the status
// names it. Everything else is still repaired, and when the spec changes the operator tries again.
func TestContested(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.ready()
	w.rest()
	w.Operator.Requests.Take()
	stop := w.rival(harness.Configuration("apps/v1", "Deployment", harness.OperatorNamespace, metricsServer,
		map[string]any{"replicas": int64(7)}))
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(
		beFalse(v1alpha1.ReasonContested, "Deployment metricspipeline-system/metrics-server", `"rival"`, ".spec.replicas"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
	w.rest()
	w.Expect(*w.deployment(metricsServer).Spec.Replicas).To(Equal(int32(7)))
	// Up to two for each repair: the cache may not yet have seen the last one.
	w.Expect(writesTo(w.Operator.Requests.Take(), "/deployments/"+metricsServer)).To(SatisfyAll(
		Not(BeEmpty()), HaveEach(HavePrefix("PATCH "))))
	w.Eventually(w.events).Should(ContainElement(SatisfyAll(HavePrefix("Contested: "), ContainSubstring("rival"))))

	// Nothing else is given up.
	service := &corev1.Service{}
	w.Expect(w.Client.Get(t.Context(), inOperatorNamespace(metricsServer), service)).To(Succeed())
	w.Expect(w.Client.Delete(t.Context(), service)).To(Succeed())
	w.Eventually(func() error {
		return w.Client.Get(t.Context(), inOperatorNamespace(metricsServer), &corev1.Service{})
	}).Should(Succeed())
	w.rest()
	w.Expect(writesTo(w.Operator.Requests.Take(), "/deployments/"+metricsServer)).To(BeEmpty())

	stop()
	w.apply(`metricsServer: {metricResolution: 20s}`)
	w.Eventually(func() *int32 { return w.deployment(metricsServer).Spec.Replicas }).Should(Equal(ptr.To[int32](2)))
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).ShouldNot(HaveField("Reason", v1alpha1.ReasonContested))
}

// TestContestedAPIService: also when another manager leads the API elsewhere, our backend stays as long as the APIService is ours.
func TestContestedAPIService(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.ready()
	before := w.of(metricsServer)
	defer w.rival(harness.Configuration("apiregistration.k8s.io/v1", "APIService", "", resourceAPI,
		map[string]any{"service": map[string]any{"namespace": "kube-system", "name": "theirs"}}))()
	w.Eventually(w.condition(v1alpha1.ConditionAPIServicesAvailable)).Should(
		beFalse(v1alpha1.ReasonContested, resourceAPI, `"rival"`, ".spec.service.name"))
	w.Eventually(w.api(resourceAPI)).Should(HaveField("Reason", v1alpha1.ReasonContested))
	w.rest()
	w.Expect(w.registration(resourceAPI).Spec.Service.Name).To(Equal("theirs"))
	w.Expect(w.of(metricsServer)).To(ConsistOf(before))

	order := w.watchDeletions()
	w.apply(`resourceMetrics: {policy: Disabled}`)
	w.Eventually(func() []string { return w.of(metricsServer) }).Should(BeEmpty())
	w.Expect(order()[0]).To(Equal("apiservices "+resourceAPI), "%v", order())
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
}

// rival starts a controller that changes fields of an object back whenever that changes, until it is stopped.
func (w *world) rival(desired *unstructured.Unstructured) (stop func()) {
	w.t.Helper()
	stop, err := w.StartRival(w.Ctx, desired)
	w.Expect(err).NotTo(HaveOccurred())
	return stop
}

// writesTo returns the requests that write to the objects whose path has the given part.
func writesTo(requests []string, path string) []string {
	return slices.DeleteFunc(slices.Clone(requests), func(request string) bool {
		return strings.HasPrefix(request, "GET ") || !strings.Contains(request, path)
	})
}
