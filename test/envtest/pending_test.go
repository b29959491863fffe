// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestPending: a pipeline that is applied before the operator runs is not taken for one that works, by kubectl, Flux or Argo CD, and
// says what is missing. The operator looks at it as soon as it runs.
func TestPending(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.Expect(w.Operator.Stop()).To(Succeed())
	w.apply(`{}`)
	w.Expect(w.kstatus()).To(Equal(status.InProgressStatus))
	told, err := w.Kubectl(t.Context(), "describe", "mp", "default")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(told).To(ContainSubstring("The operator has not looked at this pipeline yet. If that stays so, it is not running"))
	table, err := w.Kubectl(t.Context(), "get", "mp")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(table).To(ContainSubstring("Unknown"))

	w.Expect(w.Start(logTo(t), harness.Conditions{})).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionReconciling)).Should(beTrue())
	w.Expect(w.kstatus()).To(Equal(status.InProgressStatus))
	w.run(metricsServer, w.backend(metricsServer))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Expect(w.kstatus()).To(Equal(status.CurrentStatus))
}

// kstatus is what Flux takes the pipeline for.
func (w *world) kstatus() status.Status {
	w.t.Helper()
	pipeline := &unstructured.Unstructured{}
	pipeline.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MetricsPipeline"))
	w.Expect(w.Client.Get(w.t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)).To(Succeed())
	result, err := status.Compute(pipeline)
	w.Expect(err).NotTo(HaveOccurred())
	return result.Status
}
