// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestDeregister: an APIService whose backend stays dead is deleted where the spec says so, the backend stays, and
// the API comes back with it, after a pause.
func TestDeregister(t *testing.T) {
	harness.NeedPodNetwork(t)
	clock := clocktesting.NewFakePassiveClock(time.Now())
	w := beginOn(t, cluster, harness.Conditions{Options: controller.Options{Clock: clock}})
	w.apply(`resourceMetrics: {onUnavailable: Deregister}`)
	backend := w.backend(metricsServer)
	w.run(metricsServer, backend)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())

	w.Expect(backend.Withdraw(t.Context())).To(Succeed())
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionFalse, "MissingEndpoints"))
	w.rest()
	w.Expect(w.apiServices()).To(ConsistOf(resourceAPI), "not before it has been unavailable for five minutes")

	clock.SetTime(time.Now().Add(6 * time.Minute))
	w.Expect(backend.Withdraw(t.Context())).To(Succeed(), "an event, instead of the wait")
	w.Eventually(w.apiServices).Should(BeEmpty())
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonDeregistered, "at the earliest"))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse(v1alpha1.ReasonDeregistered, resourceAPI))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(HaveField("Status", metav1.ConditionFalse))
	w.Eventually(w.events).Should(ContainElement(SatisfyAll(HavePrefix("APIDeregistered: "), ContainSubstring("MissingEndpoints"))))
	w.Expect(w.of(metricsServer)).To(ContainElements(
		"Deployment metricspipeline-system/metrics-server", "Service metricspipeline-system/metrics-server"))

	w.Expect(backend.Publish(t.Context(), true)).To(Succeed())
	w.rest()
	w.Expect(w.apiServices()).To(BeEmpty(), "not before the pause is over")
	clock.SetTime(clock.Now().Add(6 * time.Minute))
	w.Expect(backend.Publish(t.Context(), true)).To(Succeed())
	w.Eventually(w.apiServices).Should(ConsistOf(resourceAPI))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
}
