// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestForeignAPI: a metrics API that others serve is theirs. It is reported with its owner, never touched,
// and nothing is deployed beside it; once they take it away, ours comes.
func TestForeignAPI(t *testing.T) {
	w := begin(t)
	theirs := &apiregv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: resourceAPI},
		Spec: apiregv1.APIServiceSpec{
			Group: "metrics.k8s.io", Version: "v1beta1", GroupPriorityMinimum: 100, VersionPriority: 100, InsecureSkipTLSVerify: true,
			Service: &apiregv1.ServiceReference{Namespace: "kube-system", Name: "bundled-metrics", Port: ptr.To[int32](443)},
		},
	}
	w.Expect(w.Client.Create(t.Context(), theirs, client.FieldOwner("distribution"))).To(Succeed())
	w.t.Cleanup(func() {
		w.Expect(client.IgnoreNotFound(w.Client.Delete(cleanupContext(t), theirs))).To(Succeed())
	})

	w.apply(`{}`)
	w.Eventually(w.api(resourceAPI)).Should(SatisfyAll(
		beAPI(metav1.ConditionFalse, "ServiceNotFound", "bundled-metrics"),
		HaveField("Owner", SatisfyAll(ContainSubstring("distribution"), ContainSubstring("kube-system/bundled-metrics"))),
		HaveField("Backend", ""),
	))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse("ServiceNotFound", resourceAPI))
	w.rest()
	w.Expect(w.of(metricsServer)).To(BeEmpty())
	w.Expect(w.Client.Get(t.Context(), inOperatorNamespace(metricsServer), &appsv1.Deployment{})).NotTo(Succeed())

	found := &apiregv1.APIService{}
	w.Expect(w.Client.Get(t.Context(), client.ObjectKey{Name: resourceAPI}, found)).To(Succeed())
	w.Expect(found.UID).To(Equal(theirs.UID))
	w.Expect(found.Spec).To(Equal(theirs.Spec))
	for _, entry := range found.ManagedFields {
		w.Expect(entry.Manager).To(Or(Equal("distribution"), Equal("kube-apiserver")))
	}
	w.Expect(found.OwnerReferences).To(BeEmpty())

	w.Expect(w.Client.Delete(t.Context(), theirs)).To(Succeed())
	w.Eventually(func() []string { return w.of(metricsServer) }).Should(ContainElement("Deployment metricspipeline-system/metrics-server"))
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonWaitingForBackend))
}

// TestForeignName: an object of ours whose name is taken is not forced upon what is there.
func TestForeignName(t *testing.T) {
	w := begin(t)
	theirs := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: metricsServer}}
	theirs.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "theirs"}}
	theirs.Spec.Template.Labels = map[string]string{"app": "theirs"}
	theirs.Spec.Template.Spec.Containers = append(theirs.Spec.Template.Spec.Containers, w.container())
	w.Expect(w.Client.Create(t.Context(), theirs, client.FieldOwner("by-hand"))).To(Succeed())
	t.Cleanup(func() { w.Expect(w.Client.Delete(cleanupContext(t), theirs)).To(Succeed()) })

	w.apply(`{}`)
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(
		beFalse(v1alpha1.ReasonNameTaken, "Deployment metricspipeline-system/metrics-server", "by-hand", "delete it"))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beTrue())
	w.Expect(w.deployment(metricsServer).Spec).To(Equal(theirs.Spec))
	w.Expect(w.deployment(metricsServer).OwnerReferences).To(BeEmpty())
}
