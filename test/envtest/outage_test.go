// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestBackendGoesAway: what kube-aggregator finds wrong with a metrics API is in the status within seconds, in its words,
// and the APIService stays as it is.
func TestBackendGoesAway(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	backend := w.ready()

	w.Expect(backend.Withdraw(t.Context())).To(Succeed())
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionFalse, "MissingEndpoints", "metrics-server"))
	w.Eventually(w.condition(v1alpha1.ConditionAPIServicesAvailable)).Should(beFalse("MissingEndpoints", resourceAPI))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse("MissingEndpoints", resourceAPI))
	w.Eventually(w.condition(v1alpha1.ConditionReconciling)).Should(beTrue())
	w.Expect(w.apiServices()).To(ConsistOf(resourceAPI))

	w.Expect(backend.Publish(t.Context(), true)).To(Succeed())
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionTrue, v1alpha1.ReasonPassed))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())

	// It runs and answers with errors.
	backend.Fail(resourceMetrics, true)
	w.Expect(backend.Publish(t.Context(), true)).To(Succeed())
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionFalse, "FailedDiscoveryCheck", w.AddressOf(metricsServer)))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse("FailedDiscoveryCheck", resourceAPI))

	backend.Fail(resourceMetrics, false)
	w.Expect(backend.Publish(t.Context(), true)).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
}
