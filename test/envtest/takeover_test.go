// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestTakeOver: a metrics-server that came with the cluster is observed, then taken over in one write without a moment in
// which the API is not served, then given back.
func TestTakeOver(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	theirs := w.bundled()
	w.apply(`resourceMetrics: {policy: Observe}`)
	w.Eventually(w.api(resourceAPI)).Should(SatisfyAll(beAPI(metav1.ConditionTrue, v1alpha1.ReasonPassed), beTheirs()))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Expect(w.of(metricsServer)).To(BeEmpty())
	w.Operator.Requests.Take()

	w.apply(`resourceMetrics: {policy: TakeOver}`)
	backend := w.backend(metricsServer)
	w.Eventually(w.api(resourceAPI)).Should(SatisfyAll(beTheirs(),
		beAPI(metav1.ConditionTrue, v1alpha1.ReasonWaitingForBackend, "distribution", "being rolled out")))
	w.Eventually(w.condition(v1alpha1.ConditionAPIServicesAvailable)).Should(beFalse(v1alpha1.ReasonWaitingForBackend, resourceAPI))
	w.rest()
	w.Expect(w.registration(resourceAPI).Spec).To(Equal(theirs.Spec))
	w.Expect(registrations(w.Operator.Requests.Take())).To(BeEmpty(), "before the backend is ready")

	w.run(metricsServer, backend)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Expect(w.api(resourceAPI)()).To(SatisfyAll(beAPI(metav1.ConditionTrue, v1alpha1.ReasonPassed),
		HaveField("Owner", "MetricsPipeline default"), HaveField("Backend", metricsServer)))
	w.rest()
	w.Expect(registrations(w.Operator.Requests.Take())).To(ConsistOf(HavePrefix("PATCH ")))
	w.verifiesTLS(resourceAPI)
	w.Expect(w.registration(resourceAPI).UID).To(Equal(theirs.UID), "it was deleted and made anew")
	w.Eventually(w.events).Should(ContainElement(SatisfyAll(HavePrefix("APITakenOver: "), ContainSubstring("distribution"))))

	// What is ours stays ours.
	w.apply(`resourceMetrics: {policy: Auto}`)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.rest()
	w.Expect(w.api(resourceAPI)()).To(HaveField("Backend", metricsServer))

	order := w.watchDeletions()
	w.apply(`resourceMetrics: {policy: Disabled}`)
	w.Eventually(func() []string { return w.of(metricsServer) }).Should(BeEmpty())
	w.Expect(w.apiServices()).To(BeEmpty())
	w.Expect(order()).To(ContainElement("deployments metricspipeline-system/" + metricsServer))
	w.Expect(order()[0]).To(Equal("apiservices "+resourceAPI), "%v", order())
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonDisabled, "spec.resourceMetrics.policy"))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())

	// The one that had it may have it again.
	theirs.ResourceVersion, theirs.UID, theirs.ManagedFields = "", "", nil
	w.Expect(w.Client.Create(t.Context(), theirs, client.FieldOwner("distribution"))).To(Succeed())
	w.Eventually(w.api(resourceAPI)).Should(SatisfyAll(beAPI(metav1.ConditionTrue, v1alpha1.ReasonPassed), beTheirs()))
	w.Expect(w.registration(resourceAPI).UID).To(Equal(theirs.UID))
}

// TestObservedAndNotServed: an API that others are to serve is missed when none does.
func TestObservedAndNotServed(t *testing.T) {
	w := begin(t)
	w.apply(`{resourceMetrics: {policy: Observe}, externalMetrics: {policy: Disabled}}`)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse(v1alpha1.ReasonNotServed, resourceAPI, "spec.resourceMetrics.policy"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
	w.Expect(w.of(metricsServer)).To(BeEmpty())
	w.apply(`resourceMetrics: {policy: Disabled}`)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
}

// bundled installs a metrics-server as a distribution brings it, and lets it run.
func (w *world) bundled() *apiregv1.APIService {
	w.t.Helper()
	remove, err := w.StartBundled(w.t.Context(), w.AddressOf(adapter))
	w.Expect(err).NotTo(HaveOccurred())
	w.t.Cleanup(func() { w.Expect(remove(cleanupContext(w.t))).To(Succeed()) })
	theirs := harness.BundledAPIService()
	w.Expect(w.Client.Create(w.t.Context(), theirs, client.FieldOwner("distribution"))).To(Succeed())
	return theirs
}

// beTheirs matches an API that belongs to the distribution.
func beTheirs() OmegaMatcher {
	return SatisfyAll(HaveField("Owner", "distribution (service kube-system/bundled-metrics)"), HaveField("Backend", ""))
}

func (w *world) registration(name string) *apiregv1.APIService {
	w.t.Helper()
	found := &apiregv1.APIService{}
	w.Expect(w.Client.Get(w.t.Context(), client.ObjectKey{Name: name}, found)).To(Succeed())
	return found
}

// registrations returns the requests that write APIServices.
func registrations(requests []string) []string {
	var writes []string
	for _, request := range requests {
		if strings.Contains(request, "/apiservices") && !strings.HasPrefix(request, "GET ") {
			writes = append(writes, request)
		}
	}
	return writes
}
