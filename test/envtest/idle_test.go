// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestIdleSendsNothing: a pipeline that is as it should be costs the API server nothing but the watches, not even when
// something happens that is not its business.
func TestIdleSendsNothing(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.ready()
	w.rest()
	w.Operator.Requests.Take()
	announced, status := w.events(), w.status()

	// It is seen, as the object is watched, and needs no answer.
	seen := w.Operator.Reconciles()
	service := &corev1.Service{}
	w.Expect(w.Client.Get(t.Context(), inOperatorNamespace(metricsServer), service)).To(Succeed())
	before := service.DeepCopy()
	service.Annotations = map[string]string{"example.com/note": "harmless"}
	w.Expect(w.Client.Patch(t.Context(), service, client.MergeFrom(before))).To(Succeed())
	w.Eventually(w.Operator.Reconciles).Should(BeNumerically(">", seen))
	w.rest()
	w.Expect(w.status()).To(Equal(status))
	w.Expect(w.events()).To(ConsistOf(announced))
	w.Expect(w.Operator.Requests.Take()).To(BeEmpty())
}

// rest waits until the operator has nothing to do: what it wrote, the status included, has come back by
// its watches, and neither a reconcile nor a request follows from it.
func (w *world) rest() {
	w.t.Helper()
	reconciles, requests := -1, -1
	w.Eventually(func(g Gomega) {
		now, sent := w.Operator.Reconciles(), w.Operator.Requests.Sent()
		calm := now == reconciles && sent == requests && w.Operator.Busy() == 0
		reconciles, requests = now, sent
		g.Expect(calm).To(BeTrue(), "it still reconciles, or sends")
	}).WithPolling(500 * time.Millisecond).Should(Succeed())
}

// TestRestartChangesNothing: an operator that starts anew, with all it remembered gone, finds everything as it should be: with rules,
// a Prometheus, an app that is scraped and one that is rejected.
func TestRestartChangesNothing(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.installCRDs(harness.ServiceMonitorCRD(), harness.PodMonitorCRD(), harness.PrometheusRuleCRD())
	w.app("shop", nil)
	rejected := w.app("bank", map[string]string{"prometheus.io/port": "70000"})
	w.apply(prometheusAt(startPrometheus(t).URL) + customRules)
	w.run(metricsServer, w.backend(metricsServer))
	w.run(adapter, w.backend(adapter))
	w.Eventually(w.condition(v1alpha1.ConditionReady)).Should(beTrue())
	w.Eventually(func() *v1alpha1.ScrapeStatus { return w.status().Scrape }).Should(
		HaveValue(SatisfyAll(HaveField("Monitors", int32(1)), HaveField("RejectedTotal", int32(1)))))
	w.rest()
	before, announced, said := w.versions(), w.events(), w.eventsAbout(rejected)
	w.Expect(said).To(ConsistOf(HavePrefix("ScrapeRejected: ")), "the pipeline is new, and the app came before it")
	w.Expect(w.Operator.Stop()).To(Succeed())

	w.Expect(w.Start(logTo(t), harness.Conditions{})).To(Succeed())
	w.Eventually(w.Operator.Reconciles).Should(BeNumerically(">", 0))
	w.rest()
	w.Expect(w.versions()).To(Equal(before))
	w.Expect(w.condition(v1alpha1.ConditionReady)()).To(beTrue())
	w.Expect(w.events()).To(ConsistOf(announced))
	w.Expect(w.eventsAbout(rejected)).To(Equal(said))
}

// versions returns the resource versions of everything that the operator writes, the pipeline's status included.
func (w *world) versions() map[string]string {
	w.t.Helper()
	pipeline := &v1alpha1.MetricsPipeline{}
	w.Expect(w.Client.Get(w.t.Context(), client.ObjectKey{Name: v1alpha1.SingletonName}, pipeline)).To(Succeed())
	versions := map[string]string{"MetricsPipeline": pipeline.ResourceVersion}
	for _, object := range w.deployed() {
		versions[identity(object)] = object.ResourceVersion
	}
	return versions
}
