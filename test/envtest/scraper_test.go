// Copyright The MetricsPipeline Authors.
// SPDX-License-Identifier: Apache-2.0

package envtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/metricspipeline/operator/api/v1alpha1"
	"github.com/metricspipeline/operator/internal/controller"
	"github.com/metricspipeline/operator/test/envtest/harness"
)

// TestNobodyNamesAPrometheus: who wants `kubectl top` alone, beside the CRDs of prometheus-operator for another collector or beside
// several Prometheus objects, is not made to decide anything. A rule makes it matter.
func TestNobodyNamesAPrometheus(t *testing.T) {
	harness.NeedPodNetwork(t)
	w := begin(t)
	w.installCRDs(harness.ServiceMonitorCRD(), harness.PodMonitorCRD())
	w.app("shop", nil)
	scrapes, ready := w.condition(v1alpha1.ConditionScrapeReady), w.condition(v1alpha1.ConditionReady)
	w.apply(`{}`)
	w.run(metricsServer, w.backend(metricsServer))
	nobody := beStatus(metav1.ConditionTrue, v1alpha1.ReasonSelectorsUnknown, "no Prometheus object", "Grafana Alloy", "spec.scrape.labels")
	w.Eventually(scrapes).Should(nobody)
	w.Eventually(func() error { _, err := w.serviceMonitor("default"); return err }).Should(Succeed(), "whoever reads it")
	w.installCRDs(harness.PrometheusCRD(), harness.PrometheusAgentCRD())
	w.rest()
	w.Expect(scrapes()).To(nobody)
	w.Eventually(ready).Should(beTrue(), "kubectl top needs no Prometheus")

	// None is chosen while the spec names a source, so both are there at first.
	w.apply("prometheus: {url: http://127.0.0.1:1}\n")
	w.Eventually(scrapes).Should(beStatus(metav1.ConditionTrue, v1alpha1.ReasonSelectorsUnknown, "spec.prometheus.url", "spec.prometheus.ref"))
	w.prometheus("monitoring", "k8s", nil)
	w.prometheus("team-a", "main", nil)
	w.apply(`{}`)
	w.Eventually(scrapes).Should(beFalse(v1alpha1.ReasonPrometheusAmbiguous, "monitoring/k8s, team-a/main", "spec.prometheus.ref"))
	w.Eventually(ready).Should(beStatus(metav1.ConditionTrue, v1alpha1.ReasonReady,
		"It is not known which Prometheus scrapes annotated apps: see the condition ScrapeReady."))
	w.apply(customRules)
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beStatus(metav1.ConditionTrue, v1alpha1.ReasonPrometheusAmbiguous))

	w.apply("prometheus: {ref: {namespace: monitoring, name: k9s}}\n")
	w.Eventually(w.condition(v1alpha1.ConditionStalled)).Should(beStatus(metav1.ConditionTrue, v1alpha1.ReasonPrometheusNotFound, "k9s"))
}

// TestAPrometheusAgentScrapes: the only agent is found, and its selectors are honored; what it scrapes is queried at the store that
// the spec names. Both a ref and a URL may be set.
func TestAPrometheusAgentScrapes(t *testing.T) {
	w := begin(t)
	w.installCRDs(harness.MonitoringCRDs()...)
	w.namespace("monitoring")
	selector := metav1.SetAsLabelSelector(map[string]string{"agent": "main"})
	agent := &monitoringv1alpha1.PrometheusAgent{ObjectMeta: metav1.ObjectMeta{Namespace: "monitoring", Name: "agent"}}
	agent.Spec.ServiceMonitorSelector, agent.Spec.PodMonitorSelector = selector, selector
	agent.Spec.ServiceMonitorNamespaceSelector, agent.Spec.PodMonitorNamespaceSelector = &metav1.LabelSelector{}, &metav1.LabelSelector{}
	w.Expect(w.Client.Create(t.Context(), agent)).To(Succeed())
	w.app("shop", nil)
	label := func() string {
		monitor, err := w.serviceMonitor("default")
		if err != nil {
			return err.Error()
		}
		return monitor.Labels["agent"]
	}
	selected := beStatus(metav1.ConditionTrue, v1alpha1.ReasonSelected, "PrometheusAgent monitoring/agent selects every monitor.")

	w.apply(`{}`)
	w.Eventually(w.condition(v1alpha1.ConditionScrapeReady)).Should(selected)
	w.Eventually(label).Should(Equal("main"))
	w.Eventually(w.source).Should(Equal(&v1alpha1.PrometheusStatus{Origin: "PrometheusAgent monitoring/agent",
		Chosen: &v1alpha1.PrometheusReference{Kind: v1alpha1.KindPrometheusAgent, Namespace: "monitoring", Name: "agent"}}))
	w.apply(customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(
		beFalse(v1alpha1.ReasonPrometheusNotFound, "PrometheusAgent monitoring/agent scrapes and answers no queries", "set spec.prometheus.url"))

	store := startPrometheus(t)
	w.apply("prometheus: {url: " + store.URL + ", ref: {kind: PrometheusAgent, namespace: monitoring, name: agent}}\n" + customRules)
	w.Eventually(w.condition(v1alpha1.ConditionPrometheusReady)).Should(beStatus(metav1.ConditionTrue, v1alpha1.ReasonReachable, store.URL))
	w.Eventually(w.condition(v1alpha1.ConditionScrapeReady)).Should(selected)
	w.Expect(w.source()).To(Equal(&v1alpha1.PrometheusStatus{URL: store.URL, Origin: "spec.prometheus.url"}))

	agent.Spec.ServiceMonitorSelector = metav1.SetAsLabelSelector(map[string]string{"agent": "other"})
	w.Expect(w.Client.Update(t.Context(), agent)).To(Succeed())
	w.Eventually(label).Should(Equal("other"))
}

// TestPrometheusSaysWhatIsDown: an app that Prometheus does not reach is named with the error until it is repaired, and a namespace with
// Pods that run of which Prometheus has no target. Neither is in Ready.
func TestPrometheusSaysWhatIsDown(t *testing.T) {
	w := beginOn(t, cluster, harness.Conditions{Options: controller.Options{Timing: controller.Timing{
		Targets: time.Second / 4, Counts: time.Second / 10, Reports: time.Second / 10}}})
	w.installCRDs(harness.MonitoringCRDs()...)
	var health atomic.Value
	health.Store("down")
	prometheus := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		const pool = `"serviceMonitor/%s/metricspipeline-annotated/0"`
		switch request.URL.Path {
		case "/api/v1/targets":
			fmt.Fprintf(answer, `{"status":"success","data":{"activeTargets":[{"discoveredLabels":{},"scrapePool":`+pool+`,"health":%q,
				"labels":{"namespace":"reached","service":"web"},"lastError":"connection refused"}],"droppedTargets":[]}}`, "reached", health.Load())
		case "/api/v1/scrape_pools":
			fmt.Fprintf(answer, `{"status":"success","data":{"scrapePools":[`+pool+`,`+pool+`]}}`, "reached", "unlisted")
		default:
			http.NotFound(answer, request)
		}
	}))
	t.Cleanup(prometheus.Close)
	running := tenantPod("unlisted", "web", "web", false)
	for _, name := range []string{"reached", "unlisted"} {
		w.namespace(name)
		w.make(tenantService(name, "web", nil))
	}
	w.make(running)
	running.Status.Phase = corev1.PodRunning
	w.Expect(w.Client.Status().Update(t.Context(), running)).To(Succeed())

	w.apply("prometheus: {url: " + prometheus.URL + "}\n")
	w.Eventually(w.scrape).Should(SatisfyAll(
		HaveField("Targets", Equal(&v1alpha1.TargetCounts{Down: 1})),
		HaveField("Down", ConsistOf(v1alpha1.DownApp{Kind: "Service", Namespace: "reached", Name: "web", Error: "connection refused"})),
		HaveField("NotScraped", ConsistOf(SatisfyAll(HaveField("Namespace", "unlisted"), HaveField("Reason", v1alpha1.ReasonNoTargets),
			haveMessage("no target in namespace unlisted", "RoleBinding"))))))
	w.Eventually(func() []string { return w.eventsIn("reached") }).Should(ConsistOf("ScrapeDown Service/web"))
	w.Eventually(func() []string { return w.eventsIn("unlisted") }).Should(ConsistOf("NotScraped Namespace/unlisted"))
	w.Expect(w.condition(v1alpha1.ConditionScrapeReady)()).To(beTrue())

	health.Store("up")
	w.Eventually(w.scrape).Should(SatisfyAll(HaveField("Targets", Equal(&v1alpha1.TargetCounts{Up: 1})), HaveField("Down", BeEmpty())))
}
