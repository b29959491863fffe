// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"crypto/tls"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	apiregv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// everything is what `spec: {}` deploys on a cluster without prometheus-operator, the APIService aside.
var everything = []string{
	"ClusterRole metricspipeline:metrics-server",
	"ClusterRole metricspipeline:resource-metrics-reader",
	"ClusterRoleBinding metricspipeline:metrics-server",
	"ClusterRoleBinding metricspipeline:metrics-server:auth-delegator",
	"ConfigMap metricspipeline-system/metrics-server-last-good",
	"Deployment metricspipeline-system/metrics-server",
	"NetworkPolicy metricspipeline-system/metrics-server",
	"PodDisruptionBudget metricspipeline-system/metrics-server",
	"Secret metricspipeline-system/metrics-server-tls",
	"Secret metricspipeline-system/metricspipeline-ca",
	"Service metricspipeline-system/metrics-server",
	"ServiceAccount metricspipeline-system/metrics-server",
}

// TestComesUp: with nothing but `spec: {}`, kubectl top works; and the APIService, which a dead backend would turn into a
// brake on the whole cluster, is made last.
func TestComesUp(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.apply(`{}`)
	w.Eventually(func() []string { return identities(w.managed()) }).Should(ConsistOf(everything))
	w.Eventually(w.condition(v1alpha1.ConditionReconciling)).Should(beTrue())
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonWaitingForBackend, "being rolled out"))
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beFalse(v1alpha1.ReasonUnavailable, metricsServer))

	// Pods that are not ready are no backend.
	backend := w.backend(metricsServer)
	w.Expect(backend.Publish(t.Context(), false)).To(Succeed())
	w.Expect(w.MarkDeploymentAvailable(t.Context(), harness.OperatorNamespace, metricsServer)).To(Succeed())
	w.Eventually(w.condition(v1alpha1.ConditionComponentsReady)).Should(beTrue())
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonWaitingForBackend, "no ready endpoint"))
	w.Expect(w.apiServices()).To(BeEmpty())

	w.Expect(backend.Publish(t.Context(), true)).To(Succeed())
	w.Eventually(w.apiServices).Should(ConsistOf(resourceAPI))
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionTrue, v1alpha1.ReasonPassed))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.verifiesTLS(resourceAPI)
	w.settled()
	w.printsColumns()
}

// verifiesTLS: the API server accepts no certificate but one of our authority.
func (w *world) verifiesTLS(name string) {
	w.t.Helper()
	apiService, secret := &apiregv1.APIService{}, &corev1.Secret{}
	w.Expect(w.Client.Get(w.t.Context(), client.ObjectKey{Name: name}, apiService)).To(Succeed())
	w.Expect(w.Client.Get(w.t.Context(), inOperatorNamespace(apiService.Spec.Service.Name+"-tls"), secret)).To(Succeed())
	w.Expect(apiService.Spec.InsecureSkipTLSVerify).To(BeFalse())
	w.Expect(apiService.Spec.CABundle).To(Equal(secret.Data["ca.crt"]))
	w.Expect(apiService.Spec.Service).To(HaveField("Port", ptr.To[int32](443)))
}

// settled: the whole status says so, in the words of kstatus too.
func (w *world) settled() {
	w.t.Helper()
	status := w.status()
	for _, condition := range status.Conditions {
		desired := metav1.ConditionTrue
		if condition.Type == v1alpha1.ConditionReconciling || condition.Type == v1alpha1.ConditionStalled {
			desired = metav1.ConditionFalse
		}
		if condition.Type == v1alpha1.ConditionScrapeReady {
			// prometheus-operator is not installed; the metrics APIs do without.
			w.Expect(condition.Reason).To(Equal(v1alpha1.ReasonCRDsMissing), "%+v", condition)
			desired = metav1.ConditionFalse
		}
		w.Expect(condition.Status).To(Equal(desired), "%+v", condition)
		w.Expect(condition.ObservedGeneration).To(Equal(status.ObservedGeneration), condition.Type)
	}
	w.Expect(status.Components).To(ConsistOf(SatisfyAll(HaveField("Name", metricsServer), HaveField("Version", "v0.9.0"),
		HaveField("Ready", int32(2)), HaveField("Desired", int32(2)), HaveField("Message", ""))))
	api := w.api(resourceAPI)()
	w.Expect(api).To(SatisfyAll(HaveField("Owner", "MetricsPipeline default"), HaveField("Backend", metricsServer)))
	w.Expect(api.ServingCertificateExpiry).NotTo(BeNil())
	w.Expect(api.LastTransitionTime).NotTo(BeNil())
	w.Expect(w.api(customAPI)()).To(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonNoRules, "spec.customMetrics.rules"))
	w.Expect(w.api(externalAPI)()).To(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonNoRules, "spec.externalMetrics.rules"))
}

// printsColumns: kubectl get shows at a glance what works.
func (w *world) printsColumns() {
	w.t.Helper()
	table, err := w.Kubectl(w.t.Context(), "get", "mp")
	w.Expect(err).NotTo(HaveOccurred())
	lines := strings.Split(strings.TrimSpace(table), "\n")
	w.Expect(lines).To(HaveLen(2), table)
	w.Expect(strings.Fields(lines[0])).To(Equal([]string{"NAME", "READY", "RESOURCE", "CUSTOM", "EXTERNAL", "MONITORS", "AGE"}))
	w.Expect(strings.Fields(lines[1])[:6]).To(Equal([]string{"default", "True", "Passed", "NoRules", "NoRules", "0"}))

	wide, err := w.Kubectl(w.t.Context(), "get", "metricspipeline", "default", "-o", "wide")
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(wide).To(ContainSubstring("Available: metrics.k8s.io."))

	_, err = w.Kubectl(w.t.Context(), "wait", "--for=condition=Ready", "metricspipeline/default", "--timeout=1s")
	w.Expect(err).NotTo(HaveOccurred())
}

// TestForeignCertificate: a backend that cannot prove that it is ours is not registered, and the status says why.
func TestForeignCertificate(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.apply(`{}`)
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonWaitingForBackend))

	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("metrics-server."+harness.OperatorNamespace+".svc", nil, nil)
	w.Expect(err).NotTo(HaveOccurred())
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	w.Expect(err).NotTo(HaveOccurred())
	impostor, err := w.ServeBackend(t.Context(), harness.OperatorNamespace, metricsServer, w.AddressOf(adapter), pair, resourceMetrics)
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { w.Expect(impostor.Stop(cleanupContext(t))).To(Succeed()) })
	w.run(metricsServer, impostor)
	w.Eventually(w.api(resourceAPI)).Should(beAPI(metav1.ConditionUnknown, v1alpha1.ReasonWaitingForBackend,
		"certificate", "unknown authority", w.AddressOf(adapter)))
	w.Expect(w.apiServices()).To(BeEmpty())

	// One endpoint that verifies is enough.
	w.run(metricsServer, w.backend(metricsServer))
	w.Eventually(w.apiServices).Should(ConsistOf(resourceAPI))
}
