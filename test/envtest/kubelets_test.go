// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// kubelet makes a node whose kubelet signed its certificate itself.
func (w *world) kubelet(name string, host byte) *harness.Kubelet {
	w.t.Helper()
	kubelet, err := w.StartKubelet(w.Ctx, name, host)
	w.Expect(err).NotTo(HaveOccurred())
	w.t.Cleanup(func() {
		w.Expect(kubelet.Delete(w.Ctx)).To(Succeed())
		w.Expect(kubelet.Requests()).To(BeZero(), "requests that the kubelet got beside handshakes")
	})
	return kubelet
}

func (w *world) nodes() *v1alpha1.NodesStatus { return w.status().Nodes }

// beNodes matches status.nodes by its counts and its failing nodes.
func beNodes(total, with int32, failing ...types.GomegaMatcher) types.GomegaMatcher {
	all := []any{}
	for _, node := range failing {
		all = append(all, node)
	}
	return HaveValue(SatisfyAll(HaveField("Total", total), HaveField("WithMetrics", with), HaveField("Failing", ConsistOf(all...))))
}

func failingNode(name string, reason v1alpha1.NodeFailureReason, texts ...string) types.GomegaMatcher {
	return SatisfyAll(HaveField("Name", name), HaveField("Reason", reason), haveMessage(texts...))
}

// TestSelfSignedKubelets is what everyone meets who begins with kind, minikube or kubeadm: the operator says why metrics-server is not
// ready, before it has even started, and each remedy ends it.
func TestSelfSignedKubelets(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	kubelet := w.kubelet("kind-control-plane", 40)
	noSAN := "x509: cannot validate certificate for " + kubelet.Address + " because it doesn't contain any IP SANs"
	w.apply(`{}`)
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonKubeletsUnverified,
		"metrics-server: ", "Node kind-control-plane: Kubelet at "+kubelet.Address+":10250: "+noSAN,
		"serverTLSBootstrap: true", "kubectl certificate approve NAME", "spec.metricsServer.kubelet.tls.ca",
		"spec.metricsServer.kubelet.tls.verification: Insecure", "can then forge its numbers"))
	w.Expect(w.condition(v1alpha1.ConditionStalled)()).To(beStatus(metav1.ConditionTrue, v1alpha1.ReasonKubeletsUnverified, noSAN))
	w.Expect(w.nodes()).To(beNodes(1, 0, failingNode("kind-control-plane", v1alpha1.NodeNameMismatch, noSAN)))

	w.apply(`metricsServer: {kubelet: {tls: {verification: Insecure}}}`)
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonUnavailable))
	w.Expect(w.nodes()).To(beNodes(1, 0))

	// An argument with a file that a patch mounts, as before there was a field: by what it verifies the operator does not know.
	w.apply(`
metricsServer: {extraArgs: ["--kubelet-certificate-authority=/kubelets/ca.crt"]}
patches:
- target: {kind: Deployment, name: metrics-server}
  patch: |
    spec:
      template:
        spec:
          volumes: [{name: kubelets, configMap: {name: kube-root-ca.crt}}]
          containers: [{name: metrics-server, volumeMounts: [{name: kubelets, mountPath: /kubelets}]}]`)
	w.Eventually(func() []string { return w.deployment(metricsServer).Spec.Template.Spec.Containers[0].Args }).Should(SatisfyAll(
		ContainElement("--kubelet-certificate-authority=/kubelets/ca.crt"), Not(ContainElement("--kubelet-insecure-tls"))))
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonUnavailable))
	w.Expect(w.nodes()).To(beNodes(1, 0))

	// The authority that signs them is named: not there, another one, the right one.
	const named = `metricsServer: {kubelet: {tls: {ca: {configMap: {name: kubelet-ca, key: bundle.pem}}}}}`
	ours, err := harness.NewKubeletAuthority("kubelet-ca")
	w.Expect(err).NotTo(HaveOccurred())
	others, err := harness.NewKubeletAuthority("others")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(kubelet.Present(ours, true)).To(Succeed())
	w.apply(named)
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonKubeletCAMissing,
		"spec.metricsServer.kubelet.tls.ca.configMap: there is no ConfigMap kubelet-ca in the operator's namespace"))

	bundle := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: harness.OperatorNamespace, Name: "kubelet-ca"},
		Data: map[string]string{"bundle.pem": others.PEM}}
	w.Expect(w.Client.Create(w.Ctx, bundle)).To(Succeed())
	t.Cleanup(func() { w.Expect(w.Client.Delete(w.Ctx, bundle)).To(Succeed()) })
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(
		beFalse(v1alpha1.ReasonKubeletsUnverified, "x509: certificate signed by unknown authority", "which verifies none of them now"))
	digest := func() string {
		return w.deployment(metricsServer).Spec.Template.Annotations["metricspipeline.io/kubelet-ca-digest"]
	}
	before := digest()

	bundle.Data["bundle.pem"] += ours.PEM
	w.Expect(w.Client.Update(w.Ctx, bundle)).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonUnavailable))
	w.Eventually(digest).ShouldNot(Equal(before), "pods read the authority at start")
	w.Expect(w.deployment(metricsServer).Spec.Template.Spec.Containers[0].Args).To(ContainElement("--kubelet-certificate-authority=/etc/kubelet-ca/ca.crt"))
}

// TestNodesAreCounted: those with metrics and those without, of which a node that has none is named and changes no condition. At rest
// nobody is asked.
func TestNodesAreCounted(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	first, second := w.kubelet("node-1", 41), w.kubelet("node-2", 42)
	w.apply(`metricsServer: {kubelet: {tls: {verification: Insecure}}}`)
	w.Eventually(w.nodes).Should(beNodes(2, 0))
	backend := w.backend(metricsServer)
	backend.Measure("node-1", "node-2", "node-3")
	w.run(metricsServer, backend)
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Eventually(w.nodes).Should(beNodes(2, 2))
	w.rest()
	w.Operator.Requests.Take()
	w.rest()
	w.Expect(w.Operator.Requests.Take()).To(BeEmpty())

	// A heartbeat is nothing to it.
	node := &corev1.Node{}
	w.Expect(w.Client.Get(w.Ctx, client.ObjectKey{Name: "node-1"}, node)).To(Succeed())
	seen := w.Operator.Reconciles()
	node.Status.Conditions[0].LastHeartbeatTime = metav1.Now()
	w.Expect(w.Client.Status().Update(w.Ctx, node)).To(Succeed())
	w.rest()
	w.Expect(w.Operator.Reconciles()).To(Equal(seen))

	third := w.kubelet("node-4", 43)
	w.Expect(third.Stop()).To(Succeed())
	w.Eventually(w.nodes).Should(beNodes(3, 2, failingNode("node-4", v1alpha1.NodeRefused, third.Address+":10250", "connection refused")))
	w.Expect(w.condition(v1alpha1.ConditionReady)()).To(SatisfyAll(beTrue(), haveMessage("Nodes without metrics: 1 of 3, see status.nodes.")))

	w.Expect(third.Delete(w.Ctx)).To(Succeed())
	w.Eventually(w.nodes).Should(beNodes(2, 2))
	w.Expect(second.Delete(w.Ctx)).To(Succeed())
	w.Expect(first.Delete(w.Ctx)).To(Succeed())
	w.Eventually(w.nodes).Should(BeNil())
}
