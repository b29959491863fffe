// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/ownership"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestOwnNamespaceGoes: when the operator's namespace is deleted, its APIServices go before anything that answers for them,
// and stay away, with a pipeline or without one. The namespace cannot be had back, so the control plane is one of its own.
func TestOwnNamespaceGoes(t *testing.T) {
	harness.NeedPodNetwork(t)
	own, err := harness.StartCluster(true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := own.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := beginOn(t, own, harness.Conditions{})
	w.ready()
	w.rest()
	backend := slices.DeleteFunc(w.of(metricsServer), func(name string) bool { return name == "APIService "+resourceAPI })
	w.Operator.Requests.Take()

	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: harness.OperatorNamespace}}
	w.Expect(w.Client.Delete(t.Context(), namespace)).To(Succeed())
	w.Eventually(w.apiServices).Should(BeEmpty())
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse(v1alpha1.ReasonTerminating, harness.OperatorNamespace))
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(HaveField("Status", metav1.ConditionFalse))
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonTerminating))
	w.rest()
	w.Expect(harness.Deletions(w.Operator.Requests.Take())).To(SatisfyAll(Not(BeEmpty()), HaveEach("apiservices "+resourceAPI)))
	w.Expect(w.of(metricsServer)).To(ConsistOf(backend), "the operator leaves the rest to Kubernetes")

	// Whatever happens to what is left, nothing is put back.
	deployment := w.deployment(metricsServer)
	w.Expect(w.Client.Delete(t.Context(), deployment)).To(Succeed())
	w.apply(`metricsServer: {metricResolution: 20s}`)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beFalse(v1alpha1.ReasonTerminating))
	w.rest()
	w.Expect(w.apiServices()).To(BeEmpty())

	// Without a pipeline an APIService of ours is deleted as well.
	pipeline := &v1alpha1.MetricsPipeline{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SingletonName}}
	w.Expect(w.Client.Delete(t.Context(), pipeline)).To(Succeed())
	late := &apiregv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: resourceAPI, Labels: ownership.Labels(metricsServer)},
		Spec: apiregv1.APIServiceSpec{
			Group: "metrics.k8s.io", Version: "v1beta1", GroupPriorityMinimum: 100, VersionPriority: 100, InsecureSkipTLSVerify: true,
			Service: &apiregv1.ServiceReference{Namespace: harness.OperatorNamespace, Name: metricsServer, Port: ptr.To[int32](443)},
		},
	}
	w.Expect(w.Client.Create(t.Context(), late)).To(Succeed())
	w.Eventually(func() error {
		return w.Client.Get(t.Context(), client.ObjectKeyFromObject(late), &apiregv1.APIService{})
	}).ShouldNot(Succeed())
}
