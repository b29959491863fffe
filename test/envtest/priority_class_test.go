// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestPriorityClass: a component has the system's priority class where a quota says that the cluster admits it, as the one of the
// installation does, and none where a bundle of OLM brought no quota. A quota that comes or goes is seen at once.
func TestPriorityClass(t *testing.T) {
	w := begin(t)
	class := func() string {
		deployment := &appsv1.Deployment{}
		if err := w.Client.Get(t.Context(), inOperatorNamespace(metricsServer), deployment); err != nil {
			return err.Error()
		}
		return "class " + deployment.Spec.Template.Spec.PriorityClassName
	}
	w.apply(`{}`)
	w.Eventually(class).Should(Equal("class system-cluster-critical"))

	quotas := &corev1.ResourceQuotaList{}
	w.Expect(w.Client.List(t.Context(), quotas, client.InNamespace(harness.OperatorNamespace))).To(Succeed())
	w.Expect(quotas.Items).To(HaveLen(1))
	quota := quotas.Items[0].DeepCopy()
	quota.ResourceVersion, quota.UID = "", ""
	restore := func() {
		w.Expect(client.IgnoreAlreadyExists(w.Client.Create(cleanupContext(t), quota.DeepCopy()))).To(Succeed())
	}
	t.Cleanup(restore) // Other stories share the installation.
	w.Expect(w.Client.Delete(t.Context(), &quotas.Items[0])).To(Succeed())
	w.Eventually(class).Should(Equal("class "))

	w.apply(`metricsServer: {priorityClassName: system-cluster-critical}`)
	w.Eventually(class).Should(Equal("class system-cluster-critical"))
	w.apply(`{}`)
	w.Eventually(class).Should(Equal("class "))
	restore()
	w.Eventually(class).Should(Equal("class system-cluster-critical"))
}
